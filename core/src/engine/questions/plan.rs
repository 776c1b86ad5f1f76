//! What a question looks for.

use alloc::sync::Arc;

use crate::engine::erasure::ErasureTest;
use crate::engine::parts::Parts;
use crate::engine::scan::{Bounds, Pruning};
use crate::identity::IdentityKey;
use crate::query::{Conditions, Filter, Scan};

/// Opening a block costs about as much as examining this many rows.
pub(super) const BLOCK_ROWS: u32 = 32;

/// Decoding this many bytes of a payload costs about as much as examining a row.
pub(super) const PAYLOAD_BYTES: usize = 32;

/// What a question looks for in sealed segments. It has buffers, so each thread has its own.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) filter: Arc<Filter>,
    pub(super) bounds: Bounds,
    pub(super) pruning: Pruning,
    pub(super) conditions: Conditions,
    pub(super) erasures: ErasureTest,
    pub(super) key: IdentityKey,
}

impl Plan {
    pub(super) fn new(parts: &Parts, scan: &Scan) -> Self {
        Self {
            bounds: Bounds::of(scan),
            pruning: Pruning::of(&scan.filter),
            conditions: Conditions::compile(&scan.filter.payload),
            erasures: parts.erasure_test(),
            key: *parts.key(),
            filter: Arc::new(scan.filter.clone()),
        }
    }

    /// Whether columns decide all conditions on payloads.
    pub(super) fn is_columnar(&self) -> bool {
        self.pruning.conditions() == self.filter.payload.len()
    }
}
