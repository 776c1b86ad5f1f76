//! What std has no words for. Where a system lacks it, there is another way or none is needed.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Zeros are written so many at a time.
const ZEROS_BYTES: usize = 1 << 16;

/// Gives an empty file its length and all of its blocks, so that writing in it neither runs out of space nor moves its
/// end.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    if reserve(file, len)? { Ok(()) } else { write_zeros(file, 0..len) }
}

/// Writes zeros in this place.
pub(crate) fn write_zeros(file: &File, place: Range<u64>) -> io::Result<()> {
    static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
    let mut at = place.start;
    while at < place.end {
        let now = usize::try_from(place.end - at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
        file.write_all_at(ZEROS.get(..now).unwrap_or_default(), at)?;
        at += now as u64;
    }
    Ok(())
}

/// Writes all that is in `parts` at `offset`, however many and however long they are. Also says how many bytes were
/// written before an error.
pub(crate) fn write_at(file: &File, offset: u64, mut parts: &mut [IoSlice<'_>]) -> Result<(), (u64, io::Error)> {
    let mut writer = file;
    let mut written = 0;
    writer.seek(SeekFrom::Start(offset)).map_err(|error| (0, error))?;
    // Parts without bytes in front would make a write of nothing look like the end of the device.
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

/// What tells a file from all others of the system, and how many names it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    pub(crate) device: u64,
    pub(crate) number: u64,
    pub(crate) names: u64,
}

/// That of what a path leads to. It is not asked for its times: on Linux, the next write to a file whose times somebody
/// has seen has to give it new ones (multigrain timestamps, since 6.13), which makes each sync of a log that is looked
/// at after each write a third slower.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn inode_at(path: &Path) -> io::Result<Inode> {
    use rustix::fs::{AtFlags, CWD, statx};
    statx(CWD, path, AtFlags::empty(), WANTED).map(|found| Inode::from(&found)).map_err(Into::into)
}

/// That of an open file; its times are not asked for, as in [`inode_at`].
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
        Self { device, number: found.stx_ino, names: found.stx_nlink.into() }
    }
}

/// That of what a path leads to.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn inode_at(path: &Path) -> io::Result<Inode> {
    std::fs::metadata(path).map(|found| Inode::from(&found))
}

/// That of an open file.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn inode_of(file: &File) -> io::Result<Inode> {
    file.metadata().map(|found| Inode::from(&found))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl From<&std::fs::Metadata> for Inode {
    fn from(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: found.dev(), number: found.ino(), names: found.nlink() }
    }
}

/// Reserves blocks; `false` if this file system cannot.
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

/// Drops what the page cache has of a file and the device has as well, so that the next reader gets what the device
/// has.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn drop_cached(file: &File) {
    // It is advice, and so is the answer: a file system that has no use for it keeps no copy of its own.
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
    fn more_parts_than_one_call_takes_are_written_in_order() {
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
    fn a_file_has_its_whole_length_in_either_way() {
        for len in [0, 1, ZEROS_BYTES as u64 - 1, ZEROS_BYTES as u64, 3 * ZEROS_BYTES as u64 + 17] {
            let file = tempfile::tempfile().unwrap();
            write_zeros(&file, 0..len).unwrap();
            assert_eq!(file.metadata().unwrap().len(), len);
            let file = tempfile::tempfile().unwrap();
            // No log file is that short, and the system refuses it.
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
