//! A disk that is really full: a small file system in memory.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use argus_conformance::random::Random;

use crate::faults::{is_full, stores};
use crate::load::BROAD;
use crate::server::{get, kill, with_log};
use crate::site::Site;
use crate::wait::wait;

/// The size of the file system, in bytes.
pub(crate) const DISK_BYTES: usize = 24 << 20;
/// The size of a file of ours that takes space on it, in bytes.
const BALLAST_BYTES: usize = 12 << 20;
/// The size of a log file, in bytes; many must fit.
pub(crate) const LOG_FILE_BYTES: u64 = 1 << 20;

/// The environment variable that says that this process has mounts of its own.
const OWN_MOUNTS: &str = "ARGUS_CRASH_OWN_MOUNTS";
/// A namespace for the mounts of a program, which are gone with its last process.
const UNSHARE: [&str; 3] = ["--mount", "--propagation", "private"];

/// Starts this program again with mounts of its own, where that is permitted, so that none is left however it ends.
/// Call it before anything is started.
pub(crate) fn take_own_mounts() {
    if env::var_os(OWN_MOUNTS).is_some() {
        return;
    }
    let mut attempt = Command::new("unshare");
    attempt.args(UNSHARE).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let (Ok(true), Ok(program)) = (attempt.status().map(|status| status.success()), env::current_exe()) {
        let mut again = Command::new("unshare");
        again.args(UNSHARE).arg("--").arg(program).args(env::args_os().skip(1)).env(OWN_MOUNTS, "yes");
        // Returns only if it fails.
        let error = again.exec();
        eprintln!("argus-crash: mounts are those of the whole system: unshare: {error}");
    }
}

/// A file system in memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size on a new folder. The error says why that is impossible here.
    pub(crate) fn mount(folder: PathBuf, bytes: usize) -> Result<Self, String> {
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let size = format!("size={bytes}");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("no `mount`: {error}")),
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If this fails, an unused mount is left, and `umount` itself says so.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Fills the disk: callers get an error, reads go on, a restart works, and writing resumes when there is room.
pub(crate) fn fill(site: &mut Site, disk: &SmallDisk, random: &mut Random) -> Result<String, String> {
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![7; BALLAST_BYTES]).map_err(|error| format!("{}: {error}", ballast.display()))?;
    let mut server = site.start()?;
    let mut refused = 0;
    for _ in 0..20 {
        let address = server.address();
        let attempts = site.load(address, BROAD, random, |_| {
            wait(Duration::from_millis(300));
            Ok(())
        });
        let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
        refused = attempts.iter().filter(|attempt| is_full(attempt)).count();
        site.audit(address, &attempts, random, true).map_err(|error| with_log(&error, server.as_ref()))?;
        let ready = get(address, "/health/ready")?.status();
        if ready != 200 {
            return Err(with_log(&format!("on a full disk, /health/ready is {ready}"), server.as_ref()));
        }
        if refused > 0 {
            break;
        }
    }
    if refused == 0 {
        return Err(with_log("no request found the disk full", server.as_ref()));
    }
    kill(server.as_mut())?;
    server = site.start().map_err(|error| format!("starting on a full disk: {error}"))?;
    site.audit(server.address(), &[], random, true).map_err(|error| with_log(&error, server.as_ref()))?;
    fs::remove_file(&ballast).map_err(|error| format!("{}: {error}", ballast.display()))?;
    stores(site, server.address(), random).map_err(|error| with_log(&error, server.as_ref()))?;
    kill(server.as_mut())?;
    server = site.start()?;
    site.audit(server.address(), &[], random, true).map_err(|error| with_log(&error, server.as_ref()))?;
    Ok(format!("{refused} requests were told so, {} events stored", site.ledger.len()))
}
