//! Readers, a hub and its feed over an engine in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;

use super::*;
use crate::batch::{BatchBuilder, NewEvent};
use crate::engine::{Engine, Seed};
use crate::event::{EventType, Payload, Timestamp};
use crate::query::{Filter, TypeTest};
use crate::repository::Repository as _;
use crate::storage::MemoryStorage;

mod removed;
mod slowness;

const LIMITS: StreamLimits = StreamLimits { queue_events: 10, queue_bytes: 1 << 20, buffer_bytes: 1 << 20 };

const NONE: [u64; 0] = [];

/// Everything that a stream needs.
struct World {
    engine: Engine<MemoryStorage>,
    hub: Hub,
    feed: Feed,
    now: Duration,
}

impl World {
    fn new(limits: StreamLimits) -> Self {
        let engine = Engine::open(MemoryStorage::default(), Seed(1)).unwrap();
        Self { engine, hub: Hub::new(limits), feed: Feed::default(), now: Duration::ZERO }
    }

    /// Commits one event of each type.
    fn commit(&mut self, types: &[&str]) {
        let mut batch = BatchBuilder::new();
        for name in types {
            let event = NewEvent {
                event_type: EventType::parse(name).unwrap(),
                timestamp: Timestamp::from_nanos(7),
                payload: Payload::parse("{}").unwrap(),
                id: None,
            };
            batch.push(event).unwrap();
        }
        self.engine.commit(Timestamp::from_nanos(1), &[batch.finish()]).unwrap();
    }

    fn open(&mut self, filter: Filter) -> Subscription {
        let last_seq = self.engine.reader().take().unwrap().last_seq();
        Subscription::new(self.hub.open(), filter, last_seq)
    }

    /// A reader that is live.
    fn live(&mut self, filter: Filter) -> Subscription {
        let mut reader = self.open(filter);
        assert_eq!(self.drain(&mut reader), NONE);
        reader
    }

    /// Begins a pass, if there is one to begin.
    fn begin_pass(&mut self) -> bool {
        let snapshot = self.engine.reader().take().unwrap();
        let Some(assignment) = self.hub.begin(&*snapshot) else { return false };
        assert_eq!(self.feed.begin(assignment, &snapshot).unwrap(), Begun::Pass);
        true
    }

    /// Takes one piece of the pass, of one event or less; returns the readers that it wakes, or `None` at the end.
    fn piece(&mut self) -> Option<Vec<ReaderId>> {
        let mut woken = Vec::new();
        let Polled::Piece(piece) = self.feed.poll(1).unwrap() else { return None };
        self.hub.apply(piece, self.now, &mut woken);
        Some(woken)
    }

    /// Does all passes; returns the readers that were woken.
    fn feed(&mut self) -> Vec<ReaderId> {
        let mut all = Vec::new();
        while self.begin_pass() {
            while let Some(woken) = self.piece() {
                all.extend(woken);
            }
        }
        all
    }

    /// The sequence numbers of everything that a reader gets before it has to wait.
    fn drain(&mut self, reader: &mut Subscription) -> Vec<u64> {
        let mut batch = Vec::new();
        loop {
            if reader.is_in_history() {
                match reader.poll_history(&self.engine.reader(), 3, 100, &mut batch).unwrap() {
                    Poll::Ready(Found::Gap { first_seq }) => panic!("a gap up to {first_seq}"),
                    Poll::Ready(Found::Messages | Found::End) | Poll::Pending => {}
                }
            } else {
                match reader.poll_live(&mut self.hub, self.now, 100, &mut batch) {
                    Live::Messages | Live::History => {}
                    Live::Wait => return seqs(&batch),
                    Live::Slow => panic!("slow after {:?}", seqs(&batch)),
                }
            }
        }
    }
}

fn seqs(batch: &[Message]) -> Vec<u64> {
    for Message { seq, json } in batch {
        assert!(String::from_utf8(json.to_vec()).unwrap().contains(&alloc::format!("\"seq\":{seq},")));
    }
    batch.iter().map(|message| message.seq).collect()
}

fn of_type(name: &str) -> Filter {
    Filter { types: Some(vec![TypeTest::Eq(name.into())]), ..Filter::default() }
}

fn after(seq: u64) -> Filter {
    Filter { after_seq: Some(seq), ..Filter::default() }
}

#[test]
fn a_reader_gets_what_is_stored_and_then_what_comes() {
    let mut world = World::new(LIMITS);
    world.commit(&["a", "b", "a"]);
    let mut all = world.open(after(1));
    let mut a = world.open(Filter { after_seq: Some(0), ..of_type("a") });
    let mut new = world.open(Filter::default());
    assert!(all.is_in_history() && a.is_in_history() && !new.is_in_history());
    assert_eq!(world.drain(&mut all), [2, 3]);
    assert_eq!(world.drain(&mut a), [1, 3]);
    assert_eq!(world.drain(&mut new), NONE);
    assert_eq!((world.hub.live_readers(), world.hub.filters()), (3, 2), "two of them want all events");
    world.commit(&["b", "a"]);
    assert_eq!(world.drain(&mut all), NONE, "nobody has looked yet");
    world.feed();
    assert_eq!(world.drain(&mut all), [4, 5]);
    assert_eq!(world.drain(&mut a), [5]);
    assert_eq!(world.drain(&mut new), [4, 5]);
    assert_eq!(a.position(), 5);
}

#[test]
fn a_pass_wakes_each_reader_that_waits_for_it_once_and_no_other() {
    let mut world = World::new(LIMITS);
    let mut first = world.live(of_type("a"));
    let second = world.live(of_type("a"));
    let other = world.live(of_type("b"));
    world.commit(&["a", "c", "a"]);
    assert_eq!(world.feed(), [first.reader(), second.reader()]);
    world.commit(&["a"]);
    assert_eq!(world.feed(), [], "they have not asked since");
    assert_eq!(world.drain(&mut first), [1, 3, 4]);
    world.commit(&["a"]);
    assert_eq!(world.feed(), [first.reader()]);
    world.hub.close(first.reader());
    world.hub.close(second.reader());
    world.commit(&["a", "b"]);
    assert_eq!(world.feed(), [other.reader()]);
    world.hub.close(other.reader());
    assert_eq!((world.hub.live_readers(), world.hub.filters(), world.hub.buffer_bytes()), (0, 0, 0));
    assert_ne!(world.hub.take_discarded().messages(), 0, "for the host to drop");
    assert_eq!(world.hub.take_discarded().messages(), 0);
    assert!(!world.begin_pass(), "the hub rests without readers");
}

#[test]
fn equal_filters_are_one() {
    let mut world = World::new(LIMITS);
    let types = |names: &[&str]| Filter {
        types: Some(names.iter().map(|name| TypeTest::Eq((*name).into())).collect()),
        ..Filter::default()
    };
    for names in [&["a", "b"][..], &["b", "a"], &["a", "a", "b"]] {
        world.live(types(names));
    }
    assert_eq!(world.hub.filters(), 1);
    let prefix = TypeTest::Prefix("a".into());
    world.live(Filter { types: Some(vec![prefix, TypeTest::Eq("b".into())]), ..Filter::default() });
    assert_eq!(world.hub.filters(), 2);
}

#[test]
fn readers_join_in_the_middle_of_a_pass() {
    let mut world = World::new(LIMITS);
    let mut early = world.live(Filter::default());
    world.commit(&["a", "b", "a", "b", "a"]);
    assert!(world.begin_pass());
    while world.hub.lag(5) > 3 {
        world.piece().unwrap();
    }
    // One with a filter that the pass knows, and one with a new filter.
    let mut known = world.open(after(1));
    let mut new = world.open(Filter { after_seq: Some(1), ..of_type("a") });
    world.commit(&["b", "a"]);
    assert_eq!(world.drain(&mut new), [3, 5, 7]);
    let got = world.drain(&mut known);
    assert_eq!(got, [2, 3, 4, 5, 6, 7]);
    world.feed();
    assert_eq!(world.drain(&mut early), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.drain(&mut known), NONE);
    assert_eq!(world.drain(&mut new), NONE);
    world.commit(&["a"]);
    world.feed();
    for reader in [&mut early, &mut known, &mut new] {
        assert_eq!(world.drain(reader), [8]);
    }
}

#[test]
fn a_reader_that_is_pushed_out_of_the_buffer_goes_back_to_history() {
    let mut world = World::new(StreamLimits { buffer_bytes: 1_000, ..LIMITS });
    let mut rare = world.live(of_type("rare"));
    let mut common = world.live(of_type("common"));
    world.commit(&["rare", "rare"]);
    for _ in 0..20 {
        world.commit(&["common"; 4]);
        world.feed();
        assert!(world.hub.buffer_bytes() <= 1_000);
        assert_eq!(world.drain(&mut common).len(), 4);
    }
    world.commit(&["rare"]);
    world.feed();
    assert_eq!(world.drain(&mut rare), [1, 2, 83]);
}

#[test]
fn a_buffer_without_room_for_one_message_loses_nothing() {
    let mut world = World::new(StreamLimits { buffer_bytes: 0, ..LIMITS });
    let mut reader = world.live(Filter::default());
    for seq in 1..4 {
        world.commit(&["a"]);
        assert_eq!(world.feed(), [reader.reader()]);
        assert_eq!(world.drain(&mut reader), [seq]);
    }
}

#[test]
fn a_reset_loses_nothing() {
    let mut world = World::new(LIMITS);
    let mut readers = [Filter::default(), of_type("a"), of_type("b")].map(|filter| world.live(filter));
    world.commit(&["a", "b"]);
    assert!(world.begin_pass());
    world.piece();
    let mut woken = Vec::new();
    world.hub.reset(2, &mut woken);
    assert_eq!(woken.len(), 3);
    world.commit(&["a"]);
    assert_eq!(readers.each_mut().map(|reader| world.drain(reader)), [vec![1, 2, 3], vec![1, 3], vec![2]]);
    world.commit(&["a", "b"]);
    world.feed();
    assert_eq!(readers.each_mut().map(|reader| world.drain(reader)), [vec![4, 5], vec![4], vec![5]]);
}

#[test]
fn a_position_that_the_repository_has_not_reached_is_a_gap() {
    let mut world = World::new(LIMITS);
    world.commit(&["a", "a"]);
    let mut reader = world.open(after(7));
    let mut batch = Vec::new();
    let found = reader.poll_history(&world.engine.reader(), 10, 100, &mut batch).unwrap();
    assert_eq!(found, Poll::Ready(Found::Gap { first_seq: 3 }));
    assert_eq!(world.drain(&mut reader), NONE);
    world.commit(&["a"]);
    world.feed();
    assert_eq!(world.drain(&mut reader), [3]);
}

#[test]
fn a_reader_that_scans_up_to_the_hub_goes_on_if_the_repository_is_replaced_by_a_smaller_one() {
    let mut world = World::new(LIMITS);
    let _first = world.live(Filter::default());
    let mut late = world.open(of_type("a"));
    world.commit(&["a"; 5]);
    assert!(world.begin_pass());
    let mut batch = Vec::new();
    assert_eq!(late.poll_live(&mut world.hub, world.now, 100, &mut batch), Live::History);
    world.engine = Engine::open(MemoryStorage::default(), Seed(2)).unwrap();
    world.commit(&["a"; 2]);
    world.hub.reset(2, &mut Vec::new());
    for _ in 0..10 {
        if late.is_in_history() {
            assert!(late.poll_history(&world.engine.reader(), 10, 1_000, &mut batch).unwrap().is_ready());
        } else if late.poll_live(&mut world.hub, world.now, 100, &mut batch) == Live::Wait {
            break;
        }
    }
    assert_eq!((seqs(&batch), world.hub.live_readers()), (vec![1, 2], 1));
    world.commit(&["a"]);
    assert_eq!(world.feed(), [late.reader()]);
    assert_eq!(world.drain(&mut late), [3]);
}

#[test]
fn a_hub_that_rests_begins_where_its_first_reader_is() {
    let mut world = World::new(LIMITS);
    world.commit(&["a"; 5]);
    let reader = world.live(Filter::default());
    world.hub.close(reader.reader());
    world.engine = Engine::open(MemoryStorage::default(), Seed(2)).unwrap();
    world.commit(&["a"; 2]);
    let mut reader = world.live(Filter::default());
    assert_eq!(world.hub.position(), 2);
    world.commit(&["a"]);
    world.feed();
    assert_eq!(world.drain(&mut reader), [3]);
}

#[test]
fn a_hub_that_rests_after_a_pass_may_go_back_behind_it() {
    let mut world = World::new(LIMITS);
    let first = world.live(Filter::default());
    let mut late = world.open(after(0));
    let mut batch = Vec::new();
    assert_eq!(late.poll_history(&world.engine.reader(), 9, 9, &mut batch).unwrap(), Poll::Ready(Found::End));
    world.commit(&["a"]);
    assert!(world.begin_pass());
    while world.hub.position() < 1 {
        world.piece().unwrap();
    }
    world.hub.close(first.reader());
    assert_eq!(late.poll_live(&mut world.hub, world.now, 9, &mut batch), Live::Wait);
    while world.piece().is_some() {}
    world.feed();
    assert_eq!(world.drain(&mut late), [1]);
}

#[test]
fn a_new_feed_may_follow_while_there_are_no_readers() {
    let mut world = World::new(LIMITS);
    let [gone, other] = ["a", "b"].map(|name| world.live(of_type(name)));
    world.commit(&["a"]);
    world.feed();
    [gone, other].iter().for_each(|reader| world.hub.close(reader.reader()));
    world.feed = Feed::default();
    let mut reader = world.live(of_type("a"));
    world.commit(&["a", "b"]);
    assert_eq!(world.feed(), [reader.reader()]);
    assert_eq!(world.drain(&mut reader), [2]);
}

#[test]
fn a_reader_that_has_left_is_not_woken_and_its_filter_is_forgotten() {
    let mut world = World::new(LIMITS);
    let [gone, stays] = [(); 2].map(|()| world.live(of_type("a")));
    let all = world.live(Filter::default());
    world.commit(&["b"]);
    assert_eq!(world.feed(), [all.reader()]);
    world.hub.close(gone.reader());
    world.commit(&["a"]);
    assert_eq!(world.feed(), [stays.reader()], "the third has not asked since");
    world.hub.close(stays.reader());
    world.commit(&["a"]);
    assert!(world.begin_pass());
    let Polled::Piece(piece) = world.feed.poll(100).unwrap() else { panic!("a pass") };
    assert_eq!(piece.found.iter().map(|(_, groups)| groups.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn the_hub_does_not_read_what_came_while_it_had_no_readers() {
    let mut world = World::new(LIMITS);
    world.commit(&["a"; 5]);
    let reader = world.live(Filter::default());
    assert_eq!(world.hub.lag(5), 0);
    world.hub.close(reader.reader());
    world.commit(&["a"; 5]);
    let _reader = world.live(Filter::default());
    assert_eq!(world.hub.lag(10), 0);
}

#[test]
fn a_history_does_not_keep_the_segments_that_it_does_not_read() {
    let mut world = World::new(LIMITS);
    world.commit(&["a"; 9]);
    world.commit(&["b"]);
    let mut reader = world.open(Filter { after_seq: Some(0), ..of_type("b") });
    let current = world.engine.reader();
    let snapshot = Arc::downgrade(&current.take().unwrap());
    let mut batch = Vec::new();
    assert!(reader.poll_history(&current, 1, 1, &mut batch).unwrap().is_pending());
    assert!(reader.is_in_history());
    // It replaces the snapshot.
    world.commit(&["a"]);
    drop(current);
    assert!(snapshot.upgrade().is_none(), "the reader keeps the snapshot");
    assert_eq!(world.drain(&mut reader), [10]);
}

#[test]
fn a_reader_moves_on_past_what_it_does_not_want() {
    let mut world = World::new(LIMITS);
    let mut reader = world.live(of_type("a"));
    world.commit(&["b"; 5]);
    assert_eq!(world.feed(), []);
    assert_eq!(world.drain(&mut reader), NONE);
    assert_eq!(reader.position(), 5, "its client need not scan them again");
}

#[test]
fn numbers_are_not_used_again() {
    let mut hub = Hub::new(LIMITS);
    let numbers: BTreeSet<ReaderId> = (0..3)
        .map(|_| {
            let reader = hub.open();
            hub.close(reader);
            reader
        })
        .collect();
    assert_eq!(numbers.len(), 3);
}
