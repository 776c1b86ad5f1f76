//! The checks between the head and the route: who calls, how often, and with which key.
//!
//! Their order is part of the wire contract: the rate limit by address, the key, the rate limit by key. So wrong keys
//! count towards the limit by address.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use super::compress::Negotiated;
use super::fields::values;
use super::finish::Finish;
use super::guard::{CheckedHead, Method};
use super::problem_reply::ProblemReply;
use super::rate_limit_fields::{Payer, RateLimitFields, seconds};
use super::redaction::KEY_PARAMETER;
use super::{Cors, Draft, ProblemKind, Proxies, Reply, RequestHead, Route};
use crate::auth::{Access, Keys, Scope};
use crate::clock::Moment;
use crate::limit::{ClientNetwork, Refused, Unit, Verdict};

/// What the checks need, and the meters that they change. A host passes it in
/// [`ServiceState`](super::ServiceState::gate) if there are keys, limits or trusted proxies.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// The time now.
    pub now: Moment,
    /// The proxies whose fields name the client.
    pub proxies: &'a Proxies,
    /// The meters, which the host keeps behind a lock.
    pub meters: &'a dyn Meters,
    /// The keys; `None` if everything is open.
    pub keys: Option<&'a Keys>,
}

/// The meters of a host. `None` means that there is no limit.
pub trait Meters: fmt::Debug + Sync {
    /// [`AddressTable::admit`](crate::limit::AddressTable::admit).
    fn admit_client(&self, client: ClientNetwork, has_body: bool, now: Duration) -> Option<Verdict>;
    /// [`AddressTable::charge`](crate::limit::AddressTable::charge).
    fn charge_client(&self, client: ClientNetwork, bytes: u64, now: Duration);
    /// [`Meter::admit`](crate::limit::Meter::admit) of the key at this index of [`Keys::as_slice`].
    fn admit_key(&self, key: usize, has_body: bool, now: Duration) -> Option<Verdict>;
    /// [`Meter::charge`](crate::limit::Meter::charge) of that key.
    fn charge_key(&self, key: usize, bytes: u64, now: Duration);
}

/// Who sent a request, as far as the checks have found out, and what every reply to it has in common.
///
/// The host keeps it until the reply. When the body has arrived, it calls [`charge`](Self::charge), and to send a
/// reply, [`finish`](Self::finish). The default is for replies to requests whose head is unknown.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The address of the client: that of the peer, unless a trusted proxy names another.
    pub client: Option<IpAddr>,
    /// The index of the key in [`Keys::as_slice`], if it is valid. The reply may be 403 or 429 nevertheless.
    pub key: Option<usize>,
    /// The limits that apply; `None` without any.
    counted: Option<Box<Counted>>,
    finish: Finish,
}

/// The verdicts of the limits that apply.
#[derive(Clone, Debug, Default)]
struct Counted {
    by_address: Option<Verdict>,
    by_key: Option<Verdict>,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No key.
    Nothing,
    /// Any key: there is nothing at the path, or not with this method, and only a caller with a key is told so.
    AnyKey,
    /// A key with this scope.
    Scope(Scope),
}

impl Caller {
    /// The caller before any check.
    pub(super) fn of(head: &RequestHead<'_>, gate: Option<&Gate<'_>>, cors: &Cors) -> Self {
        let client = match (head.peer, gate) {
            (Some(peer), Some(gate)) => Some(gate.proxies.client(peer, head)),
            (peer, _) => peer.map(|peer| peer.to_canonical()),
        };
        Self { client, key: None, counted: None, finish: Finish::new(cors, head) }
    }

    /// The content coding of the answers.
    pub(super) fn negotiated(&self) -> Negotiated {
        self.finish.negotiated()
    }

    /// Whether [`charge`](Self::charge) has anything to count.
    #[must_use]
    pub fn counts_bytes(&self) -> bool {
        let verdicts = self.counted.iter().flat_map(|counted| [counted.by_address, counted.by_key]);
        verdicts.flatten().any(|verdict| verdict.bytes.is_some())
    }

    /// Counts the bytes of a body at this uptime, as they came over the wire, whether it was whole or not.
    pub fn charge(&mut self, meters: &dyn Meters, now: Duration, bytes: u64) {
        let Some(counted) = self.counted.as_deref_mut().filter(|_| bytes > 0) else { return };
        if let (Some(client), Some(verdict)) = (self.client, &mut counted.by_address) {
            meters.charge_client(client.into(), bytes, now);
            verdict.charged(bytes);
        }
        if let (Some(key), Some(verdict)) = (self.key, &mut counted.by_key) {
            meters.charge_key(key, bytes, now);
            verdict.charged(bytes);
        }
    }

    /// Finishes a reply: adds how much of its limits the caller has left, and whatever browsers and caches need to
    /// know; compresses a long body that is not compressed yet; removes the body for `HEAD`.
    #[must_use]
    pub fn finish(&self, draft: Draft) -> Reply {
        let mut reply = self.finish.apply(draft);
        self.add_standings(&mut reply);
        reply
    }

    /// Says how much of its limits the caller has left.
    fn add_standings(&self, reply: &mut Reply) {
        let Some(counted) = &self.counted else { return };
        let mut fields = RateLimitFields::default();
        for (payer, verdict) in [(Payer::Address, &counted.by_address), (Payer::Key, &counted.by_key)] {
            if let Some(verdict) = verdict {
                fields.push(payer, verdict);
            }
        }
        fields.add_to(&mut reply.headers);
    }

    /// Remembers a verdict.
    fn count(&mut self, payer: Payer, verdict: Option<Verdict>) -> Result<(), ProblemReply> {
        let Some(verdict) = verdict else { return Ok(()) };
        let counted = self.counted.get_or_insert_default();
        match payer {
            Payer::Address => counted.by_address = Some(verdict),
            Payer::Key => counted.by_key = Some(verdict),
        }
        verdict.refused.map_or(Ok(()), |refused| Err(too_many_requests(payer, &refused)))
    }
}

impl Gate<'_> {
    /// Checks the limits by address.
    pub(super) fn check_address(
        &self,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        route: Route,
        caller: &mut Caller,
    ) -> Result<(), ProblemReply> {
        match caller.client.filter(|_| !route.is_health()) {
            Some(client) => {
                let verdict = self.meters.admit_client(client.into(), checked.has_body(head), self.now.uptime);
                caller.count(Payer::Address, verdict)
            }
            None => Ok(()),
        }
    }

    /// Checks the key and its limits. Returns what the caller may see and write.
    pub(super) fn check_key(
        &self,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        route: Route,
        caller: &mut Caller,
    ) -> Result<Access, ProblemReply> {
        let (Some(keys), need) = (self.keys, Need::of(checked.method, route)) else { return Ok(Access::default()) };
        if need == Need::Nothing {
            return Ok(Access::default());
        }
        let sent = sent_key(head, checked, route)?;
        let found = keys.find(sent, self.now.wall).and_then(|index| Some((index, keys.as_slice().get(index)?)));
        let Some((index, key)) = found else { return Err(invalid_key()) };
        caller.key = Some(index);
        match need {
            Need::Scope(scope) if !key.scopes.contains(scope) => return Err(forbidden(scope)),
            Need::Scope(_) | Need::AnyKey | Need::Nothing => {}
        }
        caller.count(Payer::Key, self.meters.admit_key(index, checked.has_body(head), self.now.uptime))?;
        Ok(key.access.clone())
    }
}

impl Need {
    fn of(method: Method, route: Route) -> Self {
        match route {
            Route::Health | Route::Live | Route::Ready | Route::OpenApi | Route::Root => Self::Nothing,
            Route::Events => match method {
                Method::Get | Method::Head => Self::Scope(Scope::Read),
                Method::Post => Self::Scope(Scope::Write),
                Method::Delete => Self::Scope(Scope::Erase),
                Method::Other => Self::AnyKey,
            },
            Route::Event | Route::Aggregate | Route::Funnel | Route::Retention | Route::Types | Route::Fields => {
                Self::to_get(method, Scope::Read)
            }
            Route::Stream => Self::to_get(method, Scope::Stream),
            Route::Metrics => Self::to_get(method, Scope::Metrics),
            Route::Other => Self::AnyKey,
        }
    }

    /// For a route that has no method but `GET` and `HEAD`.
    fn to_get(method: Method, scope: Scope) -> Self {
        match method {
            Method::Get | Method::Head => Self::Scope(scope),
            Method::Post | Method::Delete | Method::Other => Self::AnyKey,
        }
    }
}

/// Whether a request may have its key in the query, because browsers have interfaces for it that set no header fields.
fn takes_key_in_query(method: Method, route: Route) -> bool {
    match route {
        Route::Events => method == Method::Post,
        Route::Stream => true,
        Route::Event
        | Route::Aggregate
        | Route::Funnel
        | Route::Retention
        | Route::Types
        | Route::Fields
        | Route::Health
        | Route::Live
        | Route::Ready
        | Route::Metrics
        | Route::OpenApi
        | Route::Root
        | Route::Other => false,
    }
}

/// The key of a request: from `Authorization: Bearer` (RFC 6750, section 2.1), or from the query where that is taken.
fn sent_key<'a>(head: &RequestHead<'a>, checked: &'a CheckedHead<'_>, route: Route) -> Result<&'a str, ProblemReply> {
    let takes_query = takes_key_in_query(checked.method, route);
    let mut fields = values(head, "authorization");
    let params = checked.target.params.iter().filter(|param| takes_query && param.name == KEY_PARAMETER);
    let mut params = params.map(|param| &*param.value);
    match (fields.next().map(bearer), fields.next(), params.next(), params.next()) {
        // Credentials of another scheme are those of a proxy, to which a browser sends them with every request.
        (None | Some(Credentials::Other), None, None, None) => Err(no_key(takes_query)),
        (None | Some(Credentials::Other), None, Some(key), None) => Ok(key),
        (Some(Credentials::Bearer(key)), None, None, None) => Ok(key),
        (Some(Credentials::Malformed), None, None, None) => Err(invalid_key()),
        // RFC 6750, section 2: clients must not use more than one method.
        (_, _, _, _) => {
            let detail = "the request has more than one key; send it once, in the Authorization field";
            Err(ProblemReply::new(ProblemKind::BadRequest, detail)
                .with_header("www-authenticate", "Bearer error=\"invalid_request\""))
        }
    }
}

/// The credentials in an `Authorization` field.
enum Credentials<'a> {
    /// `Bearer`, and this key.
    Bearer(&'a str),
    /// Those of another scheme.
    Other,
    /// What cannot be a key.
    Malformed,
}

/// Reads an `Authorization` field. The scheme is not case-sensitive (RFC 9110, section 11.1).
fn bearer(field: &[u8]) -> Credentials<'_> {
    let Ok(field) = core::str::from_utf8(field) else { return Credentials::Malformed };
    let field = field.trim_matches([' ', '\t']);
    let (scheme, token) = field.split_once(' ').unwrap_or((field, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        Credentials::Bearer(token.trim_matches(' '))
    } else {
        Credentials::Other
    }
}

/// 401, without a key.
fn no_key(takes_query: bool) -> ProblemReply {
    let or_query = if takes_query { ", or add ?key=KEY" } else { "" };
    let detail = format!("this needs a key; send the field 'authorization: Bearer KEY'{or_query}");
    ProblemReply::new(ProblemKind::Unauthorized, detail).with_header("www-authenticate", "Bearer")
}

/// 401: the key is unknown, malformed or expired. Which of them is not said, since that would help to guess.
fn invalid_key() -> ProblemReply {
    ProblemReply::new(ProblemKind::Unauthorized, "the key is not valid")
        .with_header("www-authenticate", "Bearer error=\"invalid_token\"")
}

/// 403
fn forbidden(scope: Scope) -> ProblemReply {
    let scope = scope.as_str();
    ProblemReply::new(ProblemKind::Forbidden, format!("the key does not have the scope '{scope}', which this needs"))
        .with_header("www-authenticate", format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
}

/// 429
fn too_many_requests(payer: Payer, refused: &Refused) -> ProblemReply {
    let Refused { unit, quota, wait } = refused;
    let what = match unit {
        Unit::Requests => "requests",
        Unit::Bytes => "bytes of request bodies",
    };
    let (whose, setting) = match (payer, unit) {
        (Payer::Address, Unit::Requests) => ("from this address", " (--rate-limit)"),
        (Payer::Address, Unit::Bytes) => ("from this address", " (--rate-limit-bytes)"),
        (Payer::Key, Unit::Requests | Unit::Bytes) => ("with this key", ""),
    };
    let (seconds, rate) = (seconds(*wait).max(1), quota.rate());
    let detail = format!("more {what} {whose} than {rate}{setting}; nothing was stored. Try again in {seconds} s");
    ProblemReply::new(ProblemKind::TooManyRequests, detail).with_header("retry-after", seconds.to_string())
}
