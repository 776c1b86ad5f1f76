//! Two real event streams, imported unchanged and compared with their files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::cursor;
use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["real_data";
    "POST /events": [github_events, wikipedia_edits],
];

/// The environment variable with the folder of the streams. By default they are in `shared/data` beside the workspace.
const FOLDER_VARIABLE: &str = "ARGUS_DATA_DIR";

/// A file, and the members of its records.
struct Stream {
    file: &'static str,
    type_at: &'static str,
    time_at: &'static str,
    /// Members to query by, with the values of some records.
    filters: &'static [&'static str],
}

/// A record of the file.
struct Record {
    event_type: String,
    /// The time, cut to seconds. All have the same length, so text order is time order.
    second: String,
    value: Value,
}

/// The folder with the streams, if it exists.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let beside = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        workspace.ancestors().skip(1).map(|folder| folder.join("shared/data")).find(|folder| folder.is_dir())
    };
    named.or_else(beside).filter(|folder| folder.is_dir())
}

fn github_events(ctx: &Context<'_>) -> Outcome {
    check_stream(
        ctx,
        &Stream {
            file: "github-events-127k.ndjson.gz",
            type_at: "type",
            time_at: "dt",
            filters: &["actor", "repo", "commits", "action"],
        },
    )
}

fn wikipedia_edits(ctx: &Context<'_>) -> Outcome {
    check_stream(
        ctx,
        &Stream {
            file: "wikipedia-edits-39k.ndjson.gz",
            type_at: "channel",
            time_at: "time",
            filters: &["page", "user", "isRobot", "added", "cityName"],
        },
    )
}

fn check_stream(ctx: &Context<'_>, stream: &Stream) -> Outcome {
    let compressed = read(stream.file)?;
    let mut text = String::new();
    GzDecoder::new(compressed.as_slice())
        .read_to_string(&mut text)
        .map_err(|error| Failure::unmet(format!("{}: {error}", stream.file)))?;
    let records = parse(stream, &text)?;
    let server = ctx.empty()?;

    let target = format!("/events?type_from=/{}&time_from=/{}", stream.type_at, stream.time_at);
    let request = Request::post(&target, "application/x-ndjson", compressed).header("content-encoding", "gzip");
    let response = server.send(&request)?;
    response.expect(201)?;
    let count = records.len();
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": count, "duplicates": 0, "first_seq": 1, "last_seq": count}),
        "the acknowledgement"
    );

    check_counts_by_type(&server, &records)?;
    check_hour(&server, &records)?;
    check_page_walk(&server, &records)?;
    check_filters(&server, stream, &records)
}

/// The compressed content of a file.
fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let folder = folder().ok_or_else(|| {
        Failure::skipped(format!("the event streams are missing; {FOLDER_VARIABLE} names their folder"))
    })?;
    std::fs::read(folder.join(file)).map_err(|error| Failure::unmet(format!("{file}: {error}")))
}

/// A server with the events of a file, whose records have their type and time in these members.
pub(super) fn imported(ctx: &Context<'_>, file: &str, type_at: &str, time_at: &str) -> Result<Server, Failure> {
    let compressed = read(file)?;
    // Longer than any repository takes to read all events.
    let server = ctx.start(&[("--request-timeout", "5m"), ("--query-timeout", "5m")])?;
    let target = format!("/events?type_from=/{type_at}&time_from=/{time_at}");
    let request = Request::post(&target, "application/x-ndjson", compressed).header("content-encoding", "gzip");
    server.send(&request)?.expect(201)?;
    Ok(server)
}

fn parse(stream: &Stream, text: &str) -> Result<Vec<Record>, Failure> {
    text.lines()
        .map(|line| {
            let value: Value =
                serde_json::from_str(line).map_err(|e| Failure::unmet(format!("{}: {e}", stream.file)))?;
            let member = |name: &str| value[name].as_str().map(str::to_owned);
            let event_type = member(stream.type_at).ok_or_else(|| Failure::unmet("a type in the file"))?;
            let second = member(stream.time_at).and_then(|time| time.get(..19).map(str::to_owned));
            let second = second.ok_or_else(|| Failure::unmet("a time in the file"))?;
            Ok(Record { event_type, second, value })
        })
        .collect()
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The number of events that a query finds.
fn count(server: &Server, query: &str) -> Result<usize, Failure> {
    let response = server.send(&Request::get(&format!("/events?{query}")).header("accept", "application/x-ndjson"))?;
    response.expect(200)?;
    Ok(response.body.iter().filter(|byte| **byte == b'\n').count())
}

fn check_counts_by_type(server: &Server, records: &[Record]) -> Outcome {
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        *expected.entry(&record.event_type).or_default() += 1;
    }
    for (event_type, expected) in expected {
        check_eq!(count(server, &format!("type={}", encode(event_type)))?, expected, "events of the type {event_type}");
    }
    Ok(())
}

/// Queries the type and the hour of the middle record, and compares events and order.
fn check_hour(server: &Server, records: &[Record]) -> Outcome {
    let middle = records.get(records.len() / 2).ok_or_else(|| Failure::unmet("records"))?;
    let hour = middle.second.get(..13).unwrap_or_default();
    let query = format!("type={}&start={hour}:00:00Z&end={hour}:59:59.999Z", encode(&middle.event_type));
    // The sequence numbers are the positions in the file.
    let mut expected: Vec<(&str, u64)> = (1..)
        .zip(records)
        .filter(|(_, record)| record.event_type == middle.event_type && record.second.starts_with(hour))
        .map(|(seq, record)| (record.second.as_str(), seq))
        .collect();
    let events = server.find(&query)?;
    check_eq!(events.len(), expected.len(), "events of {query}");
    let mut found: Vec<(&str, u64)> = events
        .iter()
        .map(|event| {
            (
                event["timestamp"].as_str().and_then(|t| t.get(..19)).unwrap_or_default(),
                event["seq"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    check!(found.is_sorted_by_key(|(second, _)| *second), "the events of {query} in the order of their time");
    // The order within a second depends on fractions, which are not compared here.
    found.sort_unstable();
    expected.sort_unstable();
    check!(found == expected, "the same events of {query} as in the file");
    let wrong = events.iter().find(|event| {
        let seq = event["seq"].as_u64().and_then(|seq| usize::try_from(seq).ok()).unwrap_or_default();
        records.get(seq - 1).map(|record| &record.value) != event.get("payload")
    });
    check_eq!(wrong, None, "an event whose payload is not its record");
    Ok(())
}

/// Walks over all events in pages: each must be there once.
fn check_page_walk(server: &Server, records: &[Record]) -> Outcome {
    let mut seen = vec![false; records.len()];
    let pages = cursor::walk(server, "/events?limit=10000")?;
    check_eq!(pages.len(), records.len().div_ceil(10_000), "how many pages there are");
    for event in pages.iter().flatten() {
        let seq = event["seq"].as_u64().and_then(|seq| usize::try_from(seq).ok()).unwrap_or_default();
        let slot = seq.checked_sub(1).and_then(|index| seen.get_mut(index));
        let slot = slot.ok_or_else(|| Failure::unmet(format!("a sequence number of the import, not {seq}")))?;
        check!(!std::mem::replace(slot, true), "the event {seq} once in the walk");
    }
    check!(seen.iter().all(|seen| *seen), "every event in the walk");
    Ok(())
}

/// Queries all events that have the same value in a member as some record.
fn check_filters(server: &Server, stream: &Stream, records: &[Record]) -> Outcome {
    for record in records.iter().step_by(15_000) {
        for member in stream.filters {
            let Some(wanted) = record.value.get(member) else { continue };
            let expected = records.iter().filter(|other| other.value.get(member) == Some(wanted)).count();
            let operand = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
            let query = format!("payload.{member}={}", encode(&operand));
            check_eq!(count(server, &query)?, expected, "events of {query}");
        }
    }
    Ok(())
}
