//! A repository on disk, as a server has it open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed, TYPES_MAX_DEFAULT, Tuning};
use argus_core::event::{PAYLOAD_BYTES_DEFAULT, PAYLOAD_DEPTH_DEFAULT, Timestamp};
use argus_core::ingest::{
    self, Dialect, Framing, Handling, Mapping, ParseOptions, Parsed, Pointer, TimeSource, TypeSource,
};
use argus_core::query::Filter;
use argus_core::repository::{MaintenanceQueue, Repository as _};
use argus_disk::{DiskStorage, Options};
use argus_export::{COLUMNS_DEFAULT, Export, Format, Written};
use tempfile::TempDir;

/// Events of every kind: several kinds at one path, empty objects, arrays, escapes, nulls, and numbers at the limits.
pub(crate) const EVENTS: &str = include_str!("events.ndjson");

/// A small log, so that there are several files of it.
const OPTIONS: Options = Options { log_file_bytes: 1 << 16 };

/// The time of all commits.
const NOW: Timestamp = Timestamp::from_nanos(1_714_564_800_000_000_000);

pub(crate) struct Repository {
    root: TempDir,
    pub(crate) engine: Engine<DiskStorage>,
}

impl Repository {
    /// An empty repository, whose engine seals events after a few.
    pub(crate) fn new() -> Self {
        Self::with(OPTIONS, Tuning { seal_events: 64, block_bytes: 4096, ..Tuning::default() })
    }

    /// An empty repository, with the sizes of a server.
    pub(crate) fn of_default_sizes() -> Self {
        Self::with(Options::default(), Tuning::default())
    }

    fn with(options: Options, tuning: Tuning) -> Self {
        let root = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(root.path().join("data"), options).unwrap();
        Self { engine: Engine::open_with(storage, Seed(7), tuning).unwrap(), root }
    }

    /// The folder of the repository.
    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A folder for files.
    pub(crate) fn folder(&self) -> &Path {
        self.root.path()
    }

    /// Stores an event from each line.
    pub(crate) fn store(&mut self, lines: &str) {
        self.store_as(Dialect::Native, lines);
    }

    /// Stores an event from each line of an export.
    pub(crate) fn store_exported(&mut self, lines: &str) {
        self.store_as(mapped("/event_type", "/timestamp", Some("/id"), Some("/payload")), lines);
    }

    /// Stores an event from each line of an export or another product.
    pub(crate) fn store_as(&mut self, dialect: Dialect, lines: &str) {
        let options = ParseOptions {
            framing: Framing::Lines,
            records: None,
            dialect,
            handling: Handling::Strict,
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
            depth_max: PAYLOAD_DEPTH_DEFAULT,
            types_max: TYPES_MAX_DEFAULT,
            permitted: None,
        };
        let (Parsed::One(batch) | Parsed::Many { batch, .. }) = ingest::parse(lines.as_bytes(), &options, NOW).unwrap();
        self.engine.commit(NOW, &[batch]).unwrap();
    }

    /// Seals and compacts what is due, as a server does.
    pub(crate) fn maintain(&mut self) {
        let mut queue = MaintenanceQueue::default();
        let moment = Moment { wall: NOW, uptime: Duration::ZERO };
        while queue.step(&mut self.engine, moment, 1_000).unwrap().is_pending() {}
    }

    /// Exports all events, and returns the file.
    pub(crate) fn export(&self, format: Format) -> (PathBuf, Written) {
        self.export_of(Export {
            format,
            filter: Filter::default(),
            columns_max: COLUMNS_DEFAULT,
            output: self.folder().join(format!("events.{format}")),
        })
    }

    pub(crate) fn export_of(&self, export: Export) -> (PathBuf, Written) {
        let snapshot = argus_export::open(&self.path()).unwrap();
        let written = export.begin().unwrap().run(&snapshot, &mut |_| {}).unwrap();
        assert_eq!(written.bytes, export.output.metadata().unwrap().len());
        (export.output, written)
    }
}

/// Records with their parts at these places.
pub(crate) fn mapped(event_type: &str, time: &str, id: Option<&str>, payload: Option<&str>) -> Dialect {
    let pointer = |text: &str| Pointer::parse(text).unwrap();
    Dialect::Foreign(Mapping {
        event_type: TypeSource::Pointer(pointer(event_type)),
        timestamp: TimeSource { from: Box::new([pointer(time)]), or_arrival: false },
        id: id.map(pointer).into_iter().collect(),
        payload: payload.map(pointer),
    })
}
