//! A byte of a segment changes: answers, log and `check` must all report the same events.

use std::fs;
use std::path::PathBuf;

use argus_conformance::client::{Connection, Request, Transcript};
use argus_conformance::failure::Failure;
use argus_conformance::launcher::{Launcher as _, Running};
use argus_conformance::random::Random;
use serde_json::Value;

use crate::server::{get, kill, open, with_log};
use crate::site::Site;
use crate::wait::until;

/// Batches with more events in all than the log holds before it is sealed.
const BATCHES: u64 = 4;
const BATCH: u64 = 20_000;

/// Lets a server write a segment, changes a byte of it, and queries its events.
pub(crate) fn is_reported(site: &mut Site, _: &mut Random) -> Result<String, String> {
    let mut server = site.start()?;
    seal(server.as_ref()).map_err(|error| with_log(&error, server.as_ref()))?;
    kill(server.as_mut())?;
    change_a_byte(site)?;
    server = site.start()?;
    let affected = ask(site, server.as_ref()).map_err(|error| with_log(&error, server.as_ref()))?;
    kill(server.as_mut())?;
    let folder = site.folder.display().to_string();
    let exit = site.launcher.run_to_exit(&["check", &folder]).map_err(|failure| failure.to_string())?;
    if exit.code != Some(1) || !exit.stdout.contains(&format!("; {affected}\n")) {
        return Err(format!(
            "the server reports {affected}; `check` ends with {:?} and reports:\n{}",
            exit.code, exit.stdout
        ));
    }
    Ok(affected)
}

/// Stores events with the same time, whose ids and payloads contain their sequence number, until they are sealed.
fn seal(server: &dyn Running) -> Result<(), String> {
    let failed = |failure: Failure| failure.to_string();
    let mut connection = Connection::open(server.address(), Transcript::default()).map_err(failed)?;
    for batch in 0..BATCHES {
        let line = |seq: u64| {
            format!(
                "{{\"event_type\":\"a\",\"timestamp\":\"2024-05-01T12:00:00Z\",\
                 \"id\":\"id-{seq}\",\"payload\":{{\"n\":{seq}}}}}\n"
            )
        };
        let body: String = (batch * BATCH + 1..=(batch + 1) * BATCH).map(line).collect();
        let response = connection.request(&Request::post("/events", "application/x-ndjson", body)).map_err(failed)?;
        response.expect(201).map_err(failed)?;
    }
    until("one segment of all events", || {
        let metrics = get(server.address(), "/metrics")?;
        Ok(metrics.text().map_err(failed)?.lines().any(|line| line == "argus_stored_segments 1"))
    })
}

/// Changes a byte in the middle of the blocks, which come first in a segment.
fn change_a_byte(site: &Site) -> Result<(), String> {
    let blobs = site.folder.join("blobs");
    let change = || {
        let mut segments: Vec<PathBuf> =
            fs::read_dir(&blobs)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        segments.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("segment-")));
        let segment = segments.pop().ok_or_else(|| std::io::Error::other("no segment"))?;
        let mut bytes = fs::read(&segment)?;
        let middle = bytes.len() / 4;
        bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
        fs::write(&segment, bytes)
    };
    change().map_err(|error| format!("{}: {error}", blobs.display()))
}

/// Queries the damaged events in every way. Returns the description of the affected events.
fn ask(site: &Site, server: &dyn Running) -> Result<String, String> {
    let address = server.address();
    let readiness = || {
        let response = get(address, "/health/ready")?;
        let body = response.json().map_err(|failure| failure.to_string())?;
        Ok::<_, String>((response.status(), body))
    };
    let (status, body) = readiness()?;
    if (status, text(&body, "status")) != (200, "pass") {
        return Err(format!("before any damage was found, readiness is {status} {body}"));
    }
    // A streamed answer cannot report an error any more; it must break off.
    if get(address, "/events").is_ok_and(|response| response.status() == 200) {
        return Err("an answer without the damaged events looks complete".to_owned());
    }
    let (status, body) = readiness()?;
    let output = text(&body, "output");
    let affected = output.strip_prefix("part of what is stored is damaged, ").unwrap_or_default();
    if (status, text(&body, "status")) != (200, "warn") || affected.is_empty() {
        return Err(format!("after damage was found, readiness is {status} {body}"));
    }
    let first: u64 = affected
        .split_ascii_whitespace()
        .find_map(|word| word.parse().ok())
        .ok_or_else(|| format!("no event is named: {output}"))?;
    let expected = format!("part of what is stored is damaged; {affected}");
    for target in [format!("/events/id-{first}"), format!("/events?limit=1&payload.n={first}")] {
        let response = get(address, &target)?;
        let problem = response.problem(500).map_err(|failure| failure.to_string())?;
        if text(&problem, "type") != "/problems/damaged" || text(&problem, "detail") != expected {
            return Err(format!("GET {target} says {problem}, and readiness {output}"));
        }
    }
    let others = get(address, "/events/id-1")?;
    others.expect(200).map_err(|failure| failure.to_string())?;
    // Whether the id is stored cannot be read, so the event must be refused.
    let event = format!("{{\"event_type\":\"a\",\"timestamp\":1,\"id\":\"id-{first}\",\"payload\":0}}");
    let mut connection = open(address)?;
    let response = connection.request(&Request::post("/events", "application/json", event));
    let problem = response.and_then(|response| response.problem(503)).map_err(|failure| failure.to_string())?;
    let detail = text(&problem, "detail");
    let is_right = detail.contains("nothing was stored") && detail.ends_with(&format!("; {affected}"));
    let (status, body) = readiness()?;
    let output = text(&body, "output");
    if !is_right || status != 503 || !output.ends_with(&format!("; {affected}")) {
        return Err(format!("a POST of id-{first} says {problem}, and readiness {status} {body}"));
    }
    if [detail, output].iter().any(|told| told.contains("segment-") || told.contains("offset")) {
        return Err(format!("answers reveal the place of the damage: {detail}, and {output}"));
    }
    let metrics = get(address, "/metrics")?;
    let metrics = metrics.text().map_err(|failure| failure.to_string())?;
    if !metrics.lines().any(|line| line == "argus_damage_found_total 4") {
        return Err(format!("damage was found four times, but\n{metrics}"));
    }
    let folder = site.folder.display().to_string();
    let is_told = |line: &str| line.contains("ERROR") && line.contains("segment-") && line.contains(&folder);
    let count = || server.log().lines().filter(|line| is_told(line)).count();
    // A log line may arrive later than the answer.
    until("four log lines that name the place of the damage", || Ok(count() >= 4))?;
    match count() {
        4 => Ok(affected.to_owned()),
        count => Err(format!("damage was found four times, but {count} log lines name its place")),
    }
}

/// A string member; empty if it is missing or no string.
fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}
