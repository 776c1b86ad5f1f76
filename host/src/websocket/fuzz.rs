//! A fuzz target: any bytes as the frames of a client, in any pieces.
//!
//! It is not among those of `argus-testing`, which knows the core only. A short run comes with the tests, and
//! `cargo xtask fuzz` runs [`hunt`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use argus_testing::Random;
use argus_testing::fuzz::{Mutator, Target, reduce};
use bytes::Bytes;

use super::Message;
use super::codec::{Codec, Event, State};

const TARGET: Target = Target {
    name: "frames",
    about: "the frames of a client mean the same in any pieces, and take little memory",
    run: frames,
    seeds,
    words: &["\u{81}", "\u{1}\u{80}", "\u{89}\u{80}", "\u{88}\u{82}\u{3}\u{e8}", "a", "\u{7e}", "\u{7f}"],
    smoke_runs: 5_000,
};

/// The environment variable with the seconds of a hunt.
const SECONDS: &str = "ARGUS_FUZZ_SECONDS";

/// The environment variable with the file of an input that is run instead.
const INPUT: &str = "ARGUS_FUZZ_INPUT";

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 200;

/// The longest close frame of a server, in bytes: two for the header, and a payload as control frames may have it.
const CLOSE_BYTES_MAX: usize = 2 + 125;

/// What comes of the bytes of a client: the events, the end and the output.
type Outcome = (Vec<Event>, State, Vec<u8>);

/// Takes all events of a piece, and writes what the server says.
fn take(codec: &mut Codec, (events, _, output): &mut Outcome, written: impl FnOnce(usize) -> usize) {
    events.extend(std::iter::from_fn(|| codec.next_event()));
    // A client may take a part only.
    let length = written(codec.output().len());
    output.extend_from_slice(codec.output().get(..length).unwrap());
    codec.advance(length);
    codec.rest();
}

fn outcome(data: &[u8], mut piece: impl FnMut(usize) -> usize) -> Outcome {
    let mut codec = Codec::new(MESSAGE_BYTES_MAX);
    let mut outcome = (Vec::new(), State::Open, Vec::new());
    let mut rest = data;
    while !rest.is_empty() {
        let (next, after) = rest.split_at(piece(rest.len()).clamp(1, rest.len()));
        rest = after;
        codec.handle_input(Bytes::copy_from_slice(next));
        take(&mut codec, &mut outcome, |length| piece(length).min(length));
    }
    codec.handle_end();
    take(&mut codec, &mut outcome, |length| length);
    assert!(codec.output().is_empty() && codec.held_bytes() <= 1024, "nothing is held while there is nothing to send");
    outcome.1 = codec.state();
    outcome
}

/// The input is what a client sends. The pieces are drawn from it as well.
fn frames(data: &[u8]) {
    let whole = outcome(data, |length| length);
    let (events, state, output) = &whole;
    assert!(matches!(state, State::Closed | State::Gone), "the client is gone, and not {state:?}");
    for event in events {
        match event {
            Event::Message(Message::Text(text)) => {
                assert!(text.len() <= MESSAGE_BYTES_MAX && std::str::from_utf8(text).is_ok(), "{text:?}");
            }
            Event::Message(Message::Binary(bytes)) => assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{bytes:?}"),
            Event::Pong => {}
        }
    }
    // A pong is shorter than its ping, which has a mask.
    assert!(output.len() <= data.len() + CLOSE_BYTES_MAX, "{} bytes of output", output.len());
    assert_eq!(outcome(data, |_| 1), whole, "byte by byte");
    let mut random = Random::bytes(data);
    assert_eq!(outcome(data, |length| random.index(length.min(16) + 1)), whole, "in pieces");
}

/// A masked frame. The mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => vec![0x80 | length],
        Ok(_) | Err(_) => {
            let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
            vec![0x80 | 126, high, low]
        }
    };
    [&[first][..], &length, &[0; 4], payload].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let text = frame(0x81, "grün".as_bytes());
    let parts = [frame(0x01, b"a"), frame(0x89, b"ping"), frame(0x80, b"b")].concat();
    let close = frame(0x88, &[&1000_u16.to_be_bytes()[..], b"done"].concat());
    vec![
        text.clone(),
        parts.clone(),
        [&text[..], &parts, &close].concat(),
        close.clone(),
        frame(0x82, &[0xff; 200]),
        frame(0x82, &[0; 201]),
        frame(0x81, &[0xff]),
        frame(0x8a, b""),
        frame(0xc1, b"reserved"),
        frame(0x83, b""),
        frame(0x88, &[3]),
        frame(0x89, &[b'x'; 126]),
        // Without a mask, and with a length of 64 bits.
        vec![0x81, 1, b'a'],
        vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
        Vec::new(),
    ]
}

/// Runs one input; the panic of a failure has the input, as short as it could be made.
fn run(input: &[u8]) {
    let fails = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (TARGET.run)(input))).is_err();
    if fails(input) {
        let short = reduce(input, fails);
        panic!("the target {} fails for the input b\"{}\"", TARGET.name, short.escape_ascii());
    }
}

#[test]
fn frames_mean_the_same_in_any_pieces() {
    let mut mutator = Mutator::new(seeds(), TARGET.words, 1);
    let changed: Vec<Vec<u8>> = (0..TARGET.smoke_runs).map(|_| mutator.next_input()).collect();
    seeds().iter().chain(&changed).for_each(|input| run(input));
}

#[test]
#[ignore = "`cargo xtask fuzz` runs it"]
fn hunt() {
    if let Some(file) = std::env::var_os(INPUT) {
        run(&std::fs::read(file).unwrap());
        return println!("{:<10} held", TARGET.name);
    }
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(10);
    // The keys of a fresh hash table are the only randomness in the standard library.
    let mut mutator = Mutator::new(seeds(), TARGET.words, RandomState::new().build_hasher().finish());
    let (begun, mut runs) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        run(&mutator.next_input());
        runs += 1;
    }
    println!("{:<10}{runs:>12} runs", TARGET.name);
}
