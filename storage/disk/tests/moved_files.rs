//! Files that are removed, moved or replaced while they are open: calls fail, so that nothing is acknowledged that the
//! next process would not find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use argus_core::storage::{StorageError, StorageReader as _, StorageWriter as _};
use argus_disk::{DiskStorage, Options};

const OPTIONS: Options = Options { log_file_bytes: 4096 };
const LOG_FILE: &str = "log/00000000000000000000.log";

/// Changes a folder that is in use.
type Incident = fn(&Path);

const INCIDENTS: [(&str, Incident); 8] = [
    ("the folder is removed", |data| fs::remove_dir_all(data).unwrap()),
    ("the folder is moved", |data| fs::rename(data, data.with_extension("moved")).unwrap()),
    ("another process replaces the folder", |data| {
        fs::remove_dir_all(data).unwrap();
        let mut other = DiskStorage::open(data, OPTIONS).unwrap();
        other.append(&[b"other"]).unwrap();
        other.sync().unwrap();
    }),
    ("the folder of the log is moved", |data| fs::rename(data.join("log"), data.join("old")).unwrap()),
    ("the log file is removed", |data| fs::remove_file(data.join(LOG_FILE)).unwrap()),
    ("the log file is moved", |data| fs::rename(data.join(LOG_FILE), data.join("log/away")).unwrap()),
    ("the log file is replaced by a copy", |data| {
        fs::copy(data.join(LOG_FILE), data.join("copy")).unwrap();
        fs::rename(data.join("copy"), data.join(LOG_FILE)).unwrap();
    }),
    ("the lock is removed", |data| fs::remove_file(data.join("lock")).unwrap()),
];

#[test]
fn an_append_and_sync_to_a_moved_file_fail() {
    for (name, incident) in INCIDENTS {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
        storage.append(&[b"before"]).unwrap();
        storage.sync().unwrap();
        incident(&data);
        let after = storage.append(&[b"after"]).and_then(|()| storage.sync());
        let Err(StorageError::Failed(reason)) = after else { panic!("{name}: {after:?}") };
        assert!(!reason.public_text().contains(&*data.to_string_lossy()), "{}", reason.public_text());
        let reason = reason.to_string();
        assert!(
            reason.contains("cannot continue to use ") && reason.contains("removed, moved or replaced"),
            "{reason}"
        );
        assert_eq!(storage.read_log(0, 6).unwrap(), "before", "{name}");
    }
}

/// The file is moved between the append and the sync.
#[test]
fn a_sync_of_a_moved_file_fails() {
    for (name, incident) in INCIDENTS {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
        storage.append(&[b"before"]).unwrap();
        incident(&data);
        assert!(matches!(storage.sync(), Err(StorageError::Failed(_))), "{name}");
    }
}

/// Where commits do not wait for a sync, only the append can detect it.
#[test]
fn an_append_to_a_moved_file_fails() {
    for (name, incident) in INCIDENTS.into_iter().filter(|(name, _)| *name != "the lock is removed") {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
        storage.append(&[b"before"]).unwrap();
        incident(&data);
        for _ in 0..2 {
            assert!(matches!(storage.append(&[b"after"]), Err(StorageError::Failed(_))), "{name}");
        }
    }
}

#[test]
fn finishing_a_blob_in_a_moved_folder_fails() {
    let incidents: [Incident; 3] = [
        |data| fs::remove_dir_all(data).unwrap(),
        |data| fs::rename(data.join("blobs"), data.join("old")).unwrap(),
        |data| {
            fs::rename(data.join("blobs"), data.join("old")).unwrap();
            fs::create_dir(data.join("blobs")).unwrap();
            // The next process would find the draft, but not the other blobs of the manifest.
            fs::rename(data.join("old/new.0.tmp"), data.join("blobs/new.0.tmp")).unwrap();
        },
    ];
    for incident in incidents {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
        let mut draft = storage.create("new").unwrap();
        draft.write(b"content").unwrap();
        incident(&data);
        assert!(matches!(draft.finish(), Err(StorageError::Failed(_))));
    }
}

#[test]
fn a_folder_that_is_moved_back_before_the_next_call_is_accepted() {
    let root = tempfile::tempdir().unwrap();
    let (data, away) = (root.path().join("data"), root.path().join("away"));
    let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
    fs::rename(&data, &away).unwrap();
    fs::rename(&away, &data).unwrap();
    storage.append(&[b"after"]).unwrap();
    storage.sync().unwrap();
}
