//! Measures synced appends per second, one after the other: at the end of a growing file, in files with reserved
//! blocks, and in files that were written before.
//!
//! ```sh
//! cargo run --release -p argus-disk --example append -- /var/tmp
//! ```
//!
//! The files lie in a temporary folder below the given one (default: the current folder), whose device is measured.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use argus_core::storage::{Storage, StorageWriter as _};
use argus_disk::{DiskStorage, Options};

const RECORD_BYTES: usize = 16 << 10;
const FILE_BYTES: u64 = 16 << 20;
const RECORDS: u64 = FILE_BYTES / RECORD_BYTES as u64;

/// All kinds take turns, so that other load on the machine affects each of them.
const ROUNDS: u32 = 8;

type Times = Vec<Duration>;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let (mut grown, mut reserved, mut recycled) = (Times::new(), Times::new(), Times::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(&parent)?;
        grow(&folder.path().join("file"), &mut grown)?;
        let mut storage = DiskStorage::open(folder.path().join("store"), Options { log_file_bytes: FILE_BYTES })?;
        fill(&mut storage, &mut reserved)?;
        fill(&mut storage, &mut reserved)?;
        // The last file is never trimmed; with this one, the two before it are.
        fill(&mut storage, &mut Times::new())?;
        while storage.discard(storage.log_end())? {}
        fill(&mut storage, &mut recycled)?;
        fill(&mut storage, &mut recycled)?;
    }
    println!("{RECORD_BYTES} bytes and a sync each, files of {} MiB, {ROUNDS} rounds", FILE_BYTES >> 20);
    report("growing file", grown);
    report("reserved blocks", reserved);
    report("written before", recycled);
    Ok(())
}

/// Appends as much as a log file holds to an empty file.
fn grow(path: &Path, times: &mut Times) -> Result<(), Box<dyn Error>> {
    let record = vec![0x5a; RECORD_BYTES];
    let mut file = File::create(path)?;
    for _ in 0..RECORDS {
        let begin = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(())
}

/// Fills a file of the log.
fn fill(storage: &mut DiskStorage, times: &mut Times) -> Result<(), Box<dyn Error>> {
    let record = vec![0x5a; RECORD_BYTES];
    for _ in 0..RECORDS {
        let begin = Instant::now();
        storage.append(&[&record])?;
        storage.sync()?;
        times.push(begin.elapsed());
    }
    Ok(())
}

fn report(kind: &str, mut times: Times) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let rate = times.len() as f64 / total.as_secs_f64();
    println!("{kind:16} {rate:6.0} a second, median {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}
