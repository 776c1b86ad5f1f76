//! Clients that do not read their answers, over whole connections, with a manual clock.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::thread;

use argus_core::engine::{Engine, Retention, Seed, Tuning};
use argus_disk::DiskStorage;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::backend::Opened;
use crate::testing::{Connected, End, Server, settings};

/// What the system of a slow client buffers.
const ROOM: usize = 4096;

/// HTTP/1.0, so that the body ends with the connection and has no chunk headers.
const LIST: &[u8] = b"GET /events HTTP/1.0\r\nhost: x\r\naccept: application/jsonl\r\n\r\n";

/// Events in one request.
const BATCH: u64 = 500;

/// A client that asked for all events and reads nothing.
fn slow(server: &Server) -> Connected {
    let mut client = server.connect_with_room(ROOM);
    client.send(LIST);
    client
}

/// Stores a batch of events whose payloads can hardly be compressed.
fn store(writer: &mut Connected, seed: u64) {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state >> 32
    };
    let mut event = |time: u64| {
        let text: String = (0..25).map(|_| format!("{:08x}", noise())).collect();
        format!(r#"{{"event_type":"type{}","timestamp":{time},"payload":"{text}"}}"#, time % 7)
    };
    let body = format!("[{}]", (0..BATCH).map(&mut event).collect::<Vec<_>>().join(","));
    let length = body.len();
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nprefer: return=minimal";
    let answer = writer.ask(&format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}"), "}\n");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

fn seqs(answer: &str) -> Vec<u64> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    body.lines().map(seq).collect()
}

/// The sequence number of the first event that is stored.
fn first_seq(server: &Server) -> u64 {
    let mut client = server.connect();
    client.send(b"GET /events?order=seq&limit=1 HTTP/1.0\r\nhost: x\r\naccept: application/jsonl\r\n\r\n");
    seqs(&client.read_to_end())[0]
}

/// The deleted files of a folder that this process has open, on Linux.
fn deleted_files(folder: &Path) -> Vec<String> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let names = targets.map(|target| target.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&*folder.to_string_lossy()) && name.ends_with("(deleted)")).collect()
}

/// A server over a folder that keeps a few thousand events.
fn retaining(folder: &TempDir) -> Server {
    let tuning =
        Tuning { seal_events: 1_000, fan_in: 2, block_bytes: 4096, segment_events_max: 2_000, ..Tuning::default() };
    let storage = DiskStorage::open(folder.path(), argus_disk::Options::default()).unwrap();
    let mut engine = Engine::open_with(storage, Seed(7), tuning).unwrap();
    engine.retain(Retention { age: None, bytes: Some(1 << 20) });
    Server::over(Opened { repository: Box::new(engine), flush_every: None }, settings(""))
}

/// How many files events were sealed into.
fn segment_files(folder: &TempDir) -> usize {
    let blobs = fs::read_dir(folder.path().join("blobs")).unwrap();
    blobs.filter(|blob| blob.as_ref().unwrap().file_name().to_string_lossy().starts_with("segment-")).count()
}

#[test]
fn clients_that_read_nothing_keep_nothing_that_retention_removes() {
    const CLIENTS: usize = 48;
    const EVENTS: u64 = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let server = retaining(&folder);
    let mut writer = server.connect();
    let mut batches = 0;
    let mut store_next = || {
        batches += 1;
        store(&mut writer, batches);
    };
    for _ in 0..EVENTS / BATCH {
        store_next();
    }
    // The second one is written after the first has become part of the snapshot.
    while segment_files(&folder) < 2 {
        thread::yield_now();
    }
    assert_eq!(first_seq(&server), 1);
    let mut clients: Vec<Connected> = (0..CLIENTS).map(|_| slow(&server)).collect();
    assert_eq!(server.node.answers.held().1, CLIENTS);

    while first_seq(&server) <= EVENTS {
        store_next();
    }
    if cfg!(target_os = "linux") {
        assert!(!deleted_files(folder.path()).is_empty(), "the answers hold what was removed");
    }
    server.time.advance(PARKED_MAX);
    assert_eq!(server.node.answers.sweep(server.time.now()), PARKED_MAX);
    let held = server.node.answers.held().0;
    assert!(held <= CLIENTS * (FIRST_BYTES + 16 * 1024), "{held} bytes");
    // The maintenance thread may have some open for a moment.
    while !deleted_files(folder.path()).is_empty() {
        thread::yield_now();
    }

    // By time, which begins anew with each batch. What was not sent yet has been removed.
    let sorted: Vec<u64> = (1..=BATCH).flat_map(|seq| (seq..=EVENTS).step_by(BATCH as usize)).collect();
    for client in &mut clients {
        let found = seqs(&client.read_to_end());
        assert_eq!(client.expect_end(End::Close), "");
        assert!(!found.is_empty() && sorted.starts_with(&found), "{found:?}");
    }
    assert_eq!(server.node.answers.held(), (0, 0));
}

/// A server with a budget that one slow client exhausts.
fn full() -> (Server, Connected) {
    let server =
        Server::start("--max-answer-bytes 100000 --query-memory 64KiB --max-payload-bytes 100000 --request-timeout 3s");
    let mut writer = server.connect();
    for batch in 0..8 {
        store(&mut writer, batch);
    }
    let client = slow(&server);
    assert!(server.node.answers.held().0 >= 100_000);
    (server, client)
}

#[test]
fn an_answer_without_room_waits_until_there_is_some() {
    let (server, mut first) = full();
    let mut second = slow(&server);
    server.time.advance(Duration::from_millis(2_999));
    assert_eq!(second.received(), "");
    assert_eq!(seqs(&first.read_to_end()).len(), 4_000);
    assert_eq!(seqs(&second.read_to_end()).len(), 4_000);
    assert_eq!(server.node.answers.held(), (0, 0));
}

#[test]
fn an_answer_without_room_is_refused_at_its_deadline() {
    let (server, mut first) = full();
    let mut second = slow(&server);
    server.time.advance(Duration::from_millis(2_999));
    assert_eq!(second.received(), "");
    server.time.advance(Duration::from_millis(1));
    let refused = second.read_to_end();
    assert!(refused.starts_with("HTTP/1.0 503") && refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("answers to other requests use all the memory"), "{refused}");
    // An event by its id needs no room.
    let found = server.connect().ask("GET /events/none HTTP/1.1\r\nhost: x\r\n\r\n", "}\n");
    assert!(found.starts_with("HTTP/1.1 404"), "{found}");
    assert_eq!(seqs(&first.read_to_end()).len(), 4_000);
}
