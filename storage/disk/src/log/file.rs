//! One file of the log.

use std::fs::File;
use std::io::IoSlice;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::name::file_name;
use super::origin::Origins;
use crate::error::SystemError;
use crate::folder::{Folder, create_file, remove, rename};
use crate::identity::Identity;
use crate::system::{allocate, drop_cached, write_at, write_zeros};

/// Bytes that [`LogFile::wipe`] reads, and perhaps overwrites, at a time.
const WIPED_AT_ONCE: usize = 64 * 1024;

/// Bytes that are scrubbed at a time, with a sync: commits wait meanwhile.
const SCRUBBED_AT_ONCE: u64 = 2 << 20;

/// How far zeros are written ahead of the end. With syncs of a few kilobytes each, one in several dozen waits for them.
const ZEROED_AHEAD: u64 = 256 * 1024;

/// A file of the log.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The offset in the log of its first byte.
    pub(super) start: u64,
    pub(super) path: PathBuf,
    file: File,
    identity: Identity,
    /// Whether there were writes since the last sync.
    is_unsynced: bool,
    /// From here on, blocks may be reserved but never written. The file system records the first write to such a block
    /// as metadata, which a sync must wait for.
    unwritten_from: u64,
    /// Everything before this offset in the file was overwritten by [`scrub_before`](Self::scrub_before).
    scrubbed_to: u64,
    /// From here on, the file may have bytes of an earlier part of the log, because it was recycled.
    old_from: u64,
}

impl LogFile {
    /// Opens an existing file.
    pub(super) fn open(path: PathBuf, start: u64) -> Result<Self, SystemError> {
        let file = File::options().read(true).write(true).open(&path).map_err(SystemError::of("open", &path))?;
        Self::opened(path, start, file)
    }

    fn opened(path: PathBuf, start: u64, file: File) -> Result<Self, SystemError> {
        let identity = Identity::of(&file, &path)?;
        let (is_unsynced, unwritten_from, scrubbed_to, old_from) = (false, 0, 0, u64::MAX);
        Ok(Self { start, path, file, identity, is_unsynced, unwritten_from, scrubbed_to, old_from })
    }

    /// Creates a file of full length. It is durable once the folder is synced; after an error it does not exist.
    pub(super) fn create(folder: &Folder, start: u64, len: u64) -> Result<Self, SystemError> {
        let path = folder.join(&file_name(start));
        let temporary = path.with_extension("log.tmp");
        let make = || {
            let mut options = File::options();
            let file = create_file(&temporary, options.read(true).write(true).create(true).truncate(true))?;
            allocate(&file, len).map_err(SystemError::of("allocate blocks of", &temporary))?;
            file.sync_all().map_err(SystemError::of("sync", &temporary))?;
            rename(&temporary, &path)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Self::opened(path, start, file),
            Err(error) => {
                // Free its space. If this fails, it is removed when the folder is opened again.
                let _kept = remove(&temporary);
                Err(error)
            }
        }
    }

    /// Renames a spare file. The new name is durable once the folder is synced; after an error it is still a spare.
    pub(super) fn recycle(folder: &Folder, spare: &str, start: u64) -> Result<Self, SystemError> {
        let spare = Self::open(folder.join(spare), start)?;
        let path = folder.join(&file_name(start));
        rename(&spare.path, &path)?;
        // All of its blocks were written before.
        Ok(Self { path, unwritten_from: u64::MAX, old_from: 0, ..spare })
    }

    pub(super) fn len(&self) -> Result<u64, SystemError> {
        Ok(self.file.metadata().map_err(SystemError::of("examine", &self.path))?.len())
    }

    /// The start offset that the file's first record implies, if it has a record.
    pub(super) fn origin(&self, file_bytes: u64) -> Result<Option<u64>, SystemError> {
        Origins::first(&self.file, self.len()?, file_bytes).map_err(SystemError::of("read", &self.path))
    }

    /// Makes the next read return the bytes of the device; see the crate documentation.
    pub(super) fn read_from_device(&self) -> Result<(), SystemError> {
        self.file.sync_data().map_err(SystemError::of("sync", &self.path))?;
        drop_cached(&self.file);
        Ok(())
    }

    pub(super) fn read(&self, within: u64, bytes: &mut [u8]) -> Result<(), SystemError> {
        self.file.read_exact_at(bytes, within).map_err(SystemError::of("read", &self.path))
    }

    /// An error comes with the number of bytes written before it.
    pub(super) fn write(&mut self, within: u64, pieces: &mut [IoSlice<'_>]) -> Result<(), (u64, SystemError)> {
        self.is_unsynced = true;
        let end = within + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        write_at(&self.file, within, pieces)
            .map_err(|(written, error)| (written, SystemError::of("write", &self.path)(error)))?;
        if end > self.unwritten_from {
            self.zero_ahead(end);
        }
        Ok(())
    }

    /// Writes zeros after the end, so that the next syncs have no metadata to wait for.
    fn zero_ahead(&mut self, end: u64) {
        let Ok(len) = self.len() else { return };
        let until = len.min(end + ZEROED_AHEAD);
        // An error here only makes later syncs slower; later writes to the same blocks report it if it persists.
        let _slower = write_zeros(&self.file, end..until);
        self.unwritten_from = if until == len { u64::MAX } else { until };
    }

    /// Overwrites everything from this offset on with zeros, durably.
    pub(super) fn wipe(&mut self, within: u64) -> Result<(), SystemError> {
        let len = self.len()?;
        self.wipe_range(within..len)?;
        self.old_from = u64::MAX;
        Ok(())
    }

    /// Overwrites some of the bytes before this offset with zeros, durably. Returns whether some are left.
    pub(super) fn scrub_before(&mut self, within: u64) -> Result<bool, SystemError> {
        let until = within.min(self.scrubbed_to.saturating_add(SCRUBBED_AT_ONCE));
        self.wipe_range(self.scrubbed_to..until)?;
        self.scrubbed_to = self.scrubbed_to.max(until);
        Ok(self.scrubbed_to < within)
    }

    /// The same for bytes of an earlier part of the log, from this offset on.
    pub(super) fn scrub_old_after(&mut self, within: u64) -> Result<bool, SystemError> {
        let (from, len) = (self.old_from.max(within), self.len()?);
        let until = len.min(from.saturating_add(SCRUBBED_AT_ONCE));
        self.wipe_range(from..until)?;
        self.old_from = if until < len { until } else { u64::MAX };
        Ok(until < len)
    }

    fn wipe_range(&mut self, range: Range<u64>) -> Result<(), SystemError> {
        let Range { start: mut at, end } = range;
        let mut piece = vec![0; WIPED_AT_ONCE];
        while at < end {
            piece.truncate(usize::try_from(end - at).unwrap_or(usize::MAX));
            self.read(at, &mut piece)?;
            // Skip zeros, so that blocks that were never written stay unwritten.
            if piece.iter().any(|&byte| byte != 0) {
                piece.fill(0);
                self.is_unsynced = true;
                let pieces = &mut [IoSlice::new(&piece)];
                write_at(&self.file, at, pieces).map_err(|(_, error)| SystemError::of("write", &self.path)(error))?;
            }
            at += piece.len() as u64;
        }
        self.sync()
    }

    /// Checks that the path still leads to this file.
    pub(super) fn verify(&self) -> Result<(), SystemError> {
        self.identity.verify(&self.file, &self.path)
    }

    /// Makes writes durable, and checks that the path still leads to this file.
    pub(super) fn sync(&mut self) -> Result<(), SystemError> {
        if self.is_unsynced {
            self.file.sync_data().map_err(SystemError::of("sync", &self.path))?;
            self.verify()?;
            self.is_unsynced = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn zeros_are_written_only_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let ahead = ZEROED_AHEAD as usize;
        fs::write(&path, vec![7; 2 * ahead]).unwrap();
        let mut file = LogFile::open(path.clone(), 0).unwrap();
        file.write(100, &mut [IoSlice::new(b"two "), IoSlice::new(b"pieces")]).unwrap();
        // Within the zeros that the first write has prepared.
        file.write(110, &mut [IoSlice::new(&[8; 90])]).unwrap();
        let found = fs::read(&path).unwrap();
        let zeros = vec![0; ahead - 90];
        let expected = [&[7; 100][..], b"two pieces", &[8; 90], &zeros, &vec![7; ahead - 110]].concat();
        assert!(found == expected);
        // Near the end of the file there are fewer zeros, and the file does not grow.
        file.write(2 * ahead as u64 - 20, &mut [IoSlice::new(&[9; 10])]).unwrap();
        let found = fs::read(&path).unwrap();
        assert_eq!(found.len(), 2 * ahead);
        assert_eq!(found[2 * ahead - 21..], [&[7][..], &[9; 10], &[0; 10]].concat());
    }
}
