//! A process of a hunt without libFuzzer: runs inputs until its time is over, or until one of them ends it.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argus_testing::fuzz::{Mutator, Target};

use crate::folder::Folder;
use crate::plan::Work;

/// A run that takes longer is a failure: every input is small.
pub(crate) const RUN_TIME_MAX: Duration = Duration::from_secs(10);

/// How many runs were done. The watchdog compares it.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Runs all inputs to start from, and then changed ones. The input is in the slot before it is run, so that it is
/// there after a panic, an overflow of the stack, an abort, or an endless loop.
///
/// # Panics
///
/// If the target fails.
pub(crate) fn work(work: &Work) -> Result<(), String> {
    let failed = |error| format!("cannot write {}: {error}", work.slot.display());
    let mut slot = File::create(&work.slot).map_err(failed)?;
    let inputs = Folder::of(work.target)?.inputs()?;
    // The keys of a fresh hash table are the only randomness in the standard library.
    let seed = RandomState::new().build_hasher().finish();
    let mut mutator = Mutator::new(inputs.clone(), work.target.words, seed);
    let mut inputs = inputs.into_iter();
    let begun = Instant::now();
    thread::spawn(watch);
    loop {
        let first = inputs.next();
        if first.is_none() && begun.elapsed() >= work.time {
            break;
        }
        let input = first.unwrap_or_else(|| mutator.next_input());
        slot.rewind().map_err(failed)?;
        slot.write_all(&framed(&input)).map_err(failed)?;
        (work.target.run)(&input);
        RUNS.fetch_add(1, Ordering::Relaxed);
    }
    println!("runs: {}", RUNS.load(Ordering::Relaxed));
    Ok(())
}

/// The input in a slot; `None` if there is none.
pub(crate) fn in_slot(slot: &[u8]) -> Option<&[u8]> {
    let (len, rest) = slot.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)
}

/// Runs a target with one saved input.
///
/// # Panics
///
/// If the target fails.
pub(crate) fn repeat(target: &Target, path: &Path) -> Result<(), String> {
    let input = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    thread::spawn(watch);
    (target.run)(&input);
    println!("{} holds for {}, {} bytes", target.name, path.display(), input.len());
    Ok(())
}

/// The length and the input. A slot is not truncated, so it may have the rest of a longer input behind.
fn framed(input: &[u8]) -> Vec<u8> {
    let len = u32::try_from(input.len()).expect("inputs are small");
    [&len.to_le_bytes(), input].concat()
}

/// Ends the process if a run takes too long.
fn watch() {
    loop {
        let before = RUNS.load(Ordering::Relaxed);
        let begun = Instant::now();
        while begun.elapsed() < RUN_TIME_MAX {
            thread::park_timeout(RUN_TIME_MAX);
        }
        if RUNS.load(Ordering::Relaxed) == before {
            eprintln!("a run takes longer than {} s", RUN_TIME_MAX.as_secs());
            process::abort();
        }
    }
}
