//! What is to be logged about a request, collected until its answer is over.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Instant;

use argus_core::api::{ProblemKind, RequestEntry, TraceContext};
use argus_core::event::Timestamp;

use super::RequestLog;
use crate::clock::Clock;

/// A request whose answer is under way. Dropping this logs it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) log: RequestLog,
    pub(crate) clock: Clock,
    /// When the head had arrived.
    pub(crate) begun: Instant,
    pub(crate) time: Timestamp,
    pub(crate) peer: SocketAddr,
    pub(crate) client: Option<IpAddr>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) method: Box<str>,
    pub(crate) target: Box<str>,
    pub(crate) http_10: bool,
    pub(crate) status: u16,
    pub(crate) request_id: Box<str>,
    pub(crate) trace: Option<(TraceContext, NonZeroU64)>,
    pub(crate) problem: Option<ProblemKind>,
    /// Bytes of the body that were handed to the connection.
    pub(crate) bytes: u64,
    /// Whether that was all of the body.
    pub(crate) complete: bool,
}

impl Record {
    /// A piece of the body was handed to the connection, the last one if it `is_last`.
    pub(crate) fn sent(&mut self, bytes: usize, is_last: bool) {
        self.bytes += bytes as u64;
        self.complete |= is_last;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.log.log(&RequestEntry {
            time: self.time,
            peer: self.peer,
            client: self.client,
            key: self.key.as_deref(),
            method: &self.method,
            target: &self.target,
            http_10: self.http_10,
            status: self.status,
            bytes: self.bytes,
            complete: self.complete,
            duration: self.clock.now().saturating_duration_since(self.begun),
            request_id: &self.request_id,
            trace: self.trace,
            problem: self.problem,
        });
    }
}
