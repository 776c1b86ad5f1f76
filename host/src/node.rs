//! The parts of one running server, put together once and shared by everything in it.

use std::net::TcpListener;
use std::sync::Arc;

use argus_core::api::Api;

use crate::budget::Budget;
use crate::committer::Committer;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// One running server, without its executor and its framework.
#[derive(Debug)]
pub struct Node {
    /// What the operator asked for.
    pub settings: Settings,
    /// What requests mean.
    pub api: Api,
    /// The way to the commit thread, and to what it published.
    pub committer: Committer,
    /// Bytes of request bodies that may be held at once.
    pub budget: Arc<Budget>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Serving or draining, and how many connections there are.
    pub lifecycle: Arc<Lifecycle>,
    /// The bound endpoint, non-blocking. A host clones it into its own kind of listener.
    pub listener: TcpListener,
}
