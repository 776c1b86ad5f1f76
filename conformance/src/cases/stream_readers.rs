//! `GET /events/stream`: many readers, readers that are cut, slow ones, and the end of the server.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{EventStream, Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["stream_readers";
    "GET /events/stream": [
        readers_that_are_cut_and_resumed_miss_nothing, readers_share_what_they_read, a_burst_makes_nobody_slow,
        a_slow_reader_is_told_where_to_resume, readers_that_do_not_read_hold_little_memory,
        a_reader_that_leaves_is_noticed, a_reader_that_takes_nothing_is_closed, a_drain_tells_every_reader,
        metrics_count_streams,
    ],
];

/// A heartbeat after this much silence shows that a queue has been too long for as long as makes its reader slow, which
/// is a second.
const SLOW_AFTER: &str = "1200ms";

/// The number of open streams.
const OPEN: &str = "argus_streams{transport=\"sse\"}";

/// Waits until a metric has this value.
fn wait_for_metric(server: &Server, series: &str, value: f64) -> Outcome {
    let deadline = Instant::now() + patience();
    loop {
        let found = server.metric(series)?;
        if found == value {
            return Ok(());
        }
        check!(Instant::now() < deadline, "{series} to become {value}, not {found}");
    }
}

/// One event of this type, with this many bytes in its payload, as a line.
fn line(event_type: &str, bytes: usize) -> String {
    format!("{{\"event_type\":\"{event_type}\",\"timestamp\":0,\"payload\":\"{}\"}}\n", "x".repeat(bytes))
}

fn readers_that_are_cut_and_resumed_miss_nothing(ctx: &Context<'_>) -> Outcome {
    const WRITERS: usize = 3;
    const BATCHES: usize = 40;
    let server = ctx.empty()?;
    server.submit_lines(line("t0", 0).repeat(100))?.expect(201)?;
    let is_written = AtomicBool::new(false);
    let write = |writer: usize| -> Outcome {
        let mut connection = server.connect()?;
        for batch in 0..BATCHES {
            let lines: String = (0..=batch % 7).map(|n| line(&format!("t{}", (writer + n) % 5), n * 20)).collect();
            connection.request(&Request::post("/events", "application/x-ndjson", lines))?.expect(201)?;
        }
        Ok(())
    };
    // Reads some events, leaves, and comes back, until the last event was seen.
    let read = |reader: usize| -> Result<Vec<u64>, Failure> {
        let all = "after_seq=0&type=end&type[prefix]=t";
        let query = if reader.is_multiple_of(2) { "after_seq=0" } else { all };
        let (mut seen, mut last_id) = (Vec::new(), None);
        for round in 0.. {
            let mut stream = server.resume_stream(query, last_id)?;
            loop {
                let event = stream.next_event()?;
                seen.extend(event["seq"].as_u64());
                if event["event_type"] == "end" {
                    return Ok(seen);
                }
                if seen.len() % (7 + reader + round % 11) == 0 && !is_written.load(Ordering::Relaxed) {
                    last_id = stream.last_id();
                    break;
                }
            }
        }
        Ok(seen)
    };
    let seen: Vec<Vec<u64>> = thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|reader| scope.spawn(move || read(reader))).collect();
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let gone = || Failure::unmet("no panic");
        let written: Vec<Outcome> =
            writers.into_iter().map(|writer| writer.join().map_err(|_| gone()).flatten()).collect();
        is_written.store(true, Ordering::Relaxed);
        // After a writer that has failed, too: the readers wait for this event.
        server.submit_lines(line("end", 0))?.expect(201)?;
        written.into_iter().collect::<Outcome>()?;
        readers.into_iter().map(|reader| reader.join().map_err(|_| gone())?).collect::<Result<_, Failure>>()
    })?;
    let last = server.metric("argus_stored_events")? as u64;
    for (reader, seen) in seen.iter().enumerate() {
        check!(seen.iter().copied().eq(1..=last), "each event once and in order at reader {reader}, not {seen:?}");
    }
    Ok(())
}

fn readers_share_what_they_read(ctx: &Context<'_>) -> Outcome {
    const READERS: usize = 60;
    const FILTERS: usize = 10;
    let server = ctx.empty()?;
    let query = |filter: usize| format!("type=t{filter}");
    let mut readers: Vec<EventStream> =
        (0..READERS).map(|reader| server.stream(&query(reader % FILTERS))).collect::<Result<_, _>>()?;
    let lines = |round: usize| (0..100).map(|n| line(&format!("t{}", (n * 7 + round) % 15), 10)).collect::<String>();
    for round in 0..10 {
        server.submit_lines(lines(round))?.expect(201)?;
    }
    for (index, reader) in readers.iter_mut().enumerate() {
        let found = server.find(&format!("{}&order=seq", query(index % FILTERS)))?;
        let expected: Vec<u64> = found.iter().filter_map(|event| event["seq"].as_u64()).collect();
        check!(expected.len() > 20, "events of the type {}", index % FILTERS);
        check_eq!(reader.seqs(expected.len())?, expected, "the events of reader {index}");
    }
    Ok(())
}

fn a_burst_makes_nobody_slow(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 5_000;
    let server = ctx.start(&[("--stream-queue-events", "10"), ("--stream-buffer-bytes", "65536")])?;
    let mut stream = server.stream("")?;
    server.submit_lines(line("a", 10).repeat(EVENTS))?.expect(201)?;
    let expected: Vec<u64> = (1..=EVENTS as u64).collect();
    check!(stream.seqs(EVENTS)? == expected, "all events of a burst in their order");
    Ok(())
}

fn a_slow_reader_is_told_where_to_resume(ctx: &Context<'_>) -> Outcome {
    for limit in [("--stream-queue-events", "50"), ("--stream-queue-bytes", "100000")] {
        let server = ctx.start(&[limit, ("--write-timeout", "5m"), ("--stream-heartbeat", SLOW_AFTER)])?;
        let mut stream = EventStream::open(server.connect_with_small_buffer()?, &Request::get("/events/stream"))?;
        // More than all buffers on the way hold.
        for _ in 0..16 {
            server.submit_lines(line("a", 10_000).repeat(100))?.expect(201)?;
        }
        check_eq!(server.stream("type=none")?.next_block()?.as_deref(), Some(":"), "silence");
        let mut last = 0;
        let told = loop {
            let sent = stream.next_sent()?.ok_or_else(|| Failure::unmet("a notice before the end"))?;
            if !sent.name.is_empty() {
                break sent;
            }
            check_eq!(sent.id, Some(last + 1), "the next event");
            last += 1;
        };
        check_eq!((&*told.name, told.data), ("slow", format!("{{\"after_seq\":{last}}}")), "the notice");
        check!(last < 1_600, "a reader that is told before it has everything");
        stream.expect_end()?;
        stream.into_connection().expect_close()?;
        let mut resumed = server.resume_stream("", Some(last))?;
        let rest: Vec<u64> = (last + 1..=1_600).collect();
        check!(resumed.seqs(rest.len())? == rest, "the rest of the events");
        check_eq!(server.metric("argus_streams_ended_total{reason=\"slow\"}")?, 1.0, "slow readers");
    }
    Ok(())
}

/// Resident memory of a process in bytes, on Linux.
fn resident(process: u32) -> Result<usize, Failure> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).map_err(|_| Failure::skipped("needs /proc, as on Linux"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Failure::unmet(format!("VmRSS in {path}")))
}

fn readers_that_do_not_read_hold_little_memory(ctx: &Context<'_>) -> Outcome {
    const READERS: usize = 200;
    const BUFFER_BYTES: usize = 4 << 20;
    /// What a connection may hold, with a piece of its stream in buffers.
    const READER_BYTES: usize = 256 << 10;
    const SENT_BYTES: usize = 32 << 20;
    let buffer = BUFFER_BYTES.to_string();
    // Queues so long that no reader is slow.
    let server = ctx.start(&[
        ("--stream-buffer-bytes", &*buffer),
        ("--stream-queue-events", "1000000"),
        ("--stream-queue-bytes", "1000000000"),
        ("--write-timeout", "5m"),
    ])?;
    let process = server.process().ok_or_else(|| Failure::skipped("needs the process of the server"))?;
    let readers: Vec<EventStream> = (0..READERS)
        .map(|_| EventStream::open(server.connect_with_small_buffer()?, &Request::get("/events/stream")))
        .collect::<Result<_, _>>()?;
    let before = resident(process)?;
    for _ in 0..SENT_BYTES >> 20 {
        server.submit_lines(line("a", 1_000).repeat(1_000))?.expect(201)?;
    }
    let held = server.metric("argus_stream_buffer_bytes")? as usize;
    check!(held <= BUFFER_BYTES, "a buffer within its limit, not {held} bytes");
    let (after, stored) = (resident(process)?, server.metric("argus_stored_bytes")? as usize);
    let most = before + READERS * READER_BYTES + BUFFER_BYTES + 3 * stored + (48 << 20);
    // If each reader had a queue of its own, they would hold gigabytes.
    check!(after <= most, "at most {} MiB resident, not {}; {stored} bytes stored", most >> 20, after >> 20);
    check_eq!(server.metric(OPEN)?, READERS as f64, "open streams");
    drop(readers);
    wait_for_metric(&server, OPEN, 0.0)?;
    check_eq!(server.metric("argus_stream_buffer_bytes")?, 0.0, "the bytes of the buffer without readers");
    Ok(())
}

fn a_reader_that_leaves_is_noticed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let readers: Vec<EventStream> = (0..5).map(|_| server.stream("")).collect::<Result<_, _>>()?;
    wait_for_metric(&server, OPEN, 5.0)?;
    for (index, reader) in readers.into_iter().enumerate() {
        if index % 2 == 0 {
            reader.into_connection().reset()?;
        }
    }
    wait_for_metric(&server, OPEN, 0.0)?;
    check_eq!(server.metric("argus_streams_ended_total{reason=\"client\"}")?, 5.0, "readers that left");
    Ok(())
}

fn a_reader_that_takes_nothing_is_closed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--write-timeout", "500ms")])?;
    let reader = EventStream::open(server.connect_with_small_buffer()?, &Request::get("/events/stream"))?;
    for _ in 0..16 {
        server.submit_lines(line("a", 10_000).repeat(100))?.expect(201)?;
    }
    reader.into_connection().wait_for_reset()?;
    wait_for_metric(&server, OPEN, 0.0)
}

fn a_drain_tells_every_reader(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    server.submit_lines(line("a", 10).repeat(10))?.expect(201)?;
    let mut readers = Vec::new();
    for query in ["", "after_seq=10", "after_seq=3", "type=none"] {
        readers.push(server.stream(query)?);
    }
    check_eq!(readers[2].seqs(7)?, [4, 5, 6, 7, 8, 9, 10], "the events of one");
    server.store(&json!({"event_type": "a", "timestamp": 0, "payload": 1}))?;
    for index in [0, 1, 2] {
        check_eq!(readers[index].seqs(1)?, [11], "the new event");
    }
    super::lifecycle::begin_drain(&server)?;
    for (mut reader, after) in readers.into_iter().zip([11, 11, 11, 10]) {
        reader.expect_notice("drain", "after_seq", after)?;
        reader.expect_end()?;
        reader.into_connection().expect_close()?;
    }
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn metrics_count_streams(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    check_eq!(server.metric(OPEN)?, 0.0, "open streams");
    let mut stream = server.stream("")?;
    wait_for_metric(&server, OPEN, 1.0)?;
    server.submit_lines(line("a", 10).repeat(3))?.expect(201)?;
    stream.seqs(3)?;
    check!(server.metric("argus_stream_buffer_bytes")? as usize > 0, "bytes in the buffer");
    drop(stream);
    wait_for_metric(&server, OPEN, 0.0)?;
    let page = server.get("/metrics")?;
    let reasons: BTreeSet<&str> = page.text()?.lines().filter(|line| line.starts_with("argus_streams_ended")).collect();
    check_eq!(reasons.len(), 5, "the reasons of ended streams");
    Ok(())
}
