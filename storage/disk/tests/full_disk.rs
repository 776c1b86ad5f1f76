//! A full disk, simulated by a small `tmpfs`. Mounting one needs privileges; without them the tests report that they
//! were skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use argus_core::engine::{Engine, Seed, Tuning, back_up, salvage};
use argus_core::event::Timestamp;
use argus_core::repository::Repository;
use argus_core::storage::{BackupTarget as _, Storage, StorageError, StorageReader as _, StorageWriter as _};
use argus_disk::{DiskReader, DiskSource, DiskStorage, DiskTarget, OpenError, Options};
use argus_testing::{Random, generate};
use tempfile::TempDir;

const FILE_BYTES: u64 = 256 << 10;
/// The smallest space that a file takes.
const PAGE_BYTES: u64 = 4096;
/// Room for a handful of log files.
const DISK_BYTES: u64 = 2 << 20;
const OPTIONS: Options = Options { log_file_bytes: FILE_BYTES };

/// A mounted file system, unmounted when it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "argus-test"])
            .arg(root.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(root)),
            refused => {
                println!("SKIPPED: a small file system cannot be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk up to `free` bytes.
    fn fill(&self, free: u64) {
        let ballast = fs::File::create(self.path().join("ballast")).unwrap();
        let mut len = DISK_BYTES;
        while len > 0 && rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, len).is_err() {
            len -= 4096;
        }
        ballast.set_len(len.saturating_sub(free)).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _still_mounted = Command::new("umount").arg(self.path()).status();
    }
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let source = DiskSource::open(from)?;
    let mut target = DiskTarget::for_backup(to, &source)?;
    back_up(&source, &mut target)?;
    Ok(target.complete()?)
}

/// Salvages a folder.
fn save(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let reader = DiskReader::open(from)?;
    let mut target = DiskTarget::for_salvage(to, &reader)?;
    salvage(&reader, target.medium(), Seed(2))?;
    Ok(target.complete()?)
}

fn is_full<T>(result: Result<T, StorageError>) -> bool {
    match result {
        Ok(_) => false,
        Err(StorageError::Full(cause)) => {
            let reason = cause.to_string();
            reason.contains("No space left on device") && reason.contains("cannot ")
        }
        Err(StorageError::Unavailable(reason) | StorageError::Failed(reason)) => panic!("{reason}"),
    }
}

#[test]
fn a_full_disk_leaves_the_log_unchanged_and_writing_continues_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path().join("data");
    let mut storage = DiskStorage::open(&folder, OPTIONS).unwrap();
    let (some, more) = (vec![1; 200 << 10], vec![2; 300 << 10]);
    storage.append(&[&some]).unwrap();
    storage.sync().unwrap();

    // This needs two new files, and there is room for one.
    disk.fill(FILE_BYTES + (64 << 10));
    for _ in 0..3 {
        assert!(is_full(storage.append(&[&more, &some])));
        assert_eq!(storage.log_range().unwrap(), 0..some.len() as u64);
        assert_eq!(storage.read_log(0, usize::MAX).unwrap(), some);
    }
    let unfinished = fs::read_dir(folder.join("log"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() == "tmp");
    assert_eq!(unfinished.count(), 0, "an unfinished log file is removed");

    // Appends that fit into the existing files succeed on a full disk.
    disk.fill(0);
    storage.append(&[&more]).unwrap();
    storage.sync().unwrap();
    assert!(is_full(storage.append(&[&more])));

    disk.make_room();
    storage.append(&[&more]).unwrap();
    storage.sync().unwrap();
    let expected = [some, more.clone(), more].concat();
    assert_eq!(storage.read_log(0, usize::MAX).unwrap(), expected);
    drop(storage);
    let storage = DiskStorage::open(&folder, OPTIONS).unwrap();
    assert_eq!(storage.read_log(0, expected.len()).unwrap(), expected);
}

#[test]
fn a_folder_on_a_full_disk_opens_and_trims_its_log() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path().join("data");
    let mut storage = DiskStorage::open(&folder, OPTIONS).unwrap();
    storage.append(&[&vec![1; FILE_BYTES as usize + 1]]).unwrap();
    storage.sync().unwrap();
    drop(storage);
    disk.fill(0);

    let mut storage = DiskStorage::open(&folder, OPTIONS).unwrap();
    let long = vec![2; FILE_BYTES as usize];
    assert!(is_full(storage.append(&[&long])));
    while storage.discard(FILE_BYTES).unwrap() {}
    storage.append(&[&long]).unwrap();
    storage.sync().unwrap();
}

#[test]
fn a_draft_without_room_leaves_the_old_blob() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut storage = DiskStorage::open(disk.path().join("data"), OPTIONS).unwrap();
    let mut draft = storage.create("a").unwrap();
    draft.write(b"old").unwrap();
    draft.finish().unwrap();

    disk.fill(8192);
    let mut draft = storage.create("a").unwrap();
    let written = (0..100).try_for_each(|_| draft.write(&[1; 4096])).and_then(|()| draft.finish().map(drop));
    assert!(is_full(written));
    assert_eq!(storage.list().unwrap(), ["a"]);
    let old = storage.open("a").unwrap().unwrap();
    assert_eq!(old.read(0..old.len()).unwrap(), "old");

    // The failed draft has freed its space.
    let mut draft = storage.create("a").unwrap();
    draft.write(b"new").unwrap();
    let new = draft.finish().unwrap().blob;
    assert_eq!(new.read(0..new.len()).unwrap(), "new");
    assert_eq!(old.read(0..old.len()).unwrap(), "old");
}

#[test]
fn a_copy_that_ran_out_of_space_is_no_repository() {
    let Some(disk) = SmallDisk::mount() else { return };
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("source");
    let mut engine = Engine::open_with(DiskStorage::open(&from, OPTIONS).unwrap(), Seed(1), Tuning::default()).unwrap();
    let drafts = [generate::draft(&mut Random::seeded(1))];
    engine.commit(Timestamp::from_nanos(0), &[generate::batch(&drafts)]).unwrap();
    drop(engine);
    for make in [copy, save] {
        // From no room for the first file up to room for everything before the log or the first blob.
        for pages in 0..4 {
            let to = disk.path().join("failed");
            disk.fill(pages * PAGE_BYTES);
            let reason = make(&from, &to).unwrap_err().to_string();
            assert!(reason.contains("No space left on device"), "{reason}");
            disk.make_room();
            assert!(matches!(DiskStorage::open(&to, OPTIONS), Err(OpenError::Unfinished { .. })), "{pages}");
            assert!(make(&from, &to).unwrap_err().to_string().contains("is not empty"));
            fs::remove_dir_all(&to).unwrap();
        }
        let to = disk.path().join("made");
        make(&from, &to).unwrap();
        DiskStorage::open(&to, OPTIONS).unwrap();
        fs::remove_dir_all(&to).unwrap();
    }
}
