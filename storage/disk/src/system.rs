//! System calls that std lacks, with a fallback for systems without them.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Zeros are written in pieces of this size.
const ZEROS_BYTES: usize = 1 << 16;

/// Gives an empty file its length and all of its blocks, so that later writes neither run out of space nor change the
/// length.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if reserve(file, len)? { Ok(()) } else { write_zeros(file, 0..len) }
}

/// Writes zeros to a range of the file.
pub(crate) fn write_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
    let mut at = range.start;
    while at < range.end {
        let now = usize::try_from(range.end - at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
        file.write_all_at(ZEROS.get(..now).unwrap_or_default(), at)?;
        at += now as u64;
    }
    Ok(())
}

/// Writes all `parts` at `offset`. An error comes with the number of bytes written before it.
pub(crate) fn write_at(file: &File, offset: u64, mut parts: &mut [IoSlice<'_>]) -> Result<(), (u64, io::Error)> {
    let mut writer = file;
    let mut written = 0;
    writer.seek(SeekFrom::Start(offset)).map_err(|error| (0, error))?;
    // Skip empty parts at the front: a write of 0 bytes would look like the end of the device.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match writer.write_vectored(parts) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(now) => {
                written += now as u64;
                IoSlice::advance_slices(&mut parts, now);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Identifies a file within the system; `links` is its link count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    pub(crate) device: u64,
    pub(crate) number: u64,
    pub(crate) links: u64,
}

/// The inode at a path. Does not ask for file times: since Linux 6.13 (multigrain timestamps), the next write after a
/// query of times must update them, which makes each sync of the log a third slower.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn inode_at(path: &Path) -> io::Result<Inode> {
    use rustix::fs::{AtFlags, CWD, statx};
    statx(CWD, path, AtFlags::empty(), WANTED).map(|found| Inode::from(&found)).map_err(Into::into)
}

/// The inode of an open file; like [`inode_at`], without file times.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn inode_of(file: &File) -> io::Result<Inode> {
    use rustix::fs::{AtFlags, statx};
    statx(file, "", AtFlags::EMPTY_PATH, WANTED).map(|found| Inode::from(&found)).map_err(Into::into)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const WANTED: rustix::fs::StatxFlags = rustix::fs::StatxFlags::INO.union(rustix::fs::StatxFlags::NLINK);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl From<&rustix::fs::Statx> for Inode {
    fn from(found: &rustix::fs::Statx) -> Self {
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        Self { device, number: found.stx_ino, links: found.stx_nlink.into() }
    }
}

/// The inode at a path.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn inode_at(path: &Path) -> io::Result<Inode> {
    std::fs::metadata(path).map(|found| Inode::from(&found))
}

/// The inode of an open file.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn inode_of(file: &File) -> io::Result<Inode> {
    file.metadata().map(|found| Inode::from(&found))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl From<&std::fs::Metadata> for Inode {
    fn from(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: found.dev(), number: found.ino(), links: found.nlink() }
    }
}

/// Reserves blocks; `false` if the file system cannot.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn reserve(file: &File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{Errno, retry_on_intr};

    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn reserve(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Drops the clean pages of a file from the page cache, so that the next read shows what the device has.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn drop_cached(file: &File) {
    // Only advice: file systems without a page cache refuse it.
    let _advice = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn drop_cached(_: &File) {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Read;

    use super::*;

    #[test]
    fn more_parts_than_one_system_call_takes_are_written_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        allocate(&file, 10_000).unwrap();
        let bytes: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let mut parts: Vec<IoSlice<'_>> =
            bytes.chunks(1).flat_map(|one| [IoSlice::new(&[]), IoSlice::new(one)]).collect();
        write_at(&file, 77, &mut parts).unwrap();
        let mut all = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut all).unwrap();
        let expected = [vec![0; 77], bytes, vec![0; 10_000 - 77 - 5000]].concat();
        assert!(all == expected);
    }

    #[test]
    fn allocation_gives_the_whole_length_with_and_without_the_system_call() {
        for len in [0, 1, ZEROS_BYTES as u64 - 1, ZEROS_BYTES as u64, 3 * ZEROS_BYTES as u64 + 17] {
            let file = tempfile::tempfile().unwrap();
            write_zeros(&file, 0..len).unwrap();
            assert_eq!(file.metadata().unwrap().len(), len);
            let file = tempfile::tempfile().unwrap();
            // `fallocate` refuses length 0; no log file is that short.
            if len > 0 {
                allocate(&file, len).unwrap();
                assert_eq!(file.metadata().unwrap().len(), len);
            }
        }
    }

    #[test]
    fn nothing_is_written_without_bytes() {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, 5, &mut []).unwrap();
        write_at(&file, 5, &mut [IoSlice::new(&[])]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
