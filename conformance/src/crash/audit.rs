//! Reads what is stored, through the service's own queries.

use std::net::SocketAddr;

use argus_conformance::client::{Connection, Request, Response};
use argus_conformance::random::Random;

use crate::erasure::Erasure;
use crate::event::{Found, TYPES};
use crate::ledger::{Attempt, Ledger, Reading, Sums};
use crate::server::open;

/// Known events that every round reads again before the new ones.
const OVERLAP: u64 = 500;
/// Events that every round looks up by id; and as many at most that it found to be erased.
const SAMPLE: usize = 20;

/// Checks the events of the last round and some before them; all events if there were erasures.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn tail(
    address: SocketAddr,
    ledger: &mut Ledger,
    (attempts, erasures): (&[Attempt], &[Erasure]),
    random: &mut Random,
) -> Result<Sums, String> {
    let after = if erasures.is_empty() { ledger.len().saturating_sub(OVERLAP) } else { 0 };
    let (mut events, last) = list(address, &format!("/events?after_seq={after}"))?;
    events.sort_by_key(|event| event.seq);
    let sums = ledger.reconcile(Reading { after, last, events }, attempts, erasures)?;
    sample(address, ledger, random)?;
    sample_erased(address, ledger, random)?;
    Ok(sums)
}

/// Checks all events, type by type.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn everything(address: SocketAddr, ledger: &Ledger) -> Result<(), String> {
    let mut seen = vec![false; usize::try_from(ledger.len()).unwrap_or(usize::MAX)];
    for event_type in TYPES {
        let encoded: String = event_type.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for event in list(address, &format!("/events?type={encoded}"))?.0 {
            ledger.recognise(&event)?;
            match usize::try_from(event.seq - 1).ok().and_then(|index| seen.get_mut(index)) {
                Some(seen @ false) => *seen = true,
                _ => return Err(format!("seq {} is returned twice", event.seq)),
            }
        }
    }
    let missing = (1..).zip(&seen).find_map(|(seq, seen)| ledger.at(seq).filter(|_| !seen).map(|event| (seq, event)));
    match missing {
        None => Ok(()),
        Some((seq, event)) => Err(format!("seq {seq} is missing from the events of its type: {event:?}")),
    }
}

/// Checks that the events up to some sequence number are exactly those that the ledger knows; returns that number.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn prefix(address: SocketAddr, ledger: &Ledger) -> Result<u64, String> {
    let (mut found, last) = list(address, "/events")?;
    found.sort_by_key(|event| event.seq);
    let mut expected = (1..=last).filter(|seq| ledger.at(*seq).is_some());
    for event in &found {
        let seq = expected.next();
        if seq != Some(event.seq) {
            return Err(format!("seq {} is found, but {seq:?} is next", event.seq));
        }
        ledger.recognise(event)?;
    }
    expected.next().map_or(Ok(last), |seq| Err(format!("seq {seq} is not found")))
}

/// The sequence numbers of the events after this one, ascending.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn seqs_after(address: SocketAddr, seq: u64) -> Result<Vec<u64>, String> {
    let mut seqs: Vec<u64> =
        list(address, &format!("/events?after_seq={seq}"))?.0.iter().map(|event| event.seq).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

/// Looks some events up by id.
fn sample(address: SocketAddr, ledger: &Ledger, random: &mut Random) -> Result<(), String> {
    if ledger.len() == 0 {
        return Ok(());
    }
    let mut connection = open(address)?;
    for _ in 0..SAMPLE {
        let seq = random.from(1..=ledger.len());
        // It may be erased.
        let Some((_, id)) = ledger.at(seq) else { continue };
        let encoded = id.replace('/', "%2F");
        let response = request(&mut connection, &Request::get(&format!("/events/{encoded}")))?;
        let (found, _) = Found::read(response.text().map_err(|failure| failure.to_string())?)?;
        if (found.seq, found.id.as_str()) != (seq, id.as_str()) {
            return Err(format!("GET /events/{encoded} is {found:?}, not seq {seq}"));
        }
    }
    Ok(())
}

/// Looks up some of the events that were erased last: before they are sent again, nobody may find them.
fn sample_erased(address: SocketAddr, ledger: &Ledger, random: &mut Random) -> Result<(), String> {
    let mut connection = open(address)?;
    for _ in 0..ledger.erased().len().min(SAMPLE) {
        let Some(id) = random.pick(ledger.erased()).and_then(|token| token.event().id) else { continue };
        let get = Request::get(&format!("/events/{}", id.replace('/', "%2F")));
        let response = connection.request(&get).map_err(|failure| failure.to_string())?;
        response.expect(404).map_err(|failure| format!("{id} is erased, but GET {}: {failure}", get.target))?;
    }
    Ok(())
}

/// The events of a query, which must be ordered by time and then by sequence number, and the last sequence number of
/// all events.
fn list(address: SocketAddr, target: &str) -> Result<(Vec<Found>, u64), String> {
    let get = Request::get(target).header("accept", "application/x-ndjson");
    let response = request(&mut open(address)?, &get)?;
    let last_seq = response.header("argus-last-seq").and_then(|seq| seq.parse().ok());
    let last_seq = last_seq.ok_or_else(|| format!("GET {target} does not tell the last sequence number"))?;
    let mut events: Vec<Found> = Vec::new();
    let mut last = (String::new(), 0);
    for line in response.text().map_err(|failure| failure.to_string())?.lines() {
        let (event, timestamp) = Found::read(line)?;
        let position = (timestamp, event.seq);
        if position <= last {
            return Err(format!("GET {target} returns {position:?} after {last:?}"));
        }
        last = position;
        events.push(event);
    }
    Ok((events, last_seq))
}

fn request(connection: &mut Connection, request: &Request) -> Result<Response, String> {
    let response = connection.request(request).map_err(|failure| failure.to_string())?;
    response.expect(200).map_err(|failure| {
        format!("{} {}: {failure}\n{}", request.method, request.target, response.text().unwrap_or_default())
    })?;
    Ok(response)
}
