//! A server without an executor: a node over a repository in memory, and connections that a test drives.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body::Body;

use super::stream::{Client, End, connection};
use super::{ManualRuntime, ManualTime};
use crate::admission::Admission;
use crate::answers::Answers;
use crate::backend::Opened;
use crate::budget::Budget;
use crate::committer::{Committer, QueueLimits};
use crate::descriptors::Descriptors;
use crate::exchange::Exchange;
use crate::gate::Gate;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::request_log::RequestLog;
use crate::settings::Settings;
use crate::stream_hub::StreamHub;
use crate::tls::Tls;
use crate::warnings::Warnings;
use crate::wire::Wire;
use crate::wire_body::BoxError;

/// How long a test waits for another thread before it fails. A test that passes never waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a task is polled for one call of a test before the test fails. A task that has to do something needs few.
const POLLS_MAX: usize = 10_000;

/// Bytes that the client's system buffers.
const ROOM: usize = 16 << 20;

/// A server whose time moves only when the test says so.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) node: Arc<Node>,
    pub(crate) time: Arc<ManualTime>,
    pub(crate) runtime: ManualRuntime,
}

/// A client, and the server's side of its connection.
pub(crate) struct Connected {
    pub(crate) client: Client,
    driving: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    waker: Arc<TaskWaker>,
    wakes: mpsc::Receiver<()>,
}

/// Records that the connection's task was woken.
struct TaskWaker {
    is_woken: AtomicBool,
    sender: mpsc::Sender<()>,
}

/// The settings of a server in memory with these flags.
pub(crate) fn settings(flags: &str) -> Settings {
    let arguments = ["test", "--repository", "memory:"].into_iter().chain(flags.split_whitespace());
    Settings::read("test", arguments).expect("the flags are valid")
}

impl Server {
    /// Starts a server with these flags over a repository in memory.
    pub(crate) fn start(flags: &str) -> Self {
        let settings = settings(flags);
        let opened = settings.backend.open(&settings.repository, "test").expect("a repository in memory opens");
        Self::over(opened, settings)
    }

    /// Starts a server that encrypts, if it has a certificate.
    #[cfg(feature = "tls")]
    pub(crate) fn start_with_tls(flags: &str, tls: Option<Tls>) -> Self {
        let settings = settings(flags);
        let opened = settings.backend.open(&settings.repository, "test").expect("a repository in memory opens");
        Self::over_with(opened, settings, tls)
    }

    /// Starts a server over this repository.
    pub(crate) fn over(opened: Opened, settings: Settings) -> Self {
        Self::over_with(opened, settings, None)
    }

    fn over_with(opened: Opened, settings: Settings, tls: Option<Tls>) -> Self {
        let time = ManualTime::new();
        let runtime = ManualRuntime::new(&time);
        let lifecycle = Lifecycle::new(settings.max_connections.get(), settings.drain_timeout);
        let metrics = Arc::new(Metrics::new("test", "memory").expect("metrics are registered once"));
        let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), settings.repository.clone()));
        let limits =
            QueueLimits { batches_max: settings.commit_queue_batches.get(), bytes_max: settings.commit_queue_bytes };
        let committer = Committer::start(
            opened.repository,
            opened.flush_every,
            limits,
            Arc::clone(&metrics),
            Arc::clone(&lifecycle),
            Arc::clone(&warnings),
        );
        let request_log = settings.shell.request_log.as_ref().map(|target| {
            let (format, lost) = (settings.shell.request_log_format, metrics.request_log_lines_lost());
            RequestLog::start(target, format, lost, |reason| panic!("{reason}")).expect("the log can be written")
        });
        let node = Arc::new(Node {
            threads: settings.worker_threads(),
            api: settings.api(),
            budget: Budget::new(settings.max_inflight_bytes),
            answers: Answers::new(settings.max_answer_bytes, time.clock()),
            streams: StreamHub::new(settings.stream_limits(), time.clock()),
            admission: Admission::new(
                Descriptors::raise_limit(),
                settings.shell.max_connections_per_address,
                settings.access.proxies(),
            ),
            tls,
            request_log,
            gate: Gate::new(&settings.access, None, 7),
            request_ids: 7.into(),
            settings,
            committer: committer.expect("the system can start a thread"),
            clock: time.clock(),
            metrics,
            warnings,
            lifecycle,
        });
        Self { node, time, runtime }
    }

    /// Connects a client whose system buffers everything it is sent.
    pub(crate) fn connect(&self) -> Connected {
        self.connect_with_room(ROOM)
    }

    /// Connects a client whose system buffers `room` bytes.
    pub(crate) fn connect_with_room(&self, room: usize) -> Connected {
        self.connect_through(room, |exchange| exchange.run())
    }

    /// Connects a client whose requests are answered by `route` instead of a framework.
    pub(crate) fn connect_through<F, A, B>(&self, room: usize, route: F) -> Connected
    where
        F: Fn(Exchange<ManualRuntime>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (stream, client) = connection(room);
        let permit = self.node.lifecycle.permit().now_or_never().expect("there is room for a connection");
        let wire = Wire::new(Arc::clone(&self.node), self.runtime.clone());
        let peer = ([127, 0, 0, 1], 1).into();
        let driving = Box::pin(wire.drive(stream, peer, permit, route));
        let (sender, wakes) = mpsc::channel();
        let waker = Arc::new(TaskWaker { is_woken: AtomicBool::new(true), sender });
        Connected { client, driving, is_over: false, waker, wakes }
    }

    /// The metrics, fetched over a connection of their own.
    pub(crate) fn metrics(&self) -> String {
        let mut connected = self.connect();
        connected.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(connected.is_over());
        connected.client.take()
    }
}

impl Connected {
    /// Sends bytes, and lets the server read them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
        self.run_until_idle();
    }

    /// Runs the connection's task until it only waits.
    pub(crate) fn run_until_idle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.waker));
        let mut polls = 0;
        while !self.is_over && self.waker.is_woken.swap(false, Ordering::SeqCst) {
            polls += 1;
            assert!(polls < POLLS_MAX, "the connection's task wakes itself without end");
            self.is_over = self.driving.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        }
    }

    /// Runs the connection's task, and waits for other threads, until the client has received enough. Returns
    /// everything received.
    pub(crate) fn wait_for(&mut self, is_enough: impl Fn(&str) -> bool) -> String {
        let mut received = String::new();
        loop {
            self.run_until_idle();
            received += &self.client.take();
            if is_enough(&received) {
                return received;
            }
            assert!(!self.is_over, "the connection ended with {received:?}");
            self.wait();
        }
    }

    /// As [`wait_for`](Self::wait_for), until the server has closed the connection.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut received = String::new();
        loop {
            self.run_until_idle();
            received += &self.client.take();
            if self.is_over {
                return received;
            }
            self.wait();
        }
    }

    /// Runs the connection's task to its end, and waits for other threads.
    pub(crate) fn wait_for_end(&mut self) {
        loop {
            self.run_until_idle();
            if self.is_over {
                return;
            }
            self.wait();
        }
    }

    pub(crate) fn wait(&self) {
        if !self.waker.is_woken.load(Ordering::SeqCst) {
            self.wakes.recv_timeout(PATIENCE).expect("the connection's task is woken");
        }
    }

    /// Sends a request and returns the answer, which ends with `end`.
    pub(crate) fn ask(&mut self, request: &str, end: &str) -> String {
        self.send(request.as_bytes());
        self.wait_for(|received| received.ends_with(end))
    }

    /// Requires that the server has closed the connection, and returns what it has sent since the last call.
    pub(crate) fn expect_end(&mut self, end: End) -> String {
        self.run_until_idle();
        assert!(self.is_over, "the connection is still open");
        assert_eq!(self.client.end(), Some(end));
        self.client.take()
    }

    /// Runs the connection's task, and returns what the client has received.
    pub(crate) fn received(&mut self) -> String {
        self.run_until_idle();
        self.client.take()
    }

    /// Whether the server has finished with the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        // The test may have ended.
        let _ = self.sender.send(());
    }
}
