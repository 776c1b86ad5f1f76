//! The deadlines of a connection, to the exact moment.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::super::presence::CHECK_INTERVAL;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// All different, so that they cannot be confused.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection, and the moment at which it was opened.
fn open() -> (ConnectionState, Instant) {
    let settings = "test --header-timeout 10s --keep-alive-timeout 60s --write-timeout 30s --max-body-bytes 1MiB";
    let settings = Settings::read("test", settings.split(' ')).unwrap();
    let now = Instant::now();
    (ConnectionState::new(&settings, now), now)
}

#[test]
fn each_phase_has_its_own_deadline() {
    let (mut state, opened) = open();
    assert_eq!(state.deadline(), Some((opened + KEEP_ALIVE_TIMEOUT, CloseReason::Idle)));
    let head = opened + 7 * SECOND;
    state.head_bytes_arrived(head, b"GET");
    assert_eq!(state.deadline(), Some((head + HEAD_TIMEOUT, CloseReason::SlowHead)));
    state.request_begins();
    assert_eq!(state.deadline(), None, "a request has its own timeout");
    let answered = opened + 500 * SECOND;
    state.answer_ends(answered);
    assert_eq!(state.deadline(), None, "the answer is still on its way");
    state.flushed(answered + SECOND);
    assert_eq!(state.deadline(), Some((answered + SECOND + KEEP_ALIVE_TIMEOUT, CloseReason::Idle)));
    let lingers = opened + 600 * SECOND;
    state.linger_begins(lingers);
    assert_eq!(state.deadline(), Some((lingers + LINGER_PAUSE, CloseReason::Lingered)));
}

#[test]
fn more_bytes_do_not_prolong_a_head() {
    let (mut state, opened) = open();
    state.head_bytes_arrived(opened, b"G");
    state.head_bytes_arrived(opened + 9 * SECOND, b"E");
    assert_eq!(state.deadline(), Some((opened + HEAD_TIMEOUT, CloseReason::SlowHead)));
}

/// When it is closed if the client's system acknowledges no more than this.
fn closes(state: &mut ConnectionState, acknowledged: Option<u64>) -> Option<(Instant, CloseReason)> {
    loop {
        let deadline = state.deadline()?;
        let (at, reason) = deadline;
        match reason {
            CloseReason::WriteStalled => state.check_stall(at, acknowledged),
            CloseReason::Idle
            | CloseReason::SlowHead
            | CloseReason::Lingered
            | CloseReason::Evicted
            | CloseReason::ClientGone => return Some(deadline),
        }
        if state.deadline() == Some(deadline) {
            return Some(deadline);
        }
    }
}

#[test]
fn the_write_timeout_starts_with_the_first_stall() {
    let (mut state, opened) = open();
    state.request_begins();
    state.write_stalls(opened + SECOND, || None);
    state.write_stalls(opened + 5 * SECOND, || panic!("it was asked when the stall began"));
    assert_eq!(closes(&mut state, None), Some((opened + SECOND + WRITE_TIMEOUT, CloseReason::WriteStalled)));
    state.write_progresses();
    assert_eq!(state.deadline(), None);
    state.write_stalls(opened + 9 * SECOND, || None);
    assert_eq!(closes(&mut state, None), Some((opened + 9 * SECOND + WRITE_TIMEOUT, CloseReason::WriteStalled)));
}

#[test]
fn a_stalled_live_stream_does_not_hold_up_a_drain() {
    let (mut state, opened) = open();
    state.request_begins();
    state.live_begins();
    state.write_stalls(opened, || None);
    assert_eq!(closes(&mut state, None), Some((opened + WRITE_TIMEOUT, CloseReason::WriteStalled)));
    state.drain_begins(opened + SECOND);
    assert_eq!(closes(&mut state, None), Some((opened + 6 * SECOND, CloseReason::WriteStalled)));
    state.write_progresses();
    state.write_stalls(opened + 3 * SECOND, || None);
    assert_eq!(closes(&mut state, None), Some((opened + 8 * SECOND, CloseReason::WriteStalled)));
    state.request_begins();
    assert_eq!(closes(&mut state, None), Some((opened + 3 * SECOND + WRITE_TIMEOUT, CloseReason::WriteStalled)));
}

#[test]
fn only_a_client_that_takes_something_gets_more_time() {
    let (mut state, opened) = open();
    state.request_begins();
    state.write_stalls(opened, || Some(70));
    let stalled = Some((opened + WRITE_TIMEOUT, CloseReason::WriteStalled));
    let check = opened + WRITE_TIMEOUT;
    for acknowledged in [Some(70), None] {
        assert_eq!(closes(&mut state, acknowledged), stalled);
    }
    state.check_stall(check, Some(71));
    state.check_stall(check + SECOND, Some(71));
    assert_eq!(closes(&mut state, Some(71)), Some((check + WRITE_TIMEOUT, CloseReason::WriteStalled)));
}

#[test]
fn bytes_under_way_when_a_stall_begins_hardly_prolong_it() {
    let (mut state, opened) = open();
    state.request_begins();
    state.write_stalls(opened, || Some(70));
    let (closed, reason) = closes(&mut state, Some(99)).unwrap();
    assert_eq!(reason, CloseReason::WriteStalled);
    assert!((opened + WRITE_TIMEOUT..opened + WRITE_TIMEOUT * 5 / 4).contains(&closed), "{:?}", closed - opened);
}

#[test]
fn a_connection_is_idle_from_the_last_byte_of_its_answer() {
    let (mut state, opened) = open();
    state.request_begins();
    state.answer_ends(opened + SECOND);
    state.write_stalls(opened + SECOND, || Some(70));
    assert_eq!(closes(&mut state, Some(70)), Some((opened + SECOND + WRITE_TIMEOUT, CloseReason::WriteStalled)));
    state.write_progresses();
    assert!(state.awaits_flush());
    state.flushed(opened + 20 * SECOND);
    let idle = Some((opened + 20 * SECOND + KEEP_ALIVE_TIMEOUT, CloseReason::Idle));
    assert_eq!(state.deadline(), idle);
    assert!(!state.awaits_flush());
    state.flushed(opened + 25 * SECOND);
    assert_eq!(state.deadline(), idle, "nothing was written since");
}

#[test]
fn a_refusal_is_sent_under_the_write_timeout() {
    let (mut state, opened) = open();
    state.head_bytes_arrived(opened, b"GET");
    state.set_head_error(HeadError::Malformed);
    state.set_head_error(HeadError::Late);
    assert_eq!(state.head_error(), Some(HeadError::Malformed), "the first reason counts");
    assert_eq!(state.deadline(), None);
    state.write_stalls(opened, || None);
    assert_eq!(closes(&mut state, None), Some((opened + WRITE_TIMEOUT, CloseReason::WriteStalled)));
}

#[test]
fn a_recent_connection_is_evicted_after_a_moment() {
    let (mut state, opened) = open();
    let soon = opened + RECENT / 2;
    assert_eq!(state.idleness(soon), Some((Idleness::Recent, opened)));
    assert!(state.evict(soon));
    assert_eq!(state.deadline(), Some((opened + RECENT, CloseReason::Evicted)));
    assert!(state.evict(opened + 2 * RECENT));
    assert_eq!(state.deadline(), Some((opened + RECENT, CloseReason::Evicted)), "the first eviction counts");
    state.head_bytes_arrived(soon, b"GET / HTTP/1.1\r\n\r\n");
    state.request_begins();
    assert_eq!(state.deadline(), None);
    assert!(!state.evict(soon));
    let answered = opened + 10 * SECOND;
    state.answer_ends(answered);
    state.flushed(answered);
    assert_eq!(
        state.deadline(),
        Some((answered + KEEP_ALIVE_TIMEOUT, CloseReason::Idle)),
        "the request cancelled the eviction"
    );
    let later = answered + RECENT;
    assert_eq!(state.idleness(later), Some((Idleness::BetweenRequests, answered)));
    assert!(state.evict(later));
    assert_eq!(state.deadline(), Some((later, CloseReason::Evicted)));
}

#[test]
fn unread_input_saves_a_connection_from_eviction() {
    let (mut state, opened) = open();
    let now = opened + SECOND;
    assert!(state.evict(now));
    state.check_input(true);
    assert_eq!(state.deadline(), Some((opened + KEEP_ALIVE_TIMEOUT, CloseReason::Idle)));
    assert!(!state.evict(now));
    state.head_bytes_arrived(now, b"GET");
    assert!(state.evict(now), "half a head does not save it");
    assert_eq!(state.idleness(now), Some((Idleness::InHead, now)));
    state.linger_begins(now);
    state.check_input(true);
    assert!(state.evict(now));
    assert_eq!(state.deadline(), Some((now, CloseReason::Evicted)));
}

#[test]
fn a_client_that_keeps_sending_is_read_for_a_limited_time() {
    let (mut state, opened) = open();
    assert_eq!(state.linger_bytes_max(), (1 << 20) + LINGER_EXTRA_BYTES);
    state.linger_begins(opened);
    let mut now = opened;
    while now < opened + LINGER - LINGER_PAUSE {
        now += 4 * SECOND;
        state.linger_receives(now);
        let pause = (now + LINGER_PAUSE).min(opened + LINGER);
        assert_eq!(state.deadline(), Some((pause, CloseReason::Lingered)));
    }
}

#[test]
fn a_drain_shortens_the_lingering() {
    let (mut state, opened) = open();
    state.linger_begins(opened);
    let drains = opened + 3 * SECOND;
    state.drain_begins(drains);
    state.drain_begins(drains + SECOND);
    state.linger_receives(opened + 6 * SECOND);
    assert_eq!(state.deadline(), Some((drains + LINGER_DRAINING, CloseReason::Lingered)), "only the first call counts");
    let later = drains + 60 * SECOND;
    state.linger_begins(later);
    assert_eq!(state.deadline(), Some((later + LINGER_DRAINING, CloseReason::Lingered)));
}

#[test]
fn an_answer_lasts_until_it_is_flushed() {
    let (mut state, now) = open();
    assert_eq!(state.writing(), Writing::HyperError);
    state.request_begins();
    state.flushed(now);
    assert_eq!(state.writing(), Writing::Whole);
    state.answer_ends(now);
    assert_eq!(state.writing(), Writing::Whole);
    state.flushed(now);
    assert_eq!(state.writing(), Writing::HyperError);
}

#[test]
fn a_streamed_answer_lasts_until_its_end_is_flushed() {
    let (mut state, now) = open();
    state.request_begins();
    state.streaming_begins(true);
    state.flushed(now);
    assert_eq!(state.writing(), Writing::Streamed);
    state.streaming_ends();
    state.answer_ends(now);
    assert_eq!(state.writing(), Writing::Streamed);
    state.flushed(now);
    assert_eq!(state.writing(), Writing::HyperError);
}

#[test]
fn a_streamed_answer_that_breaks_off_never_completes() {
    let (mut state, now) = open();
    state.request_begins();
    state.streaming_begins(true);
    state.answer_ends(now);
    state.flushed(now);
    assert_eq!(state.writing(), Writing::Streamed);
}

#[test]
fn a_request_lasts_from_its_first_byte_to_the_last_of_its_answer() {
    let (mut state, now) = open();
    assert!(!state.in_request());
    state.head_bytes_arrived(now, b"G");
    assert!(state.in_request());
    state.request_begins();
    assert!(state.in_request());
    state.answer_ends(now);
    assert!(state.in_request());
    state.flushed(now);
    assert!(!state.in_request());
}

#[test]
fn only_the_first_of_two_pipelined_heads_is_kept() {
    let (mut state, now) = open();
    state.head_bytes_arrived(now, b"POST / HTTP/1.1\r\nHo");
    state.head_bytes_arrived(now, b"st: a\r\n\r\nPOST / HTTP/1.1\r\nHost: b\r\n\r\n");
    state.request_begins();
    assert_eq!(state.take_raw_head().unwrap()[..23], *b"POST / HTTP/1.1\r\nHost: ");
    state.answer_ends(now);
    state.request_begins();
    assert_eq!(state.take_raw_head(), None);
}

#[test]
fn an_answered_head_is_not_returned_again() {
    let (mut state, now) = open();
    state.head_bytes_arrived(now, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n{}");
    state.request_begins();
    state.answer_ends(now);
    assert_eq!(state.take_raw_head(), None);
    state.head_bytes_arrived(now, b"GET");
    assert_eq!(state.take_raw_head().unwrap(), b"GET");
}

/// A connection with a request whose client is checked, and the moment at which it began.
fn watched() -> (ConnectionState, Instant) {
    let (mut state, now) = open();
    state.request_begins();
    state.watch_client(now);
    (state, now)
}

#[test]
fn a_waiting_client_is_checked_repeatedly() {
    let (mut state, begun) = watched();
    let mut check = begun;
    for _ in 0..3 {
        check += CHECK_INTERVAL;
        assert_eq!(state.deadline(), Some((check, CloseReason::ClientGone)));
        assert_eq!(state.check_client(check, Some(TcpState::Open)), None);
    }
    state.answer_ends(check);
    assert_eq!(state.deadline(), None, "the answer is complete");
}

#[test]
fn a_connection_whose_client_is_gone_is_closed() {
    let (mut state, begun) = watched();
    let check = begun + CHECK_INTERVAL;
    assert_eq!(state.check_client(check, Some(TcpState::Closed)), None);
    assert_eq!(state.deadline(), Some((check, CloseReason::ClientGone)), "the check does not postpone it");
    state.check_client(check, None);
    assert_eq!(state.deadline(), None, "without TCP states, clients are not checked");
}

#[test]
fn a_half_closed_client_is_probed_byte_by_byte() {
    let (mut state, begun) = watched();
    let mut probes = Vec::new();
    let (mut sent, mut now) = (Vec::new(), begun);
    while now < begun + 200 * SECOND {
        now += CHECK_INTERVAL;
        if let Some(byte) = state.check_client(now, Some(TcpState::HalfClosed)) {
            state.probe_sent(now);
            sent.push(byte);
            probes.push((now - begun).as_millis());
        }
    }
    assert_eq!(sent, b"HTTP/1.");
    assert_eq!(probes, [500, 1500, 3500, 7500, 15_500, 31_500, 63_500]);
    assert_eq!(state.sent_ahead(), b"HTTP/1.");
    state.write_progresses();
    assert_eq!(state.sent_ahead(), b"");
}

#[test]
fn a_probe_that_could_not_be_sent_is_sent_later() {
    let (mut state, begun) = watched();
    for check in 1..3 {
        assert_eq!(state.check_client(begun + check * CHECK_INTERVAL, Some(TcpState::HalfClosed)), Some(b'H'));
        assert_eq!(state.sent_ahead(), b"");
    }
}

#[test]
fn between_chunks_the_probes_are_zeros() {
    let (mut state, begun) = watched();
    let mut now = begun;
    let mut probe = |state: &mut ConnectionState| {
        now += 60 * SECOND;
        let byte = state.check_client(now, Some(TcpState::HalfClosed));
        if byte.is_some() {
            state.probe_sent(now);
        }
        byte
    };
    assert_eq!(probe(&mut state), Some(b'H'));
    state.streaming_begins(true);
    assert_eq!(state.sent_ahead(), b"H");
    state.write_progresses();
    assert_eq!(probe(&mut state), None, "the head may not be written yet");
    state.flushed(begun);
    let zeros: Vec<u8> = (0..20).filter_map(|_| probe(&mut state)).collect();
    assert_eq!(zeros, b"0000000");
    assert_eq!(state.sent_ahead(), b"", "a chunk's size may follow them");
    state.write_progresses();
    state.flushed(begun);
    assert_eq!(probe(&mut state), Some(b'0'));
    state.write_stalls(begun, || None);
    assert_eq!(probe(&mut state), None);
}

#[test]
fn an_answer_without_chunks_or_length_is_not_probed() {
    let (mut state, begun) = watched();
    state.streaming_begins(false);
    state.write_progresses();
    state.flushed(begun);
    let check = begun + CHECK_INTERVAL;
    assert_eq!(state.check_client(check, Some(TcpState::HalfClosed)), None);
    assert_eq!(state.check_client(check, Some(TcpState::Closed)), None);
    assert_eq!(state.deadline(), Some((check + CHECK_INTERVAL, CloseReason::ClientGone)));
}
