//! Missing permissions, and the modes of created files. Permissions do not bind root, so as root the tests run in a
//! process of another user.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use argus_core::engine::{Engine, Seed, Tuning, back_up, salvage};
use argus_core::storage::{BackupTarget as _, Storage, StorageError, StorageReader as _, StorageWriter as _};
use argus_disk::{DiskReader, DiskSource, DiskStorage, DiskTarget, OpenError, Options};

/// The folder for the process of the other user.
const FOLDER: &str = "ARGUS_DISK_TEST_UNPRIVILEGED";
/// `nobody` on most systems; any user but root will do.
const USER: u32 = 65534;

const OPTIONS: Options = Options { log_file_bytes: 64 };

/// Runs a test in its own folder as a user other than root, in a process of its own if necessary.
fn unprivileged(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return body(Path::new(&folder));
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = root.path().join("own");
    fs::create_dir(&folder).unwrap();
    // A copy, since that user may not have access to the original.
    let program = root.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut other = Command::new(program);
    other.args(["--exact", test]).env(FOLDER, &folder).current_dir(&folder);
    if rustix::process::getuid().is_root() {
        chown(&folder, Some(USER), Some(USER)).unwrap();
        other.uid(USER).gid(USER);
    }
    let output = other.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    // If the filter matches no test, the program succeeds.
    assert!(output.status.success() && printed.contains(" 1 passed;"), "{printed}");
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A folder and everything below it.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.is_dir() {
        all.extend(fs::read_dir(path).unwrap().flat_map(|entry| all_below(&entry.unwrap().path())));
    }
    all
}

#[test]
fn a_read_only_folder_is_refused_at_the_start() {
    unprivileged("a_read_only_folder_is_refused_at_the_start", |root| {
        for part in ["log", "blobs"] {
            let data = root.join("data");
            drop(DiskStorage::open(&data, OPTIONS).unwrap());
            permit(&data.join(part), 0o500);
            let refusal = DiskStorage::open(&data, OPTIONS).unwrap_err().to_string();
            let expected = format!("cannot create {}/probe.0.tmp: Permission denied", data.join(part).display());
            assert!(refusal.starts_with(&expected), "{refusal}");
            permit(&data.join(part), 0o700);
            fs::write(data.join(part).join("probe.0.tmp"), "left by a process that was killed").unwrap();
            drop(DiskStorage::open(&data, OPTIONS).unwrap());
            assert!(!data.join(part).join("probe.0.tmp").exists());
            fs::remove_dir_all(&data).unwrap();
        }
    });
}

#[test]
fn writing_continues_when_a_lost_permission_comes_back() {
    unprivileged("writing_continues_when_a_lost_permission_comes_back", |root| {
        let (log, blobs) = (root.join("data/log"), root.join("data/blobs"));
        let mut storage = DiskStorage::open(root.join("data"), OPTIONS).unwrap();
        storage.append(&[&[1; 150]]).unwrap();
        storage.create("old").unwrap().finish().unwrap();
        storage.sync().unwrap();
        let mut draft = storage.create("draft").unwrap();
        draft.write(b"x").unwrap();

        let unavailable = |outcome: Result<(), StorageError>| {
            let Err(StorageError::Unavailable(reason)) = outcome else { panic!("{outcome:?}") };
            let reason = reason.to_string();
            assert!(reason.contains("Permission denied"), "{reason}");
        };
        // Without any access, and read-only.
        for mode in [0o000, 0o500] {
            permit(&log, mode);
            permit(&blobs, mode);
            unavailable(storage.append(&[&[2; 100]]));
            unavailable(storage.discard(128).map(drop));
            unavailable(storage.create("new").map(drop));
            unavailable(storage.delete("old")());
            // Appends to the existing file still work.
            storage.append(&[&[2; 10]]).unwrap();
            storage.sync().unwrap();
        }
        unavailable(draft.finish().map(drop));
        permit(&log, 0o700);
        permit(&blobs, 0o700);

        storage.append(&[&[2; 100]]).unwrap();
        storage.sync().unwrap();
        storage.create("new").unwrap().finish().unwrap();
        storage.delete("old")().unwrap();
        assert_eq!(storage.list().unwrap(), ["new"]);
        let expected = [vec![1; 150], vec![2; 120]].concat();
        assert_eq!(storage.read_log(0, 270).unwrap(), expected);
        while storage.discard(128).unwrap() {}
        assert_eq!(storage.log_range().unwrap(), 128..270);
    });
}

#[test]
fn created_files_are_private_whatever_the_umask() {
    unprivileged("created_files_are_private_whatever_the_umask", |root| {
        for (index, mask) in [0o000, 0o022, 0o277].into_iter().enumerate() {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let [data, copy, saved] = ["data", "copy", "saved"].map(|name| root.join(format!("{name}-{index}")));
            let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
            storage.append(&[&[1; 150]]).unwrap();
            storage.create("blob").unwrap().finish().unwrap();
            while storage.discard(128).unwrap() {}
            assert!(storage.exposed().is_empty());
            drop(storage);
            fs::remove_dir_all(&data).unwrap();
            drop(Engine::open_with(DiskStorage::open(&data, OPTIONS).unwrap(), Seed(1), Tuning::default()).unwrap());

            let source = DiskSource::open(&data).unwrap();
            let mut target = DiskTarget::for_backup(&copy, &source).unwrap();
            back_up(&source, &mut target).unwrap();
            target.complete().unwrap();
            let reader = DiskReader::open(&data).unwrap();
            let mut target = DiskTarget::for_salvage(&saved, &reader).unwrap();
            salvage(&reader, target.medium(), Seed(2)).unwrap();
            target.complete().unwrap();
            drop(reader);
            for path in [data, copy, saved].iter().flat_map(|folder| all_below(folder)) {
                let expected = if path.is_dir() { 0o700 } else { 0o600 };
                // The lock is opened with its mode, which the umask reduces.
                let expected = if path.ends_with("lock") { expected & !mask } else { expected };
                assert_eq!(mode(&path), expected, "{}", path.display());
            }
        }
    });
}

#[test]
fn folders_open_to_others_are_listed_and_not_changed() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    drop(DiskStorage::open(&data, OPTIONS).unwrap());
    permit(&data.join("log"), 0o750);
    assert!(DiskStorage::open(&data, OPTIONS).unwrap().exposed().is_empty(), "the parent folder is private");
    permit(&data, 0o755);
    assert_eq!(DiskStorage::open(&data, OPTIONS).unwrap().exposed(), [data.join("log")]);
    assert_eq!(mode(&data.join("log")), 0o750);
}

#[test]
fn unknown_files_are_listed_and_not_changed() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let mut engine = Engine::open_with(DiskStorage::open(&data, OPTIONS).unwrap(), Seed(1), Tuning::default()).unwrap();
    drop(engine);
    let unknown_files =
        ["log/notes.txt", "log/.nfs0001", "blobs/.nfs0001", "blobs/who is this"].map(|name| data.join(name));
    for path in &unknown_files {
        fs::write(path, "mine").unwrap();
    }
    let folders = ["log/lost+found", "blobs/lost+found"].map(|name| data.join(name));
    for path in &folders {
        fs::create_dir(path).unwrap();
    }
    engine = Engine::open_with(DiskStorage::open(&data, OPTIONS).unwrap(), Seed(1), Tuning::default()).unwrap();
    let mut found = engine.storage().unknown_files().to_vec();
    found.sort();
    let mut expected = [&unknown_files[..], &folders].concat();
    expected.sort();
    assert_eq!(found, expected);
    drop(engine);

    let reader = DiskReader::open(&data).unwrap();
    assert!(reader.errors().is_empty(), "{:?}", reader.errors());
    let mut found = reader.unknown_files().to_vec();
    found.sort();
    assert_eq!(found, expected);
    drop(reader);
    let source = DiskSource::open(&data).unwrap();
    let copy = root.path().join("copy");
    let mut target = DiskTarget::for_backup(&copy, &source).unwrap();
    back_up(&source, &mut target).unwrap();
    target.complete().unwrap();
    assert!(DiskStorage::open(&copy, OPTIONS).unwrap().unknown_files().is_empty());
    assert!(unknown_files.iter().chain(&folders).all(|path| path.exists()));

    // A renamed log file, or a folder in place of one, is not an unknown file but damage.
    fs::write(data.join("log/00000000000000000064.log.bak"), "").unwrap();
    assert!(matches!(DiskStorage::open(&data, OPTIONS), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_new_repository_needs_a_folder_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    fs::create_dir_all(data.join("lost+found")).unwrap();
    for foreign in ["notes.txt", ".profile", "data"] {
        fs::write(data.join(foreign), "").unwrap();
        let refusal = DiskStorage::open(&data, OPTIONS).unwrap_err();
        assert!(matches!(&refusal, OpenError::Foreign { path } if *path == data.join(foreign)), "{refusal}");
        fs::remove_file(data.join(foreign)).unwrap();
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing was created in the folder");
    }
    // As on a new disk.
    drop(DiskStorage::open(&data, OPTIONS).unwrap());
    // An existing repository may have other files in its folder.
    fs::write(data.join("notes.txt"), "").unwrap();
    drop(DiskStorage::open(&data, OPTIONS).unwrap());
    // The target of a copy may have a `lost+found` as well.
    let copy = root.path().join("copy");
    fs::create_dir_all(copy.join("lost+found")).unwrap();
    let source = DiskSource::open(&data).unwrap();
    drop(DiskTarget::for_backup(&copy, &source).unwrap());
}

/// It may have events that were erased since. Without the permission its file cannot be removed when it is dropped.
#[test]
fn a_dropped_draft_is_gone_once_the_log_is_scrubbed_or_a_blob_is_deleted() {
    unprivileged("a_dropped_draft_is_gone_once_the_log_is_scrubbed_or_a_blob_is_deleted", |root| {
        let data = root.join("data");
        let blobs = data.join("blobs");
        let mut storage = DiskStorage::open(&data, OPTIONS).unwrap();
        storage.create("old").unwrap().finish().unwrap();
        let leave_a_draft = |storage: &mut DiskStorage| {
            let mut draft = storage.create("a").unwrap();
            draft.write(b"secret").unwrap();
            permit(&blobs, 0o500);
            drop(draft);
            assert_eq!(fs::read_dir(&blobs).unwrap().count(), 2, "the old blob and the draft");
        };
        leave_a_draft(&mut storage);
        assert!(matches!(storage.scrub(0), Err(StorageError::Unavailable(_))));
        permit(&blobs, 0o700);
        assert!(!storage.scrub(0).unwrap());
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1);
        leave_a_draft(&mut storage);
        assert!(matches!(storage.delete("missing")(), Err(StorageError::Unavailable(_))));
        permit(&blobs, 0o700);
        storage.delete("missing")().unwrap();
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1);
    });
}
