//! The log: files of equal length, each with the bytes of the log from its start offset on.
//!
//! A file is allocated in full before its first write. So appends do not change file lengths, and a full disk is
//! noticed before the log is touched. Zeros are written some way ahead of the end, and trimmed files are reused:
//! appends overwrite blocks that were written before, so a sync has no metadata to wait for.

mod file;
mod found;
mod name;
mod origin;
mod reader;
mod recovered;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};

use argus_core::cause::Cause;
use argus_core::storage::StorageError;
use bytes::Bytes;

use crate::error::{OpenError, SystemError};
use crate::folder::{Folder, remove, rename};
use file::LogFile;
use found::Found;
pub(crate) use reader::LogReader;
pub(crate) use recovered::RecoveredLog;

/// Trimmed files that are kept for reuse.
const SPARES_MAX: u8 = 2;

#[derive(Debug)]
pub(crate) struct Log {
    folder: Folder,
    /// Length of each file.
    file_bytes: u64,
    /// Ascending, without a gap. The last file is never removed, since its name records how far the log has come.
    files: VecDeque<LogFile>,
    /// Numbers of the spare files.
    spares: Vec<u8>,
    /// The offset of the next append. Prepared, empty files may follow.
    end: u64,
    /// Set when the log has failed: no more appends or syncs.
    failed: Option<Cause>,
    /// Entries of the folder that do not belong to the log.
    unknown_files: Vec<PathBuf>,
}

impl Log {
    /// Opens the log. Checks all files first, and changes the folder only if none is damaged.
    pub(crate) fn open(path: &Path, file_bytes: u64) -> Result<Self, OpenError> {
        let folder = Folder::open(path)?;
        let found = Found::in_folder(&folder, file_bytes)?;
        for path in &found.useless {
            remove(path)?;
        }
        folder.probe()?;
        folder.sync()?;
        for file in &found.files {
            file.read_from_device()?;
        }
        let Found { files, spares, unknown_files, useless: _ } = found;
        let end = files.back().map_or(0, |last| last.start + file_bytes);
        Ok(Self { folder, file_bytes, files, spares, end, failed: None, unknown_files })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Entries of the folder that do not belong to the log.
    pub(crate) fn unknown_files(&self) -> &[PathBuf] {
        &self.unknown_files
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.files.front().map_or(self.end, |first| first.start)..self.end
    }

    /// See [`Storage::append`](argus_core::storage::StorageWriter::append).
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.refuse_if_failed()?;
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = self.end.checked_add(len).filter(|end| end.checked_add(self.file_bytes).is_some());
        let end = end.ok_or_else(|| StorageError::Failed(format!("the log cannot grow beyond {}", u64::MAX).into()))?;
        self.prepare(end)?;
        if let Err((nothing_written, error)) = self.write(parts) {
            // If some bytes were written, whole records may be among them, and a restart would find records that were
            // reported as failed. So the error is temporary only if nothing was written.
            let is_temporary = nothing_written && (error.is_full() || error.is_unavailable());
            return Err(if is_temporary { error.without_effect() } else { self.fail(error) });
        }
        self.end = end;
        // Where commits do not wait for a sync, this is the only check that the file is in its place.
        let (last, _) = self.locate(end.saturating_sub(1));
        // An empty append to an empty log leaves no file.
        match self.files.get(last).map_or(Ok(()), LogFile::verify) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// See [`Storage::sync`](argus_core::storage::StorageWriter::sync).
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        self.refuse_if_failed()?;
        match self.files.iter_mut().try_for_each(LogFile::sync) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// See [`Storage::log_location`](argus_core::storage::Storage::log_location).
    pub(crate) fn describe(&self, offset: u64) -> String {
        let (index, within) = self.locate(offset);
        let file = self.files.get(index).map(|file| format!(" (offset {within} of {})", file.path.display()));
        format!("the log at offset {offset}{}", file.unwrap_or_default())
    }

    /// See [`Storage::read_log`](argus_core::storage::StorageReader::read_log).
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; readable(&self.range(), offset, len)?];
        by_file(&mut bytes, offset, self.file_bytes, |start, within, piece| {
            let file = self.files.get(self.locate(start).0).ok_or_else(|| missing_file(start))?;
            file.read(within, piece).map_err(SystemError::failed)
        })?;
        Ok(bytes.into())
    }

    /// See [`Storage::truncate`](argus_core::storage::StorageWriter::truncate). Overwrites bytes after the end with
    /// zeros, and removes files after it.
    pub(crate) fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let range = self.range();
        if end < range.start || end > range.end {
            return Err(StorageError::Failed(
                format!("cannot truncate the log at {end}: it has the offsets {range:?}").into(),
            ));
        }
        self.end = end;
        // From the last one backwards, so that there is never a gap. They are not kept for reuse: at the same offset,
        // their old records would become valid again.
        while self.files.len() > 1
            && let Some(last) = self.files.pop_back_if(|last| last.start >= end)
        {
            remove(&last.path).and_then(|()| self.folder.sync()).map_err(SystemError::failed)?;
        }
        let (index, within) = self.locate(end);
        self.files.get_mut(index).map_or(Ok(()), |file| file.wipe(within)).map_err(SystemError::failed)
    }

    /// See [`Storage::discard`](argus_core::storage::Storage::discard). Removes whole files only, the first one in each
    /// call, so that there is never a gap.
    pub(crate) fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        if self.has_whole_file_before(offset) {
            self.drop_file(0)?;
        }
        Ok(self.has_whole_file_before(offset))
    }

    /// See [`Storage::scrub`](argus_core::storage::Storage::scrub). Removes whole files and the spare ones, and
    /// overwrites the rest with zeros, a part in each call.
    pub(crate) fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.refuse_if_failed()?;
        if self.has_whole_file_before(offset) {
            if let Some(first) = self.files.front() {
                remove(&first.path).map_err(SystemError::without_effect)?;
                self.files.pop_front();
                self.folder.sync().map_err(SystemError::failed)?;
            }
            return Ok(true);
        }
        if let Some(&number) = self.spares.last() {
            remove(&self.folder.join(&name::spare_name(number))).map_err(SystemError::without_effect)?;
            self.spares.pop();
            self.folder.sync().map_err(SystemError::failed)?;
            return Ok(true);
        }
        let (offset, end) = (offset.min(self.end), self.end);
        let front = self.files.front_mut().map(|first| first.scrub_before(offset.saturating_sub(first.start)));
        let mut scrubbed = front.unwrap_or(Ok(false));
        for file in &mut self.files {
            match scrubbed {
                Ok(false) => scrubbed = file.scrub_old_after(end.saturating_sub(file.start)),
                Ok(true) | Err(_) => break,
            }
        }
        // Each scrub syncs the file, and with it what was appended.
        scrubbed.map_err(|error| self.fail(error))
    }

    fn has_whole_file_before(&self, offset: u64) -> bool {
        let offset = offset.min(self.end);
        self.files.len() > 1 && self.files.front().is_some_and(|first| first.start + self.file_bytes <= offset)
    }

    /// Removes all files, and begins an empty log at this offset. A crash meanwhile may leave some of the files.
    pub(crate) fn restart(&mut self, offset: u64) -> Result<(), StorageError> {
        while let Some(last) = self.files.pop_back() {
            remove(&last.path).map_err(SystemError::failed)?;
        }
        let start = offset - offset % self.file_bytes;
        let first = LogFile::create(&self.folder, start, self.file_bytes).map_err(SystemError::without_effect)?;
        self.files.push_back(first);
        self.end = offset;
        self.folder.sync().map_err(|error| self.fail(error))
    }

    /// Creates the files up to `end`. After an error, some of them may exist.
    fn prepare(&mut self, end: u64) -> Result<(), StorageError> {
        loop {
            let next = self.files.back().map_or(0, |last| last.start + self.file_bytes);
            if next >= end {
                return Ok(());
            }
            let file = match self.spares.last() {
                Some(&number) => {
                    let file = LogFile::recycle(&self.folder, &name::spare_name(number), next);
                    let file = file.map_err(SystemError::without_effect)?;
                    self.spares.pop();
                    file
                }
                None => LogFile::create(&self.folder, next, self.file_bytes).map_err(SystemError::without_effect)?,
            };
            // Sync after each one, so that no file is durable before its predecessor.
            self.folder.sync().map_err(|error| self.fail(error))?;
            self.files.push_back(file);
        }
    }

    /// Writes at the end, into existing files. Returns an error with `true` if nothing was written.
    fn write(&mut self, parts: &[&[u8]]) -> Result<(), (bool, SystemError)> {
        let (mut index, mut within) = self.locate(self.end);
        let mut room = self.room(within);
        let mut pieces = Vec::with_capacity(parts.len());
        let mut none_before = true;
        for part in parts {
            let mut part = *part;
            while !part.is_empty() {
                let (piece, rest) = part.split_at(part.len().min(room));
                pieces.push(IoSlice::new(piece));
                room -= piece.len();
                part = rest;
                if room == 0 {
                    self.write_to(index, within, &mut pieces).map_err(|(none, error)| (none && none_before, error))?;
                    pieces.clear();
                    none_before = false;
                    (index, within) = (index + 1, 0);
                    room = self.room(within);
                }
            }
        }
        self.write_to(index, within, &mut pieces).map_err(|(none, error)| (none && none_before, error))
    }

    /// The same for one file.
    fn write_to(&mut self, index: usize, within: u64, pieces: &mut [IoSlice<'_>]) -> Result<(), (bool, SystemError)> {
        // An append that exactly fills a file leaves nothing for the next one, which need not exist.
        if pieces.is_empty() {
            return Ok(());
        }
        let Some(file) = self.files.get_mut(index) else {
            let path = self.folder.join(&name::file_name(self.end));
            return Err((false, SystemError::of("write", &path)(io::ErrorKind::NotFound.into())));
        };
        file.write(within, pieces).map_err(|(written, error)| (written == 0, error))
    }

    /// Removes a file from the log, and keeps it as a spare if there are fewer than [`SPARES_MAX`].
    fn drop_file(&mut self, index: usize) -> Result<(), StorageError> {
        let Some(file) = self.files.get(index) else { return Ok(()) };
        match (0..SPARES_MAX).find(|number| !self.spares.contains(number)) {
            Some(number) => {
                rename(&file.path, &self.folder.join(&name::spare_name(number)))
                    .map_err(SystemError::without_effect)?;
                self.spares.push(number);
            }
            None => remove(&file.path).map_err(SystemError::without_effect)?,
        }
        self.files.remove(index);
        self.folder.sync().map_err(SystemError::failed)
    }

    /// The index of the file that has this offset, and the offset in it.
    fn locate(&self, offset: u64) -> (usize, u64) {
        let first = self.files.front().map_or(0, |first| first.start);
        let distance = offset.saturating_sub(first);
        (usize::try_from(distance / self.file_bytes).unwrap_or(usize::MAX), distance % self.file_bytes)
    }

    /// How many bytes a file has from this offset on.
    fn room(&self, within: u64) -> usize {
        usize::try_from(self.file_bytes - within).unwrap_or(usize::MAX)
    }

    fn refuse_if_failed(&self) -> Result<(), StorageError> {
        self.failed.as_ref().map_or(Ok(()), |cause| Err(StorageError::Failed(cause.clone())))
    }

    /// Refuses all further writes: the contents of the medium after the last sync are unknown from now on.
    fn fail(&mut self, error: SystemError) -> StorageError {
        let error = error.failed();
        self.failed = Some(error.clone().into_cause());
        error
    }
}

/// How many of `len` bytes a log of this range has from an offset on.
fn readable(range: &Range<u64>, offset: u64, len: usize) -> Result<usize, StorageError> {
    let left = range.end.checked_sub(offset).filter(|_| range.start <= offset);
    let left = left.ok_or_else(|| {
        StorageError::Failed(format!("cannot read the log at {offset}: it has the offsets {range:?}").into())
    })?;
    Ok(usize::try_from(left).unwrap_or(usize::MAX).min(len))
}

/// Splits `bytes`, the part of the log from `offset` on, at the borders of files. Calls `read` to fill each piece, with
/// the start offset of its file and the offset of the piece in that file.
fn by_file(
    mut bytes: &mut [u8],
    offset: u64,
    file_bytes: u64,
    mut read: impl FnMut(u64, u64, &mut [u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut at = offset;
    while !bytes.is_empty() {
        let within = at % file_bytes;
        let room = usize::try_from(file_bytes - within).unwrap_or(usize::MAX);
        let (piece, rest) = bytes.split_at_mut(room.min(bytes.len()));
        read(at - within, within, piece)?;
        at += piece.len() as u64;
        bytes = rest;
    }
    Ok(())
}

fn missing_file(start: u64) -> StorageError {
    StorageError::Failed(format!("the log has no file that begins at {start}").into())
}
