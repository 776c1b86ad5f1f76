//! A folder of events, the program that serves it, and what is known of what is in it.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use argus_conformance::launcher::{BinaryLauncher, Demand, Running};

use crate::audit;
use crate::client::{Client, Load};
use crate::draw::Draw;
use crate::ledger::{Attempt, Ledger, Sums};

/// A folder under test.
#[derive(Debug)]
pub(crate) struct Site {
    /// Starts servers on the folder.
    pub(crate) launcher: BinaryLauncher,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What was sent there, and what of it is there.
    pub(crate) ledger: Ledger,
    connections: u64,
}

/// How much the clients submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its name, for reports.
    pub(crate) name: &'static str,
    /// Events in batches, at most.
    budget: i64,
    /// Events in one batch, at least and at most.
    batch: (u64, u64),
    /// Requests in a hundred that are batches, while the budget lasts.
    batches: u64,
    /// Whether events have much payload.
    long: bool,
    /// Time that a client lets pass between two requests.
    pause: Duration,
}

/// Mostly single events.
pub(crate) const LIGHT: Shape =
    Shape { name: "light", budget: 1000, batch: (1, 10), batches: 5, long: false, pause: Duration::ZERO };
/// Single events and small batches.
pub(crate) const MIXED: Shape =
    Shape { name: "mixed", budget: 8000, batch: (1, 200), batches: 30, long: true, pause: Duration::ZERO };
/// Batches that soon are enough for a segment to be sealed.
pub(crate) const HEAVY: Shape =
    Shape { name: "heavy", budget: 35_000, batch: (1000, 5000), batches: 50, long: false, pause: Duration::ZERO };
/// The same with so many bytes that the log moves on from file to file.
pub(crate) const BROAD: Shape =
    Shape { name: "broad", budget: 15_000, batch: (1000, 3000), batches: 50, long: true, pause: Duration::ZERO };

/// Single events and batches at a pace that can be kept up for long: what is there has to be remembered and looked at.
pub(crate) const PACED: Shape =
    Shape { name: "paced", budget: 60_000, batch: (1, 2000), batches: 5, long: true, pause: Duration::from_millis(3) };

/// A time of so many milliseconds.
pub(crate) fn millis(draw: &mut Draw, from: u64, to: u64) -> Duration {
    Duration::from_millis(draw.from(from..=to))
}

impl Site {
    /// A new folder. With `log_file_bytes` the files of its log are not as long as the service would make them, so that
    /// there are many; the documentation of `argus-disk` has the layout.
    pub(crate) fn new(
        binary: &Path,
        folder: PathBuf,
        log_file_bytes: Option<u64>,
        connections: u64,
    ) -> Result<Self, String> {
        if let Some(bytes) = log_file_bytes {
            // For the owner alone, as the service makes them: it warns of folders that other users can read, and no
            // warning is expected. A umask of 022 would let others read.
            let mut folders = DirBuilder::new();
            folders.recursive(true).mode(0o700);
            let made = folders
                .create(folder.join("log"))
                .and_then(|()| folders.create(folder.join("blobs")))
                .and_then(|()| fs::write(folder.join("format"), format!("argus-disk 1\nlog-file-bytes {bytes}\n")));
            made.map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let repository = format!("disk:{}", folder.display());
        let launcher = BinaryLauncher { binary: binary.to_owned(), repository, wrapper: Vec::new() };
        Ok(Self { launcher, folder, ledger: Ledger::default(), connections })
    }

    /// Starts a server, which has to come up.
    pub(crate) fn start(&self) -> Result<Box<dyn Running>, String> {
        use argus_conformance::launcher::Launcher as _;
        self.launcher.start(Demand::Any).map_err(|failure| failure.to_string())
    }

    /// Submits until `meanwhile`, which runs beside and may look at what is known so far, is done.
    pub(crate) fn load(
        &mut self,
        address: SocketAddr,
        shape: Shape,
        draw: &mut Draw,
        meanwhile: impl FnOnce(&Ledger) -> Result<(), String>,
    ) -> Result<Vec<Attempt>, String> {
        let open = self.ledger.take_open();
        let load = Load {
            address,
            ledger: &self.ledger,
            budget: AtomicI64::new(shape.budget),
            batch: shape.batch,
            batches: shape.batches,
            long: shape.long,
            pause: shape.pause,
            open: Mutex::new(open),
            stop: AtomicBool::new(false),
        };
        let mut attempts = Vec::new();
        let mut done = Ok(());
        let seed = draw.any();
        thread::scope(|scope| {
            let load = &load;
            let clients: Vec<_> = (0..self.connections)
                .map(|number| scope.spawn(move || Client::new(load, Draw::new(seed, number)).run()))
                .collect();
            done = meanwhile(load.ledger);
            load.stop.store(true, Ordering::Relaxed);
            for client in clients {
                match client.join() {
                    Ok(Ok(list)) => attempts.extend(list),
                    Ok(Err(error)) => done = Err(error),
                    Err(_) => done = Err("a client panicked".to_owned()),
                }
            }
        });
        let open = load.open.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.ledger.put_open(open);
        done.map(|()| attempts)
    }

    /// Holds what is there against what was said, and what is known from before.
    pub(crate) fn audit(
        &mut self,
        address: SocketAddr,
        attempts: &[Attempt],
        draw: &mut Draw,
        all: bool,
    ) -> Result<Sums, String> {
        let sums = audit::tail(address, &mut self.ledger, attempts, draw)?;
        if all {
            audit::everything(address, &self.ledger)?;
        }
        Ok(sums)
    }
}
