//! Unit tests of the log.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;

use tempfile::TempDir;

use super::*;

/// Short, so that records cross files.
const FILE_BYTES: u64 = 16;

fn new() -> (TempDir, Log) {
    let root = tempfile::tempdir().unwrap();
    let log = open(&root);
    (root, log)
}

fn open(root: &TempDir) -> Log {
    Log::open(root.path(), FILE_BYTES).unwrap()
}

fn refusal(root: &TempDir) -> String {
    Log::open(root.path(), FILE_BYTES).unwrap_err().to_string()
}

/// The names in the folder, spares last.
fn names(root: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable_by_key(|name| (name.ends_with(".spare"), name.clone()));
    names
}

fn log_names(starts: &[u64]) -> Vec<String> {
    starts.iter().map(|start| name::file_name(*start)).collect()
}

/// Bytes that count up from a number.
fn count_up(from: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| from.wrapping_add(index as u8)).collect()
}

#[test]
fn an_append_crosses_files_and_survives_reopening() {
    let (root, mut log) = new();
    assert_eq!(log.range(), 0..0);
    let bytes = count_up(0, 50);
    log.append(&[&bytes[..3], &[], &bytes[3..40], &bytes[40..]]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.range(), 0..50);
    assert_eq!(log.read(0, 50).unwrap(), bytes);
    assert_eq!(log.read(15, 2).unwrap(), bytes[15..17]);
    assert_eq!(log.read(48, 100).unwrap(), bytes[48..]);
    assert_eq!(log.read(50, 1).unwrap().len(), 0);
    assert!(matches!(log.read(51, 1), Err(StorageError::Failed(_))));
    assert_eq!(names(&root), log_names(&[0, 16, 32, 48]));
    drop(log);
    let mut log = open(&root);
    assert_eq!(log.range(), 0..64);
    log.truncate(50).unwrap();
    log.append(&[b"next"]).unwrap();
    assert_eq!(log.range(), 0..54);
    assert_eq!(log.read(0, 100).unwrap(), [bytes.as_slice(), b"next"].concat());
}

#[test]
fn an_append_that_fills_a_file_creates_no_other() {
    let (root, mut log) = new();
    log.append(&[]).unwrap();
    log.append(&[&[]]).unwrap();
    assert_eq!(names(&root), log_names(&[]));
    log.append(&[&count_up(0, 16), &[]]).unwrap();
    assert_eq!((log.range(), names(&root)), (0..16, log_names(&[0])));
    log.append(&[b"x"]).unwrap();
    assert_eq!((log.range(), names(&root)), (0..17, log_names(&[0, 16])));
}

#[test]
fn trimmed_files_are_reused_and_the_last_one_is_kept() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 80)]).unwrap();
    assert_eq!(log.discard(15), Ok(false));
    assert_eq!(log.range(), 0..80);
    // One file at a time.
    for start in [16, 32, 48, 64] {
        assert_eq!(log.discard(64), Ok(start < 64));
        assert_eq!(log.range(), start..80);
    }
    assert_eq!(names(&root), [log_names(&[64]), vec!["0.spare".into(), "1.spare".into()]].concat());
    // The last file stays, though none of its bytes are needed: its name records how far the log has come.
    assert_eq!(log.discard(1000), Ok(false));
    assert_eq!(log.range(), 64..80);
    log.append(&[b"in a recycled file"]).unwrap();
    assert_eq!(log.read(80, 100).unwrap(), "in a recycled file");
    assert_eq!(names(&root), log_names(&[64, 80, 96]));
    drop(log);
    let log = open(&root);
    assert_eq!(log.range(), 64..112);
    // The file's old bytes follow the end.
    assert_eq!(log.read(98, 14).unwrap().len(), 14);
}

#[test]
fn truncation_wipes_the_bytes_after_the_end_and_appends_continue_there() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 70)]).unwrap();
    log.truncate(20).unwrap();
    assert_eq!(log.range(), 0..20);
    assert_eq!(names(&root), log_names(&[0, 16]));
    drop(log);
    let mut log = open(&root);
    assert_eq!(log.read(16, 100).unwrap(), [count_up(16, 4), vec![0; 12]].concat());
    log.truncate(20).unwrap();
    log.append(&[&count_up(100, 20)]).unwrap();
    assert_eq!(log.read(0, 100).unwrap(), [count_up(0, 20), count_up(100, 20)].concat());
    log.truncate(0).unwrap();
    assert_eq!((log.range(), names(&root).first().cloned()), (0..0, log_names(&[0]).first().cloned()));
    assert!(matches!(log.truncate(1), Err(StorageError::Failed(_))));
}

#[test]
fn spares_are_used_after_reopening_and_unfit_ones_are_removed() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 80)]).unwrap();
    while log.discard(80).unwrap() {}
    drop(log);
    fs::write(root.path().join("1.spare"), "short").unwrap();
    fs::write(root.path().join("7.spare"), count_up(0, 16)).unwrap();
    fs::write(root.path().join(name::file_name(80) + ".tmp"), "unfinished").unwrap();
    fs::write(root.path().join(".hidden"), "not ours").unwrap();
    let mut log = open(&root);
    assert_eq!(names(&root), [vec![".hidden".into()], log_names(&[64]), vec!["0.spare".into()]].concat());
    log.truncate(80).unwrap();
    log.append(&[b"x"]).unwrap();
    assert_eq!(names(&root), [vec![".hidden".into()], log_names(&[64, 80])].concat());
}

#[test]
fn damaged_files_are_named_and_nothing_is_changed() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 80)]).unwrap();
    drop(log);
    let path = |start| root.path().join(name::file_name(start));
    let leftover = root.path().join(name::file_name(80) + ".tmp");
    fs::write(&leftover, "unfinished").unwrap();
    let refused = |place: &str, reason: &str| {
        let before = names(&root);
        let refusal = refusal(&root);
        assert!(refusal.contains(place) && refusal.contains(reason), "{refusal}");
        assert_eq!(names(&root), before);
    };

    for (len, reason) in [(15, "it is 15 bytes long"), (17, "it is 17 bytes long"), (0, "it is empty")] {
        let whole = fs::read(path(16)).unwrap();
        fs::File::options().write(true).open(path(16)).unwrap().set_len(len).unwrap();
        refused("00000000000000000016.log is damaged", reason);
        fs::write(path(16), whole).unwrap();
    }

    fs::rename(path(32), path(33)).unwrap();
    refused("00000000000000000033.log is damaged", "no file of this log can begin at this offset");
    fs::rename(path(33), root.path().join("00000000000000000032.log.old")).unwrap();
    refused("00000000000000000032.log.old is damaged", "not a file of the log");
    fs::remove_file(root.path().join("00000000000000000032.log.old")).unwrap();
    refused("00000000000000000048.log is damaged", "a gap before it: 00000000000000000032.log is missing");
    assert!(leftover.exists());
}

#[test]
fn an_append_that_fails_before_it_writes_leaves_the_log_unchanged() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 8)]).unwrap();
    // A folder in the way of the next file.
    let path = root.path().join(name::file_name(16));
    fs::create_dir(&path).unwrap();
    assert!(matches!(log.append(&[&count_up(8, 20)]), Err(StorageError::Failed(_))));
    assert_eq!((log.range(), log.read(0, 99).unwrap()), (0..8, count_up(0, 8).into()));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    fs::remove_dir(path).unwrap();
    log.append(&[&count_up(8, 20)]).unwrap();
    assert_eq!(log.read(0, 99).unwrap(), count_up(0, 28));
}

/// A full device that cannot be synced, behind a link that can be renamed and removed.
#[cfg(target_os = "linux")]
fn full_device(root: &TempDir, start: u64) -> LogFile {
    let path = root.path().join(format!("full-{start}"));
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    LogFile::open(path, start).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_write_without_room_is_full_only_if_nothing_was_written() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 16)]).unwrap();
    log.files.push_back(full_device(&root, 16));
    for _ in 0..2 {
        let Err(StorageError::Full(reason)) = log.append(&[b"x"]) else { panic!("there is no room") };
        let reason = reason.to_string();
        assert!(reason.ends_with("/full-16: No space left on device (os error 28)"), "{reason}");
        assert_eq!((log.range(), log.read(0, 99).unwrap()), (0..16, count_up(0, 16).into()));
    }

    log.end = 14;
    // Two bytes go into the first file.
    let failed = log.append(&[b"abc"]).unwrap_err();
    assert!(
        matches!(&failed, StorageError::Failed(reason) if reason.to_string().contains("No space left")),
        "{failed}"
    );
    assert_eq!(log.append(&[b"a"]), Err(failed.clone()));
    assert_eq!(log.sync(), Err(failed));
    assert_eq!((log.range(), log.read(0, 99).unwrap()), (0..14, count_up(0, 14).into()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_failed_sync_is_never_retried() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 8)]).unwrap();
    let whole = std::mem::replace(&mut log.files[0], full_device(&root, 0));
    let Err(StorageError::Full(_)) = log.append(&[b"marks the file as written"]) else { panic!("there is no room") };
    let failed = log.sync().unwrap_err();
    assert!(
        matches!(&failed, StorageError::Failed(reason) if reason.to_string().starts_with("cannot sync ")),
        "{failed}"
    );
    log.files[0] = whole;
    assert_eq!(log.sync(), Err(failed.clone()));
    assert_eq!(log.append(&[b"x"]), Err(failed));
    assert_eq!(log.read(0, 99).unwrap(), count_up(0, 8));
}

#[test]
fn a_restarted_log_is_empty_and_continues_at_its_offset() {
    let (root, mut log) = new();
    log.append(&[&count_up(0, 50)]).unwrap();
    log.restart(37).unwrap();
    assert_eq!((log.range(), names(&root)), (32..37, log_names(&[32])));
    log.append(&[&count_up(1, 20)]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.read(37, 100).unwrap(), count_up(1, 20));
    drop(log);
    let log = open(&root);
    assert_eq!(log.read(32, 10).unwrap(), [vec![0; 5], count_up(1, 5)].concat());
}

#[test]
fn a_reader_changes_nothing() {
    let (root, mut log) = new();
    let reader = LogReader::open(root.path(), FILE_BYTES).unwrap();
    assert_eq!(reader.range(), Ok(0..0));
    log.append(&[&count_up(0, 50)]).unwrap();
    assert_eq!(reader.range(), Ok(0..64));
    assert_eq!(reader.read(10, 30).unwrap(), count_up(10, 30));
    while log.discard(40).unwrap() {}
    fs::write(root.path().join(".hidden"), "").unwrap();
    fs::write(root.path().join(format!("{}.tmp", name::file_name(64))), "").unwrap();
    let before = names(&root);
    assert_eq!(reader.range(), Ok(32..64));
    assert_eq!(reader.read(32, 18).unwrap(), count_up(32, 18));
    let Err(StorageError::Failed(error)) = reader.read(10, 30) else { panic!("it was trimmed") };
    assert_eq!(error.to_string(), "cannot read the log at 10: it has the offsets 32..64");
    assert_eq!(names(&root), before);
    fs::write(root.path().join("notes"), "").unwrap();
    assert_eq!(reader.range(), Ok(32..64));
    fs::write(root.path().join("32.log"), "").unwrap();
    let Err(StorageError::Failed(error)) = reader.range() else { panic!("it may be a part of the log") };
    let error = error.to_string();
    assert!(error.contains("32.log is damaged: this is not a file of the log"), "{error}");
}
