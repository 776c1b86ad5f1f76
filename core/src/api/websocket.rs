//! WebSocket (RFC 6455), as far as it is decided without a connection: the opening handshake, and how the server
//! closes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

use super::fields::{members, trim, values};
use super::problem_reply::ProblemReply;
use super::reply::Reply;
use super::route::Route;
use super::{Draft, ProblemKind, RequestHead};

/// Appended to the client's key before hashing (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version of the protocol (RFC 6455, section 4.1).
const VERSION: &str = "13";

/// Length of the client's key, in bytes before base64 (RFC 6455, section 4.1).
const KEY_BYTES: usize = 16;

/// A valid opening handshake (RFC 6455, section 4.2): the client gets a WebSocket.
///
/// Neither a subprotocol nor an extension is chosen, whatever the client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    accept: String,
}

impl Handshake {
    /// The handshake in the head of a request to a route that offers WebSocket; `None` if the request does not ask for
    /// it. Other routes ignore `Upgrade` (RFC 9110, section 7.8).
    ///
    /// A request with `Sec-WebSocket-Key` asks for it even without `Upgrade`: a proxy has removed that field, which
    /// belongs to one connection. Its client would not understand any other answer. Heads of HTTP/1.0 cannot upgrade,
    /// so their `Upgrade` is ignored; `HEAD` asks for a head and not for a connection.
    ///
    /// # Errors
    ///
    /// The reply: 400 for a malformed handshake or one with a body, 426 for another version of the protocol or of HTTP,
    /// or without `Upgrade`.
    pub fn read(head: &RequestHead<'_>, route: Route) -> Result<Option<Self>, Draft> {
        Self::check(head).map_err(|problem| problem.reply(route).into())
    }

    /// As [`read`](Self::read), for routes of this interface.
    pub(super) fn check(head: &RequestHead<'_>) -> Result<Option<Self>, ProblemReply> {
        let upgrades = members(head, "upgrade").any(|protocol| protocol.eq_ignore_ascii_case("websocket"));
        let keys: Vec<&[u8]> = values(head, "sec-websocket-key").map(trim).collect();
        let asks = (upgrades && !head.http_10) || !keys.is_empty();
        if !asks || head.method != "GET" {
            return Ok(None);
        }
        if head.http_10 {
            return Err(upgrade_required("WebSocket needs HTTP/1.1 (nginx: `proxy_http_version 1.1`)"));
        }
        if !upgrades {
            return Err(upgrade_required(
                "there is a Sec-WebSocket-Key, but no 'Upgrade: websocket'; a proxy in between has to pass it on \
                 (nginx: `proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade`)",
            ));
        }
        if !members(head, "connection").any(|option| option.eq_ignore_ascii_case("upgrade")) {
            return Err(bad(
                "there is 'Upgrade: websocket', but no 'Connection: upgrade'; a proxy in between has to pass it on \
                 (nginx: `proxy_set_header Connection upgrade`)",
            ));
        }
        let mut versions = values(head, "sec-websocket-version").map(trim);
        if (versions.next(), versions.next()) != (Some(VERSION.as_bytes()), None) {
            return Err(upgrade_required("the only supported Sec-WebSocket-Version is 13, given once"));
        }
        let key = match keys.as_slice() {
            [key] if is_key(key) => *key,
            [_] => return Err(bad("Sec-WebSocket-Key is not the base64 text of 16 bytes")),
            [] => return Err(bad("there is no Sec-WebSocket-Key")),
            [_, _, ..] => return Err(bad("there is more than one Sec-WebSocket-Key")),
        };
        // Everything after the head belongs to the WebSocket. With a body, it would be uncertain where that begins.
        let has_length = values(head, "content-length").any(|length| trim(length).iter().any(|digit| *digit != b'0'));
        if has_length || values(head, "transfer-encoding").next().is_some() {
            return Err(bad("a request for a WebSocket has no body").closing());
        }
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update(GUID);
        Ok(Some(Self { accept: STANDARD.encode(hash.digest().bytes()) }))
    }

    /// The reply: 101. After its head, the connection is a WebSocket.
    pub fn reply(&self, route: Route) -> Draft {
        self.switching(route).into()
    }

    pub(super) fn switching(&self, route: Route) -> Reply {
        Reply { status: 101, headers: Vec::with_capacity(5), ..Reply::new(route, 101, "", "") }
            .with_header("upgrade", "websocket")
            .with_header("connection", "Upgrade")
            .with_header("sec-websocket-accept", self.accept.clone())
    }
}

/// Whether the text is 16 bytes in base64. The bits that the last character has beyond them may be anything: clients
/// exist that draw 24 characters.
fn is_key(key: &[u8]) -> bool {
    const CHARACTERS: usize = KEY_BYTES.div_ceil(3) * 4 - 2;
    match key.split_at_checked(CHARACTERS) {
        Some((characters, b"==")) => {
            characters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        }
        Some(_) | None => false,
    }
}

/// 426, with what an upgrade needs (RFC 9110, section 15.5.22; RFC 6455, section 4.4).
fn upgrade_required(detail: &str) -> ProblemReply {
    ProblemReply::new(ProblemKind::UpgradeRequired, detail)
        .with_header("upgrade", "websocket")
        .with_header("connection", "Upgrade")
        .with_header("sec-websocket-version", VERSION)
}

/// 400
fn bad(detail: &str) -> ProblemReply {
    ProblemReply::new(ProblemKind::BadRequest, detail)
}

/// The message about events that are not stored any more: the stream goes on with this sequence number or a later one.
#[must_use]
pub fn socket_gap(first_seq: u64) -> String {
    format!(r#"{{"gap":{{"first_seq":{first_seq}}}}}"#)
}

/// How the server closes a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketClose {
    /// The status code (RFC 6455, section 7.4).
    pub code: u16,
    /// The reason, of at most 123 bytes.
    pub reason: String,
}

impl SocketClose {
    /// 1001: the server is stopping. The stream can be resumed after the event `after_seq`.
    #[must_use]
    pub fn draining(after_seq: u64) -> Self {
        Self { code: 1001, reason: format!("after_seq={after_seq}") }
    }

    /// 1003: streams take no messages from the client.
    #[must_use]
    pub fn unsupported() -> Self {
        Self { code: 1003, reason: "this stream takes no messages; close the connection to end it".into() }
    }

    /// 1008: the key of the request is no longer valid. The stream can be resumed with another one after the event
    /// `after_seq`.
    #[must_use]
    pub fn revoked(after_seq: u64) -> Self {
        Self { code: 1008, reason: format!("after_seq={after_seq}") }
    }

    /// 1011: the stream cannot go on; the log of Argus says why. It can be resumed after the event `after_seq`.
    #[must_use]
    pub fn failed(after_seq: u64) -> Self {
        Self { code: 1011, reason: format!("after_seq={after_seq}") }
    }

    /// 1013: the client is too slow. The stream can be resumed after the event `after_seq`.
    #[must_use]
    pub fn slow(after_seq: u64) -> Self {
        Self { code: 1013, reason: format!("after_seq={after_seq}") }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// RFC 6455, section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const VALID: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];

    fn read_of(method: &str, http_10: bool, fields: &[(&str, &str)]) -> Result<Option<Handshake>, Draft> {
        let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Handshake::read(&RequestHead { method, target: "/", headers: &headers, http_10, peer: None }, Route::Other)
    }

    fn read(fields: &[(&str, &str)]) -> Result<Option<Handshake>, Draft> {
        read_of("GET", false, fields)
    }

    /// A valid handshake with the field `name` replaced by `values`.
    fn with<'a>(name: &'a str, values: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        let kept = VALID.into_iter().filter(|(known, _)| *known != name);
        kept.chain(values.iter().map(|value| (name, *value))).collect()
    }

    fn status(fields: &[(&str, &str)]) -> u16 {
        match read(fields) {
            Ok(Some(handshake)) => handshake.switching(Route::Other).status,
            Ok(None) => 0,
            Err(Draft(reply)) => reply.status,
        }
    }

    #[test]
    fn the_accept_value_is_the_one_of_the_rfc() {
        let reply = read(&VALID).unwrap().unwrap().switching(Route::Other);
        assert_eq!(reply.status, 101);
        let fields: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        assert_eq!(fields, [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", ACCEPT)]);
        assert!(reply.body.is_empty() && !reply.close);
    }

    #[test]
    fn tokens_are_found_in_lists_in_any_case() {
        for (name, values) in [
            ("upgrade", &["WebSocket"][..]),
            ("upgrade", &["h2c, websocket"]),
            ("upgrade", &["h2c", " WEBSOCKET "]),
            ("connection", &["keep-alive, Upgrade"]),
            ("connection", &["keep-alive", "UPGRADE"]),
            ("sec-websocket-version", &[" 13 "]),
            ("sec-websocket-key", &["\tAAAAAAAAAAAAAAAAAAAAAA== "]),
            // The last character has bits beyond the sixteenth byte.
            ("sec-websocket-key", &["//////////////////////=="]),
            ("content-length", &["0"]),
            ("sec-websocket-protocol", &["chat, superchat"]),
            ("sec-websocket-extensions", &["permessage-deflate"]),
        ] {
            assert_eq!(status(&with(name, values)), 101, "{name}: {values:?}");
        }
    }

    #[test]
    fn faults_have_their_status() {
        for (name, values, expected) in [
            ("upgrade", &[][..], 426),
            ("upgrade", &["websockets"], 426),
            ("upgrade", &["websocket/13"], 426),
            ("connection", &[], 400),
            ("connection", &["keep-alive"], 400),
            ("sec-websocket-version", &[], 426),
            ("sec-websocket-version", &["8"], 426),
            ("sec-websocket-version", &["13, 8"], 426),
            ("sec-websocket-version", &["13", "13"], 426),
            ("sec-websocket-key", &[], 400),
            ("sec-websocket-key", &[""], 400),
            ("sec-websocket-key", &[KEY, KEY], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==="], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZTE="], 400),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25j!Q=="], 400),
            ("content-length", &["3"], 400),
            ("transfer-encoding", &["chunked"], 400),
        ] {
            assert_eq!(status(&with(name, values)), expected, "{name}: {values:?}");
        }
        let Draft(reply) = read(&with("sec-websocket-version", &["8"])).unwrap_err();
        assert_eq!(reply.problem, Some(ProblemKind::UpgradeRequired));
        for (name, value) in [("sec-websocket-version", "13"), ("upgrade", "websocket"), ("connection", "Upgrade")] {
            assert_eq!(reply.header(name), Some(value));
        }
        assert!(read(&with("content-length", &["3"])).unwrap_err().0.close);
    }

    #[test]
    fn what_does_not_ask_for_a_websocket_gets_none() {
        assert_eq!(status(&[]), 0);
        assert_eq!(status(&[("upgrade", "h2c"), ("connection", "upgrade")]), 0);
        assert_eq!(read_of("HEAD", false, &VALID), Ok(None));
        // RFC 9110, section 7.8.
        assert_eq!(read_of("GET", true, &[("upgrade", "websocket"), ("connection", "upgrade")]), Ok(None));
        assert_eq!(read_of("GET", true, &VALID).unwrap_err().0.status, 426);
    }

    #[test]
    fn reasons_fit_into_a_close_frame() {
        let most = u64::MAX;
        let all = [
            SocketClose::draining(most),
            SocketClose::unsupported(),
            SocketClose::revoked(most),
            SocketClose::failed(most),
            SocketClose::slow(most),
        ];
        assert!(all.iter().all(|close| close.reason.len() <= 123));
        assert_eq!(SocketClose::slow(17), SocketClose { code: 1013, reason: "after_seq=17".into() });
        assert_eq!(socket_gap(5), r#"{"gap":{"first_seq":5}}"#);
    }

    proptest! {
        #[test]
        fn no_head_panics_and_only_whole_handshakes_are_accepted(
            fields in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "content-length", "x",
                    ]),
                    prop_oneof![
                        prop::collection::vec(any::<u8>(), 0..40),
                        prop::sample::select(vec!["websocket", "Upgrade", "13", KEY, "0", "a,websocket", "\"upgrade\""])
                            .prop_map(|text| text.as_bytes().to_vec()),
                    ],
                ),
                0..8,
            ),
            http_10: bool,
        ) {
            let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            let head = RequestHead { method: "GET", target: "/", headers: &headers, http_10, peer: None };
            if let Ok(Some(handshake)) = Handshake::read(&head, Route::Other) {
                prop_assert_eq!(handshake.accept.len(), 28);
                for name in ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key"] {
                    prop_assert!(headers.iter().any(|(known, _)| *known == name));
                }
            }
        }
    }
}
