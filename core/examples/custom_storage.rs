//! The engine on a custom storage medium, which keeps everything in memory and prints each call.
//!
//! ```sh
//! cargo run -p argus-core --example custom_storage
//! ```
//!
//! The engine defines what the bytes mean. A medium implements [`Storage`](argus_core::storage::Storage) and its two
//! supertraits. Their documentation says what must be durable when a method returns, and what the state is after an
//! error.

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use argus_core::batch::{BatchBuilder, NewEvent};
use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed};
use argus_core::event::{EventType, Payload, Timestamp};
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_core::storage::{
    Blob, Deletion, Draft, MemoryStorage, Published, Storage, StorageError, StorageReader, StorageWriter,
};
use bytes::Bytes;

/// Passes every call on to `inner`, and prints it.
#[derive(Clone, Debug, Default)]
struct Traced<S> {
    inner: S,
    appended_bytes: usize,
    syncs: usize,
}

impl<S: Storage> StorageReader for Traced<S> {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.inner.log_range()
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let bytes = self.inner.read_log(offset, len)?;
        println!("  read_log {} bytes at {offset}", bytes.len());
        Ok(bytes)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        println!("  open     {name:?}");
        self.inner.open(name)
    }
}

impl<S: Storage> StorageWriter for Traced<S> {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        println!("  append   {bytes} bytes to the log");
        self.inner.append(parts)?;
        self.appended_bytes += bytes;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        println!("  sync     the log, now durable up to byte {}", self.inner.log_end());
        self.inner.sync()?;
        self.syncs += 1;
        Ok(())
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        println!("  truncate the log to {end}");
        self.inner.truncate(end)
    }

    // Calls on drafts and blobs are not printed: the engine makes them on these handles, not on the storage.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        println!("  create   {name:?}");
        self.inner.create(name)
    }

    fn adopt(&mut self, published: Published) {
        println!("  adopt    {:?}, {} bytes", published.name, published.blob.len());
        self.inner.adopt(published);
    }
}

impl<S: Storage> Storage for Traced<S> {
    fn is_volatile(&self) -> bool {
        self.inner.is_volatile()
    }

    fn log_end(&self) -> u64 {
        self.inner.log_end()
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        println!("  discard  the log before {offset}");
        self.inner.discard(offset)
    }

    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        println!("  scrub    the log before {offset}");
        self.inner.scrub(offset)
    }

    fn delete(&mut self, name: &str) -> Deletion {
        let (deletion, name) = (self.inner.delete(name), name.to_owned());
        Box::new(move || {
            println!("  delete   {name:?}");
            deletion()
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("open an empty medium:");
    let mut engine = Engine::open(Traced::<MemoryStorage>::default(), Seed(0x5eed))?;

    let mut clock = Timestamp::parse("2024-05-01T12:00:00Z")?;
    for group in 1..=3 {
        println!("commit group {group}, of two batches:");
        engine.commit(clock, &[readings(clock, 3)?, readings(clock, 2)?])?;
        clock = Timestamp::from_nanos(clock.as_nanos() + 1_000_000_000);
    }

    println!("run the maintenance tasks:");
    // The clock of this example is never set. A host takes the uptime from a monotonic clock instead.
    let moment = Moment { wall: clock, uptime: Duration::from_secs(3) };
    let mut maintenance = MaintenanceQueue::default();
    while maintenance.step(&mut engine, moment, 10)? == Poll::Pending {}

    println!("open the same medium again:");
    let engine = Engine::open(engine.storage().clone(), Seed(0))?;

    let Traced { appended_bytes, syncs, .. } = engine.storage();
    let events = engine.snapshot().stats()?.events;
    println!("{events} events are stored, in {appended_bytes} bytes of log with {syncs} syncs");
    Ok(())
}

/// A batch of events that is built directly, not parsed from a request.
fn readings(timestamp: Timestamp, count: u32) -> Result<argus_core::batch::Batch, Box<dyn Error>> {
    let mut batch = BatchBuilder::new();
    for number in 0..count {
        let payload = format!(r#"{{"sensor":{number},"celsius":21.5}}"#);
        batch.push(NewEvent {
            event_type: EventType::parse("reading")?,
            timestamp,
            payload: Payload::parse(&payload)?,
            id: None,
        })?;
    }
    Ok(batch.finish())
}
