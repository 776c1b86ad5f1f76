//! The engine over files, against the naive model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::batch::Batch;
use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Failure, ImportError, Maintenance, Reader, Receipt, Repository};
use argus_core::transfer::Transfer;
use argus_disk::{DiskStorage, Options};
use argus_testing::{Pair, Random, SMALL, Step, generate};
use tempfile::TempDir;

/// So short that records cross files and that sealing trims the log.
const OPTIONS: Options = Options { log_file_bytes: 1000 };

/// An engine that can be closed and reopened.
struct Reopened {
    root: TempDir,
    engine: Option<Engine<DiskStorage>>,
}

impl Reopened {
    fn new(seed: u128) -> Self {
        let root = tempfile::tempdir().unwrap();
        let disk = DiskStorage::open(root.path(), OPTIONS).unwrap();
        let engine = Some(Engine::open_with(disk, Seed(seed), SMALL).unwrap());
        Self { root, engine }
    }

    fn reopen(&mut self) {
        self.engine = None;
        let disk = DiskStorage::open(self.root.path(), OPTIONS).unwrap();
        // Another seed, which must have no effect: the repository keeps its own.
        self.engine = Some(Engine::open_with(disk, Seed(0xbad), SMALL).unwrap());
    }

    fn engine(&mut self) -> &mut Engine<DiskStorage> {
        self.engine.as_mut().unwrap()
    }
}

impl Repository for Reopened {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        self.engine().commit(now, group)
    }

    fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        self.engine().erase(now, filter)
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        self.engine().import(transfer)
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        self.engine().maintenance()
    }

    fn failure(&self) -> Option<&Failure> {
        self.engine.as_ref().unwrap().failure()
    }

    fn reader(&self) -> Reader {
        self.engine.as_ref().unwrap().reader()
    }
}

#[test]
fn an_engine_over_files_answers_like_the_model() {
    for seed in 0..16_u64 {
        let mut random = Random::seeded(seed);
        let mut pair = Pair::new(Reopened::new(seed.into()), Reopened::reopen);
        for step in 0..25 {
            let reopened = step % 4 == 3;
            let drawn = if reopened { Step::Reopen } else { Step::draw(&mut random) };
            pair.run(&drawn).unwrap_or_else(|difference| panic!("seed {seed}, step {step}: {difference}"));
        }
        let queries = [generate::scan(&mut random)];
        pair.check(&queries).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
}
