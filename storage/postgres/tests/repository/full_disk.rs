//! A server whose disk is full, by a small file system in memory. Mounting one needs privileges.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::repository::{CommitError, Repository};
use argus_postgres::Address;
use argus_servers::{Durability, PostgresServer, PostgresVersion};
use argus_testing::generate::batch_of_ids as batch;
use argus_testing::{Draft, NOW, StoredId, generate};
use tempfile::TempDir;

use super::faults::{ids, open};

/// Room for an empty server, its log, and some events.
const DISK_BYTES: usize = 128 << 20;

/// More files of the server's log, of 16 MiB each, than there is room for.
const FILES_MAX: u64 = 20;

/// More than the free space in the pages of the tables.
const LARGE_BYTES: usize = 1 << 20;

struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={DISK_BYTES},mode=755");
        match Command::new("mount").args(["-t", "tmpfs", "-o", &options, "argus-test"]).arg(folder.path()).output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            refused => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: {refused:?}");
                None
            }
        }
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        std::io::copy(&mut std::io::repeat(7), &mut ballast).unwrap_err();
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> std::path::PathBuf {
        Path::join(self.0.path(), "ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If this fails, an unused mount is left, and `umount` itself says so.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_room() {
    let Some(version) = PostgresVersion::for_test() else { return };
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = TempDir::with_prefix_in("server-", disk.0.path()).unwrap();
    let server = PostgresServer::start_in(folder, &version, Durability::Volatile).unwrap();
    let address: Address = server.url("postgres").parse().unwrap();
    let mut repository = open(&address, Duration::from_secs(10));
    repository.commit(NOW, &[batch(&[Some("before")])]).unwrap();

    // There is no room for the tables.
    disk.fill();
    let error = repository.commit(NOW, &[large("large")]).unwrap_err();
    assert!(matches!(error, CommitError::Full(_)), "{error:?}");
    assert_eq!(repository.failure(), None, "what is smaller may fit");
    disk.make_room();
    let receipts = repository.commit(NOW, &[large("large")]).unwrap();
    assert_eq!(receipts.first().unwrap().stored, 1, "what was refused was not stored");

    // There is no room for the log of the server either, so it crashes.
    disk.fill();
    let mut is_refused = |number: &u64| match repository.commit(NOW, &[batch(&[Some(&number.to_string())])]) {
        Ok(_) => false,
        Err(error) => {
            assert!(matches!(error, CommitError::Unavailable { .. }), "{error:?}");
            true
        }
    };
    let refused = (0..FILES_MAX).find(|number| {
        let is_refused = is_refused(number);
        // It may have some files in reserve.
        let _has_crashed = server.sql("select pg_switch_wal()").is_err();
        is_refused
    });
    let refused = refused.expect("the server has no room for so many files");
    disk.make_room();
    server.restart().unwrap();
    repository.recover().unwrap();
    repository.commit(NOW, &[batch(&[Some(&refused.to_string())]), batch(&[Some("after")])]).unwrap();
    let numbers = (0..=refused).map(|number| number.to_string());
    let stored = ["before", "large"].map(str::to_owned).into_iter().chain(numbers).chain(["after".to_owned()]);
    let expected: Vec<_> = (1..).zip(stored.map(StoredId::Given)).collect();
    assert_eq!(ids(&repository), expected);
}

/// One event with a payload that the server cannot compress to less than the free space of its pages.
fn large(id: &str) -> Batch {
    let mut state = 1_u64;
    let text = (0..LARGE_BYTES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    });
    let payload = format!("\"{}\"", text.collect::<String>());
    generate::batch(&[Draft { event_type: "a".into(), timestamp: NOW, payload, id: Some(id.into()) }])
}
