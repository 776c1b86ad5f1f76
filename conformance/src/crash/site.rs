//! A folder of events, the program that serves it, and what is known of its contents.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;

use argus_conformance::launcher::{BinaryLauncher, Demand, Repository, Running};
use argus_conformance::random::Random;

use crate::audit;
use crate::erasure::{Erasure, Selection};
use crate::ledger::{Attempt, Ledger, Sums};
use crate::load::{Load, Shape};

/// A folder under test.
#[derive(Debug)]
pub(crate) struct Site {
    /// Starts servers on the folder.
    pub(crate) launcher: BinaryLauncher,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The events that were sent, and those that are stored.
    pub(crate) ledger: Ledger,
    /// Settings of the servers that are started.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    connections: u64,
}

impl Site {
    /// A new folder. `log_file_bytes` sets a smaller size of log files than the default, so that there are many; the
    /// documentation of `argus-disk` describes the layout.
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
        let repository = Repository::Same(format!("disk:{}", folder.display()));
        let launcher = BinaryLauncher { binary: binary.to_owned(), repository, wrapper: Vec::new() };
        Ok(Self { launcher, folder, ledger: Ledger::default(), settings: &[], connections })
    }

    /// Starts a server, which must come up.
    pub(crate) fn start(&self) -> Result<Box<dyn Running>, String> {
        use argus_conformance::launcher::Launcher as _;
        self.launcher.start(Demand::Settings(self.settings)).map_err(|failure| failure.to_string())
    }

    /// The files of segments that are being written, or were left unfinished. The documentation of `argus-disk`
    /// describes their names.
    pub(crate) fn drafts(&self) -> Result<Vec<PathBuf>, String> {
        let blobs = self.folder.join("blobs");
        let files = fs::read_dir(&blobs).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let files: Vec<PathBuf> = files.map_err(|error: io::Error| format!("{}: {error}", blobs.display()))?;
        Ok(files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "tmp")).collect())
    }

    /// Submits until `meanwhile` returns. It runs in parallel and may read the ledger.
    pub(crate) fn load(
        &mut self,
        address: SocketAddr,
        shape: Shape,
        random: &mut Random,
        meanwhile: impl FnOnce(&Ledger) -> Result<(), String>,
    ) -> Result<Vec<Attempt>, String> {
        self.load_and_erase(address, shape, &[], random, |ledger, _| meanwhile(ledger))
    }

    /// As [`load`](Self::load). Meanwhile these erasures may be sent, one after the other. Whoever sends them counts
    /// those that are answered.
    pub(crate) fn load_and_erase(
        &mut self,
        address: SocketAddr,
        shape: Shape,
        erasures: &[Selection],
        random: &mut Random,
        meanwhile: impl FnOnce(&Ledger, &AtomicUsize) -> Result<(), String>,
    ) -> Result<Vec<Attempt>, String> {
        let load = Load { addresses: &[address], connections: self.connections, shape, erasures };
        load.run(&mut self.ledger, random, meanwhile)
    }

    /// Compares what is stored with what was acknowledged and what was stored before.
    pub(crate) fn audit(
        &mut self,
        address: SocketAddr,
        attempts: &[Attempt],
        random: &mut Random,
        all: bool,
    ) -> Result<Sums, String> {
        self.audit_erased(address, (attempts, &[]), random, all)
    }

    /// The same, after these erasures.
    pub(crate) fn audit_erased(
        &mut self,
        address: SocketAddr,
        sent: (&[Attempt], &[Erasure]),
        random: &mut Random,
        all: bool,
    ) -> Result<Sums, String> {
        let sums = audit::tail(address, &mut self.ledger, sent, random)?;
        if all {
            audit::everything(address, &self.ledger)?;
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    /// A umask of 022, which most people have, must not open it to others.
    #[test]
    fn a_new_folder_is_for_its_owner_alone() {
        let parent = TempDir::new().unwrap();
        let data = parent.path().join("data");
        Site::new(Path::new("argus"), data.clone(), Some(1 << 20), 1).unwrap();
        for folder in [data.clone(), data.join("log"), data.join("blobs")] {
            let mode = fs::metadata(&folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", folder.display());
        }
    }

    #[test]
    fn unfinished_segments_are_told_from_finished_ones() {
        let parent = TempDir::new().unwrap();
        let site = Site::new(Path::new("argus"), parent.path().to_owned(), Some(1 << 20), 1).unwrap();
        let [draft, segment] = ["blobs/segment-1.2.tmp", "blobs/segment-1"].map(|name| parent.path().join(name));
        for path in [&draft, &segment] {
            fs::write(path, "").unwrap();
        }
        assert_eq!(site.drafts().unwrap(), [draft]);
    }
}
