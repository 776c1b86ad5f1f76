//! Reads what is stored, through the service's own queries.

use std::net::SocketAddr;

use argus_conformance::client::{Connection, Request, Response};
use argus_conformance::random::Random;

use crate::event::{Found, TYPES};
use crate::ledger::{Attempt, Ledger, Sums};
use crate::server::open;

/// Known events that every round reads again before the new ones.
const OVERLAP: u64 = 500;
/// Events that every round looks up by id.
const SAMPLE: u64 = 20;

/// Checks the events of the last round and some before them.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn tail(
    address: SocketAddr,
    ledger: &mut Ledger,
    attempts: &[Attempt],
    random: &mut Random,
) -> Result<Sums, String> {
    let known = ledger.len();
    let after = known.saturating_sub(OVERLAP);
    let mut found = list(address, &format!("/events?after_seq={after}"))?;
    found.sort_by_key(|event| event.seq);
    for (event, expected) in found.iter().zip(after + 1..) {
        if event.seq != expected {
            return Err(format!("after seq {} comes {}", expected - 1, event.seq));
        }
    }
    if (found.len() as u64) < known - after {
        let last = after + found.len() as u64;
        return Err(format!("{known} events were stored, but now the last one is {last}"));
    }
    let fresh = found.split_off(usize::try_from(known - after).unwrap_or(usize::MAX));
    for event in &found {
        ledger.recognise(event)?;
    }
    let sums = ledger.reconcile(fresh, attempts)?;
    sample(address, ledger, random)?;
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
        for event in list(address, &format!("/events?type={encoded}"))? {
            ledger.recognise(&event)?;
            match usize::try_from(event.seq - 1).ok().and_then(|index| seen.get_mut(index)) {
                Some(seen @ false) => *seen = true,
                _ => return Err(format!("seq {} is returned twice", event.seq)),
            }
        }
    }
    match seen.iter().position(|seen| !seen) {
        None => Ok(()),
        Some(index) => {
            Err(format!("seq {} is missing from the events of its type: {:?}", index + 1, ledger.at(index as u64 + 1)))
        }
    }
}

/// Checks that the stored events are the first ones that the ledger knows; returns their number.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn prefix(address: SocketAddr, ledger: &Ledger) -> Result<u64, String> {
    let mut found = list(address, "/events")?;
    found.sort_by_key(|event| event.seq);
    for (event, expected) in found.iter().zip(1..) {
        if event.seq != expected {
            return Err(format!("after seq {} comes {}", expected - 1, event.seq));
        }
        ledger.recognise(event)?;
    }
    Ok(found.len() as u64)
}

/// The sequence numbers of the events after this one, ascending.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn seqs_after(address: SocketAddr, seq: u64) -> Result<Vec<u64>, String> {
    let mut seqs: Vec<u64> =
        list(address, &format!("/events?after_seq={seq}"))?.iter().map(|event| event.seq).collect();
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
        let Some((_, id)) = ledger.at(seq) else { return Err(format!("no event is known at seq {seq}")) };
        let encoded = id.replace('/', "%2F");
        let response = request(&mut connection, &Request::get(&format!("/events/{encoded}")))?;
        let (found, _) = Found::read(response.text().map_err(|failure| failure.to_string())?)?;
        if (found.seq, found.id.as_str()) != (seq, id.as_str()) {
            return Err(format!("GET /events/{encoded} is {found:?}, not seq {seq}"));
        }
    }
    Ok(())
}

/// The events of a query, which must be ordered by time and then by sequence number.
fn list(address: SocketAddr, target: &str) -> Result<Vec<Found>, String> {
    let get = Request::get(target).header("accept", "application/x-ndjson");
    let response = request(&mut open(address)?, &get)?;
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
    Ok(events)
}

fn request(connection: &mut Connection, request: &Request) -> Result<Response, String> {
    let response = connection.request(request).map_err(|failure| failure.to_string())?;
    response.expect(200).map_err(|failure| {
        format!("{} {}: {failure}\n{}", request.method, request.target, response.text().unwrap_or_default())
    })?;
    Ok(response)
}
