//! How long a connection may go on with what it is doing.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;

fn state() -> ConnectionState {
    ConnectionState::new(&Settings::read("test", ["test"]).unwrap())
}

fn lapse(state: &ConnectionState) -> Option<Lapse> {
    state.deadline().map(|(_, lapse)| lapse)
}

#[test]
fn each_phase_has_its_own_patience() {
    let state = state();
    assert_eq!(lapse(&state), Some(Lapse::Idle));
    state.head_bytes_arrived(b"GET");
    assert_eq!(lapse(&state), Some(Lapse::Head));
    state.request_begins();
    assert_eq!(lapse(&state), None);
    state.write_stalls(|| None);
    assert_eq!(lapse(&state), Some(Lapse::Write));
    let stalled_since = state.deadline();
    state.write_stalls(|| panic!("it was asked when the stall began"));
    assert_eq!(state.deadline(), stalled_since);
    state.write_moves();
    assert_eq!(lapse(&state), None);
    state.answer_ends();
    assert_eq!(lapse(&state), None);
    state.flushed();
    assert_eq!(lapse(&state), Some(Lapse::Idle));
    state.linger_begins();
    assert_eq!(lapse(&state), Some(Lapse::Linger));
}

#[test]
fn a_connection_is_idle_from_the_last_byte_of_an_answer_on() {
    let state = state();
    state.request_begins();
    state.answer_ends();
    state.write_stalls(|| Some(70));
    assert_eq!(lapse(&state), Some(Lapse::Write), "a client that takes its time to read");
    state.write_moves();
    let before = Instant::now();
    state.flushed();
    let idle = state.deadline();
    assert!(idle.unwrap().0 >= before + state.keep_alive_timeout);
    state.flushed();
    assert_eq!(state.deadline(), idle, "nothing was written since");
}

#[test]
fn a_connection_has_a_moment_before_it_is_closed_for_another() {
    // It was opened just now for as long as this test lasts.
    let opened = Instant::now() + Duration::from_secs(3600);
    let state =
        ConnectionState::opened(&Settings::read("test", ["test", "--keep-alive-timeout", "2h"]).unwrap(), opened);
    assert!(state.evict());
    assert_eq!(state.deadline(), Some((opened + RECENT, Lapse::Evicted)));
    state.head_bytes_arrived(b"GET / HTTP/1.1\r\n\r\n");
    state.request_begins();
    assert_eq!(lapse(&state), None);
    assert!(!state.evict());
    let answered = Instant::now();
    state.answer_ends();
    state.flushed();
    assert_eq!(lapse(&state), Some(Lapse::Idle), "the wish for its place is forgotten");
    assert!(state.evict());
    let (at, lapse) = state.deadline().unwrap();
    assert!(lapse == Lapse::Evicted && at >= answered + RECENT);
}

#[test]
fn what_has_come_is_read_before_a_connection_is_closed_for_another() {
    let state = state();
    state.request_begins();
    state.answer_ends();
    state.flushed();
    assert!(state.evict());
    state.look_at_input(true);
    assert_eq!(lapse(&state), Some(Lapse::Idle));
    assert!(!state.evict());
    state.head_bytes_arrived(b"GET");
    assert!(state.evict(), "what came is not all of a head");
    state.linger_begins();
    state.look_at_input(true);
    assert!(state.evict());
    assert_eq!(lapse(&state), Some(Lapse::Evicted));
}

#[test]
fn more_bytes_do_not_prolong_a_head() {
    let state = state();
    state.head_bytes_arrived(b"G");
    let deadline = state.deadline();
    state.head_bytes_arrived(b"E");
    assert_eq!(state.deadline(), deadline);
}

#[test]
fn an_answer_lasts_until_it_is_flushed() {
    let state = state();
    assert_eq!(state.writing(), Writing::HyperError);
    state.request_begins();
    state.flushed();
    assert_eq!(state.writing(), Writing::Whole);
    state.answer_ends();
    assert_eq!(state.writing(), Writing::Whole);
    state.flushed();
    assert_eq!(state.writing(), Writing::HyperError);
}

#[test]
fn a_streamed_answer_lasts_until_its_end_is_flushed() {
    let state = state();
    state.request_begins();
    state.streaming_begins();
    state.flushed();
    assert_eq!(state.writing(), Writing::Streamed);
    state.streaming_ends();
    state.answer_ends();
    assert_eq!(state.writing(), Writing::Streamed);
    state.flushed();
    assert_eq!(state.writing(), Writing::HyperError);
}

#[test]
fn a_streamed_answer_that_breaks_off_never_ends() {
    let state = state();
    state.request_begins();
    state.streaming_begins();
    state.answer_ends();
    state.flushed();
    assert_eq!(state.writing(), Writing::Streamed);
}

#[test]
fn only_who_takes_something_gets_more_time() {
    let state = state();
    state.request_begins();
    state.write_stalls(|| Some(70));
    let deadline = state.deadline();
    state.look_at_stall(Some(70));
    state.look_at_stall(None);
    assert_eq!(state.deadline(), deadline);
    state.look_at_stall(Some(71));
    assert!(state.deadline().unwrap().0 > deadline.unwrap().0);
    let deadline = state.deadline();
    state.look_at_stall(Some(71));
    assert_eq!(state.deadline(), deadline);
}

#[test]
fn a_client_is_listened_to_while_it_sends_and_not_for_ever() {
    let state = state();
    state.linger_begins();
    let pause = state.deadline().unwrap().0;
    state.linger_hears();
    let (longer, lapse) = state.deadline().unwrap();
    assert!(longer > pause);
    assert_eq!(lapse, Lapse::Linger);
    let end = match &mut state.lock().phase {
        Phase::Lingering { begun, heard } => {
            *heard = *begun + LINGER;
            *heard
        }
        Phase::Idle(_) | Phase::Head(_) | Phase::Busy => panic!("it lingers"),
    };
    assert_eq!(state.deadline(), Some((end, Lapse::Linger)));
}

#[test]
fn a_drain_does_not_listen_for_long() {
    let state = state();
    state.linger_begins();
    if let Phase::Lingering { heard, .. } = &mut state.lock().phase {
        *heard += LINGER;
    }
    let (long, _) = state.deadline().unwrap();
    state.drain_begins();
    let (short, lapse) = state.deadline().unwrap();
    assert!(lapse == Lapse::Linger && short < long, "{short:?} {long:?}");
    state.drain_begins();
    assert_eq!(state.deadline(), Some((short, lapse)), "it has begun before");
    state.linger_begins();
    let begun = state.deadline().unwrap().0;
    assert!(begun > short, "one that was answered while the server drains has its time");
}

#[test]
fn a_request_lasts_from_its_first_byte_to_the_last_of_its_answer() {
    let state = state();
    assert!(!state.in_request());
    state.head_bytes_arrived(b"G");
    assert!(state.in_request());
    state.request_begins();
    assert!(state.in_request());
    state.answer_ends();
    assert!(state.in_request());
    state.flushed();
    assert!(!state.in_request());
}

#[test]
fn only_the_request_that_the_bytes_begin_with_is_looked_up() {
    let state = state();
    state.head_bytes_arrived(b"POST / HTTP/1.1\r\nHo");
    state.head_bytes_arrived(b"st: a\r\n\r\nPOST / HTTP/1.1\r\nHost: b\r\n\r\n");
    state.request_begins();
    assert_eq!(state.take_raw_head().unwrap()[..23], *b"POST / HTTP/1.1\r\nHost: ");
    state.answer_ends();
    state.request_begins();
    assert_eq!(state.take_raw_head(), None);
}

#[test]
fn an_answered_head_is_not_looked_up_again() {
    let state = state();
    state.head_bytes_arrived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n{}");
    state.request_begins();
    state.answer_ends();
    assert_eq!(state.take_raw_head(), None);
    state.head_bytes_arrived(b"GET");
    assert_eq!(state.take_raw_head().unwrap(), b"GET");
}
