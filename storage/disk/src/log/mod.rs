//! The log: files of one length, each of which has the bytes from some offset on.
//!
//! A file has all of its length, blocks included, before a byte is written to it. So the end of the log moves without
//! the end of any file moving, and a full disk is noticed before the log is touched. Blocks are written with zeros some
//! way ahead of the end, and files that are given up become the next ones: so what is written was written before, and a
//! sync has no metadata to wait for.

mod file;
mod found;
mod name;
mod origin;
mod reader;
mod remains;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};

use argus_core::cause::Cause;
use argus_core::storage::StorageError;
use bytes::Bytes;

use crate::error::{Fault, OpenError};
use crate::folder::{Folder, remove, rename};
use file::LogFile;
use found::Found;
pub(crate) use reader::LogReader;
pub(crate) use remains::LogRemains;

/// So many files that were given up are kept to be written anew.
const SPARES_MAX: u8 = 2;

#[derive(Debug)]
pub(crate) struct Log {
    folder: Folder,
    /// Length of each file.
    file_bytes: u64,
    /// Ascending, without a gap. Once there is one there is always one, so that the place of the log is never
    /// forgotten.
    files: VecDeque<LogFile>,
    /// Numbers of files to be written anew.
    spares: Vec<u8>,
    /// Where the next append goes: in the last file, at its end, or in a file before it, where those behind are
    /// prepared only.
    end: u64,
    /// Why nothing can be appended any more.
    failed: Option<Cause>,
    /// What lies among the files of the log and is none of them.
    strangers: Vec<PathBuf>,
}

impl Log {
    /// Opens what there is. Files are looked at first and all of them; only if there is nothing wrong is anything
    /// changed.
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
        let Found { files, spares, strangers, useless: _ } = found;
        let end = files.back().map_or(0, |last| last.start + file_bytes);
        Ok(Self { folder, file_bytes, files, spares, end, failed: None, strangers })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What was found among the files of the log and is none of them.
    pub(crate) fn strangers(&self) -> &[PathBuf] {
        &self.strangers
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
        if let Err((nothing_written, fault)) = self.write(parts) {
            // Whole records may be among what was written, and a restart would find them, though their writers were
            // told that there is no room. Only if nothing was written, it is as if nobody had tried.
            let is_as_it_was = nothing_written && (fault.is_full() || fault.is_unavailable());
            return Err(if is_as_it_was { fault.without_effect() } else { self.fail(fault) });
        }
        self.end = end;
        // Where commits do not wait for a sync, nobody else would notice.
        let (last, _) = self.place(end.saturating_sub(1));
        // Before the first append of no bytes there is no file.
        match self.files.get(last).map_or(Ok(()), LogFile::verify) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// See [`Storage::sync`](argus_core::storage::StorageWriter::sync).
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        self.refuse_if_failed()?;
        match self.files.iter_mut().try_for_each(LogFile::sync) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// See [`Storage::log_location`](argus_core::storage::Storage::log_location).
    pub(crate) fn describe(&self, offset: u64) -> String {
        let (index, within) = self.place(offset);
        let file = self.files.get(index).map(|file| format!(" (offset {within} of {})", file.path.display()));
        format!("the log at offset {offset}{}", file.unwrap_or_default())
    }

    /// See [`Storage::read_log`](argus_core::storage::StorageReader::read_log).
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; readable(&self.range(), offset, len)?];
        let mut rest = bytes.as_mut_slice();
        let mut at = offset;
        while !rest.is_empty() {
            let (index, within) = self.place(at);
            let len = self.room(within).min(rest.len());
            let (piece, behind) = rest.split_at_mut(len);
            let file = self.files.get(index).ok_or_else(|| lost(at))?;
            file.read(within, piece).map_err(Fault::failed)?;
            at += len as u64;
            rest = behind;
        }
        Ok(bytes.into())
    }

    /// See [`Storage::truncate`](argus_core::storage::StorageWriter::truncate). Bytes behind the end are wiped, and files
    /// behind it removed.
    pub(crate) fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let range = self.range();
        if end < range.start || end > range.end {
            return Err(StorageError::Failed(format!("cut of the log at {end}, which has {range:?}").into()));
        }
        self.end = end;
        // From the last one on, so that there is no gap at any time. They are not kept to be written anew: at the same
        // place of the log they would bring back what is cut.
        while self.files.len() > 1
            && let Some(last) = self.files.pop_back_if(|last| last.start >= end)
        {
            remove(&last.path).and_then(|()| self.folder.sync()).map_err(Fault::failed)?;
        }
        let (index, within) = self.place(end);
        self.files.get_mut(index).map_or(Ok(()), |file| file.wipe(within)).map_err(Fault::failed)
    }

    /// See [`Storage::discard`](argus_core::storage::Storage::discard). Only whole files are given up, one in a call.
    /// They go one by one, so that there is no gap at any time.
    pub(crate) fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        if self.has_whole_file_before(offset) {
            self.give_up(0)?;
        }
        Ok(self.has_whole_file_before(offset))
    }

    fn has_whole_file_before(&self, offset: u64) -> bool {
        let offset = offset.min(self.end);
        self.files.len() > 1 && self.files.front().is_some_and(|first| first.start + self.file_bytes <= offset)
    }

    /// Throws everything away, and begins anew at this offset, without a byte. A crash meanwhile may leave any of it.
    pub(crate) fn restart(&mut self, offset: u64) -> Result<(), StorageError> {
        while let Some(last) = self.files.pop_back() {
            remove(&last.path).map_err(Fault::failed)?;
        }
        let start = offset - offset % self.file_bytes;
        let first = LogFile::create(&self.folder, start, self.file_bytes).map_err(Fault::without_effect)?;
        self.files.push_back(first);
        self.end = offset;
        self.folder.sync().map_err(|fault| self.fail(fault))
    }

    /// Makes the files up to `end`. After an error there may be some, behind what the log has.
    fn prepare(&mut self, end: u64) -> Result<(), StorageError> {
        loop {
            let next = self.files.back().map_or(0, |last| last.start + self.file_bytes);
            if next >= end {
                return Ok(());
            }
            let file = match self.spares.last() {
                Some(&number) => {
                    let file = LogFile::recycle(&self.folder, &name::spare_name(number), next);
                    let file = file.map_err(Fault::without_effect)?;
                    self.spares.pop();
                    file
                }
                None => LogFile::create(&self.folder, next, self.file_bytes).map_err(Fault::without_effect)?,
            };
            // One by one, so that none is durable while the one before it is not.
            self.folder.sync().map_err(|fault| self.fail(fault))?;
            self.files.push_back(file);
        }
    }

    /// Writes behind the end, into files that exist. With an error comes whether no byte at all was written.
    fn write(&mut self, parts: &[&[u8]]) -> Result<(), (bool, Fault)> {
        let (mut index, mut within) = self.place(self.end);
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
                    self.write_to(index, within, &mut pieces).map_err(|(none, fault)| (none && none_before, fault))?;
                    pieces.clear();
                    none_before = false;
                    (index, within) = (index + 1, 0);
                    room = self.room(within);
                }
            }
        }
        self.write_to(index, within, &mut pieces).map_err(|(none, fault)| (none && none_before, fault))
    }

    /// Writes into one file, in the same manner.
    fn write_to(&mut self, index: usize, within: u64, pieces: &mut [IoSlice<'_>]) -> Result<(), (bool, Fault)> {
        // An append that fills a file has nothing for the next one, which need not exist.
        if pieces.is_empty() {
            return Ok(());
        }
        let Some(file) = self.files.get_mut(index) else {
            let path = self.folder.join(&name::file_name(self.end));
            return Err((false, Fault::of("write", &path)(io::ErrorKind::NotFound.into())));
        };
        file.write(within, pieces).map_err(|(written, fault)| (written == 0, fault))
    }

    /// Takes a file from one of the ends of the log, and keeps it as a spare if there are too few.
    fn give_up(&mut self, index: usize) -> Result<(), StorageError> {
        let Some(file) = self.files.get(index) else { return Ok(()) };
        match (0..SPARES_MAX).find(|number| !self.spares.contains(number)) {
            Some(number) => {
                rename(&file.path, &self.folder.join(&name::spare_name(number))).map_err(Fault::without_effect)?;
                self.spares.push(number);
            }
            None => remove(&file.path).map_err(Fault::without_effect)?,
        }
        self.files.remove(index);
        self.folder.sync().map_err(Fault::failed)
    }

    /// The index of the file that has this offset, and where in it.
    fn place(&self, offset: u64) -> (usize, u64) {
        let first = self.files.front().map_or(0, |first| first.start);
        let behind = offset.saturating_sub(first);
        (usize::try_from(behind / self.file_bytes).unwrap_or(usize::MAX), behind % self.file_bytes)
    }

    /// How many bytes a file has from this place on.
    fn room(&self, within: u64) -> usize {
        usize::try_from(self.file_bytes - within).unwrap_or(usize::MAX)
    }

    fn refuse_if_failed(&self) -> Result<(), StorageError> {
        self.failed.as_ref().map_or(Ok(()), |cause| Err(StorageError::Failed(cause.clone())))
    }

    /// Accepts nothing more: what the log has behind its last sync is unknown, for ever.
    fn fail(&mut self, fault: Fault) -> StorageError {
        let error = fault.failed();
        self.failed = Some(error.clone().into_cause());
        error
    }
}

/// How many of so many bytes there are from an offset on, in a log of this range.
fn readable(range: &Range<u64>, offset: u64, len: usize) -> Result<usize, StorageError> {
    let left = range.end.checked_sub(offset).filter(|_| range.start <= offset);
    let left =
        left.ok_or_else(|| StorageError::Failed(format!("read of the log at {offset}, which has {range:?}").into()))?;
    Ok(usize::try_from(left).unwrap_or(usize::MAX).min(len))
}

fn lost(offset: u64) -> StorageError {
    StorageError::Failed(format!("the log has no file for offset {offset}").into())
}
