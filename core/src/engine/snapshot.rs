//! Read snapshots: immutable views of the stored events.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::erasure::Erasures;
use super::gaps::GapSearch;
use super::parts::{Located, Parts};
use super::questions::{ColumnarRun, SequenceRun};
use super::scan::Run;
use crate::event::Event;
use crate::identity::IdentityKey;
use crate::query::Scan;
use crate::repository::{AnalysisRun, FoldRun, GapRun, Progress, ReadError, ScanRun, Snapshot, Stats};
use crate::segment::{RowText, Sealed, SealedError, Segment};
use crate::storage::StorageError;

/// All events that an [`Engine`](super::Engine) held when the snapshot was taken.
#[derive(Clone, Debug)]
pub struct EngineSnapshot {
    parts: Parts,
    stats: Stats,
}

impl EngineSnapshot {
    pub(super) fn new(
        sealed: Arc<Vec<Arc<Sealed>>>,
        fresh: Box<[Arc<Segment>]>,
        key: IdentityKey,
        erasures: Erasures,
        stats: Stats,
    ) -> Self {
        Self { parts: Parts::new(sealed, fresh, key, erasures), stats }
    }

    /// As [`Parts::seqs_of_ids`].
    pub(super) fn seqs_of_ids(&self, ids: &[(u64, &str)]) -> Result<Vec<Option<u64>>, ReadError> {
        self.parts.seqs_of_ids(ids)
    }
}

impl Snapshot for EngineSnapshot {
    fn stats(&self) -> Result<Stats, ReadError> {
        Ok(self.stats)
    }

    fn last_seq(&self) -> u64 {
        self.stats.last_seq
    }

    fn erasures(&self) -> u64 {
        self.stats.erasures.accepted
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Box::new(GapSearch::over(&self.parts, after, up_to))
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        let key = self.parts.key();
        match self.parts.locate(id, &mut self.parts.erasure_test())? {
            None => return Ok(false),
            Some(Located::Fresh { segment, row, .. }) => sink(segment.event(row, key)?),
            Some(Located::Sealed { block, row, .. }) => {
                let mut text = RowText::default();
                text.load(&block, row)?;
                sink(text.event(&block, row, key)?);
            }
        }
        Ok(true)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Ok(Box::new(Run::new(&self.parts, scan)?))
    }

    fn analyze(self: Arc<Self>, progress: Progress) -> Result<Box<dyn AnalysisRun>, ReadError> {
        let progress = match ColumnarRun::begin(&self.parts, progress) {
            Ok(run) => return Ok(Box::new(run)),
            Err(progress) => progress,
        };
        match SequenceRun::begin(&self.parts, progress) {
            Ok(run) => Ok(Box::new(run)),
            Err(progress) => {
                let scan = self.scan(&progress.remaining_scan())?;
                Ok(Box::new(FoldRun::new(scan, progress)))
            }
        }
    }
}

impl From<SealedError> for ReadError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Storage(StorageError::Unavailable(cause)) => Self::Unavailable(cause),
            SealedError::Storage(StorageError::Full(cause) | StorageError::Failed(cause)) => Self::Failed(cause),
            SealedError::Damaged(damage) => Self::Damaged(damage),
        }
    }
}
