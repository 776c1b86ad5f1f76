//! A process out of file descriptors: calls fail, and have no other effect.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;

use argus_core::storage::{Storage as _, StorageError, StorageReader as _, StorageWriter as _};
use argus_disk::{DiskStorage, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit of open files. The test needs fewer, and opens further ones to reach the limit.
const FILES: u64 = 64;

// Alone in its file, because the limit is that of the process.
#[test]
fn without_descriptors_nothing_is_lost_and_writing_continues_when_some_are_free() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { log_file_bytes: 64 };
    let mut storage = DiskStorage::open(root.path(), options).unwrap();
    storage.append(&[b"before"]).unwrap();
    storage.sync().unwrap();

    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), ..getrlimit(Resource::Nofile) }).unwrap();
    let taken: Vec<File> = std::iter::from_fn(|| File::open(root.path()).ok()).collect();
    let within = [7; 20];
    storage.append(&[&within]).unwrap();
    let beyond = [8; 200];
    assert!(matches!(storage.append(&[&beyond]), Err(StorageError::Unavailable(_))));
    assert!(matches!(storage.create("blob"), Err(StorageError::Unavailable(_))));
    storage.sync().unwrap();
    drop(taken);

    storage.append(&[&beyond]).unwrap();
    storage.sync().unwrap();
    storage.create("blob").unwrap().finish().unwrap();
    let log = storage.read_log(0, 226).unwrap();
    assert_eq!(log, [&b"before"[..], &within, &beyond].concat());
    // The same with spare files.
    while storage.discard(200).unwrap() {}
    let taken: Vec<File> = std::iter::from_fn(|| File::open(root.path()).ok()).collect();
    assert!(matches!(storage.append(&[&beyond]), Err(StorageError::Unavailable(_))));
    drop(taken);
    storage.append(&[&beyond]).unwrap();
    assert_eq!(storage.read_log(226, 200).unwrap(), beyond.as_slice());
}
