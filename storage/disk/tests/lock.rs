//! Two processes that open one folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use argus_core::storage::{StorageReader as _, StorageWriter as _};
use argus_disk::{DiskStorage, OpenError, Options};

/// Tells the test program that it is the other process, and which folder to lock.
const FOLDER: &str = "ARGUS_DISK_TEST_FOLDER";

const OPTIONS: Options = Options { log_file_bytes: 4096 };

/// The other process: locks the folder until it is killed. In a normal test run this does nothing.
#[test]
fn other_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    match DiskStorage::open(folder, OPTIONS) {
        Ok(mut storage) => {
            storage.append(&[b"never synced"]).unwrap();
            println!("\nheld");
            // Waits until it is killed, or until the test process ends.
            let _end = std::io::stdin().read_line(&mut String::new());
        }
        Err(error) => println!("\nrefused: {error}"),
    }
}

/// Starts the other process; returns it and its output.
fn start(folder: &Path) -> (Child, String) {
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(other.stdout.take().unwrap()).lines();
    let word = output.find_map(|line| line.ok().filter(|line| line == "held" || line.starts_with("refused")));
    (other, word.unwrap())
}

#[test]
fn one_process_at_a_time_and_a_killed_one_leaves_no_lock() {
    let root = tempfile::tempdir().unwrap();
    let in_use = |pid| format!("process {pid} is using {};", root.path().display());

    let (mut other, output) = start(root.path());
    assert_eq!(output, "held");
    let error = DiskStorage::open(root.path(), OPTIONS).unwrap_err();
    assert!(error.to_string().starts_with(&in_use(other.id())), "{error}");
    assert!(matches!(error, OpenError::InUse { path, pid, .. } if path == root.path() && pid == Some(other.id())));
    other.kill().unwrap();
    other.wait().unwrap();

    let storage = DiskStorage::open(root.path(), OPTIONS).unwrap();
    assert_eq!(storage.log_range().unwrap(), 0..4096);
    assert_eq!(storage.read_log(0, 12).unwrap(), "never synced");
    let (mut other, output) = start(root.path());
    assert!(output.starts_with(&format!("refused: {}", in_use(std::process::id()))), "{output}");
    other.wait().unwrap();

    drop(storage);
    assert!(root.path().join("lock").exists());
    DiskStorage::open(root.path(), OPTIONS).unwrap();
}
