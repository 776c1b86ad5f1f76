//! Who sent a request, from its head to its answer.

use argus_core::api::{Caller, Reply};
use argus_core::repository::Receipt;

use super::{HeldKey, Pass};
use crate::clock;
use crate::metrics::KeyCounters;

/// The caller of a request, and the gate that it came through. Without a gate, all of this does nothing.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    caller: Caller,
    pass: Option<Pass>,
}

impl Visitor {
    pub(crate) fn new(caller: Caller, pass: Option<Pass>) -> Self {
        Self { caller, pass }
    }

    /// What the core has found out.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The name of the key.
    pub(crate) fn key_name(&self) -> Option<&str> {
        self.pass.as_ref()?.keys()?.name(self.caller.key?)
    }

    /// The key, for an answer that lasts. `None` without one: everything is open.
    pub(crate) fn hold_key(&self) -> Option<HeldKey> {
        self.pass.as_ref()?.hold(self.caller.key?)
    }

    /// Counts what has arrived of a body.
    pub(crate) fn body_arrived(&mut self, bytes: usize) {
        if let Some(counters) = self.counters() {
            counters.body_arrived(bytes);
        }
        // The time is read only if it is needed.
        if let Some(pass) = self.pass.as_ref().filter(|_| self.caller.counts_bytes()) {
            self.caller.charge(pass, clock::uptime(), bytes as u64);
        }
    }

    /// Counts events that were stored.
    pub(crate) fn committed(&self, receipt: &Receipt) {
        if let Some(counters) = self.counters() {
            counters.events_written(receipt.stored);
        }
    }

    /// Counts the answer.
    pub(crate) fn answered(&self, reply: &Reply) {
        if let Some(counters) = self.counters() {
            counters.answered(reply.problem);
        }
    }

    fn counters(&self) -> Option<&KeyCounters> {
        self.pass.as_ref()?.keys()?.counters(self.caller.key?)
    }
}
