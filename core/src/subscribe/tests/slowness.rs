//! When a reader is too slow.

use super::*;

#[test]
fn a_reader_is_slow_if_its_queue_was_full_for_a_while() {
    let mut world = World::new(LIMITS);
    let mut reader = world.live(Filter::default());
    world.commit(&["a"; 10]);
    world.feed();
    world.now = SLOW_AFTER * 10;
    world.commit(&["a"; 30]);
    world.feed();
    world.now += SLOW_AFTER / 2;
    let mut batch = Vec::new();
    assert_eq!(reader.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Messages);
    world.now += SLOW_AFTER / 2;
    // The message that was too much before does not count any more, and the next one is as old.
    assert_eq!(reader.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Slow);
    assert_eq!(reader.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Slow);
    assert_eq!(seqs(&batch), [1]);
    assert_eq!(world.hub.live_readers(), 0);
}

#[test]
fn a_reader_whose_queue_is_full_and_no_fuller_is_not_slow() {
    let mut world = World::new(LIMITS);
    let mut reader = world.live(Filter::default());
    world.commit(&["a"; 10]);
    world.feed();
    world.now += SLOW_AFTER * 10;
    assert_eq!(world.drain(&mut reader).len(), 10);
}

#[test]
fn what_a_reader_has_taken_does_not_make_it_slow() {
    let mut world = World::new(StreamLimits { queue_bytes: 500, ..LIMITS });
    let mut reader = world.live(Filter::default());
    for _ in 0..20 {
        world.commit(&["a", "a"]);
        world.feed();
        world.now += SLOW_AFTER;
        assert_eq!(world.drain(&mut reader).len(), 2);
    }
}

#[test]
fn bytes_make_a_reader_slow_but_one_message_never_does() {
    let mut world = World::new(StreamLimits { queue_bytes: 150, ..LIMITS });
    let mut reader = world.live(Filter::default());
    world.commit(&[&"a".repeat(200)]);
    world.feed();
    world.now += SLOW_AFTER;
    assert_eq!(world.drain(&mut reader), [1]);
    world.commit(&["a", "a"]);
    world.feed();
    world.now += SLOW_AFTER;
    let mut batch = Vec::new();
    assert_eq!(reader.poll_live(&mut world.hub, world.now, 1_000, &mut batch), Live::Slow);
}

#[test]
fn a_reader_that_did_not_ask_while_its_messages_came_and_went_is_slow() {
    let mut world = World::new(StreamLimits { buffer_bytes: 1_000, ..LIMITS });
    let [mut quick, mut slow] = [(); 2].map(|()| world.live(Filter::default()));
    world.now = SLOW_AFTER * 10;
    for reader in [&mut quick, &mut slow] {
        assert_eq!(world.drain(reader), NONE);
    }
    world.commit(&["a"; 40]);
    world.feed();
    let mut batch = Vec::new();
    // Its place is lost, but it has asked just now.
    assert_eq!(quick.poll_live(&mut world.hub, world.now, 1_000, &mut batch), Live::History);
    world.now += SLOW_AFTER;
    assert_eq!(slow.poll_live(&mut world.hub, world.now, 1_000, &mut batch), Live::Slow);
    assert_eq!(world.drain(&mut quick).len(), 40);
}

#[test]
fn the_queue_is_full_of_bytes_only_with_the_message_that_is_too_much() {
    let mut sizes = World::new(LIMITS);
    let mut reader = sizes.live(Filter::default());
    sizes.commit(&["a"]);
    sizes.feed();
    let mut batch = Vec::new();
    assert_eq!(reader.poll_live(&mut sizes.hub, sizes.now, 1, &mut batch), Live::Messages);
    let bytes = batch.iter().map(|message| message.json.len() as u64).sum::<u64>();

    let mut world = World::new(StreamLimits { queue_bytes: 2 * bytes, ..LIMITS });
    let mut reader = world.live(Filter::default());
    world.commit(&["a", "a"]);
    world.feed();
    world.now += SLOW_AFTER;
    world.commit(&["a"]);
    world.feed();
    assert_eq!(world.drain(&mut reader), [1, 2, 3], "only the third is too much, and it has just come");
}

#[test]
fn what_comes_while_a_reader_is_still_in_history_does_not_make_it_slow() {
    let mut world = World::new(LIMITS);
    let mut others = world.live(Filter::default());
    let mut late = world.open(of_type("a"));
    world.commit(&["a"; 5]);
    assert!(world.begin_pass());
    let mut batch = Vec::new();
    // It has a place from here on, but scans what the pass does not examine for it.
    assert_eq!(late.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::History);
    assert_eq!(world.hub.live_readers(), 2);
    world.feed();
    assert_eq!(world.drain(&mut others).len(), 5);
    world.commit(&["a"; 30]);
    world.feed();
    world.now += SLOW_AFTER * 10;
    while late.is_in_history() {
        assert!(late.poll_history(&world.engine.reader(), 10, 1, &mut batch).unwrap().is_ready());
    }
    assert_eq!(late.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Messages);
    assert_eq!(seqs(&batch), [1, 2, 3, 4, 5, 6]);
    world.now += SLOW_AFTER - Duration::from_millis(1);
    assert_eq!(late.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Messages);
    world.now += Duration::from_millis(1);
    assert_eq!(late.poll_live(&mut world.hub, world.now, 1, &mut batch), Live::Slow, "now it was live for long enough");
}
