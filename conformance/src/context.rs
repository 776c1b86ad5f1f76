//! The tools of a case: servers to start, and requests to send to them.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::check_eq;
use crate::client::{Connection, EventStream, Request, Response, Transcript};
use crate::description::Description;
use crate::description_cache;
use crate::failure::{Failure, Outcome};
use crate::launcher::{BrokenLog, Demand, Exit, Launcher, Running, Signal};
use crate::nginx::Nginx;

/// How much of the end of a server's log a report shows, in bytes.
const LOG_BYTES_SHOWN: usize = 2000;

/// One run of one case against one subject.
#[derive(Debug)]
pub struct Context<'a> {
    launcher: &'a dyn Launcher,
    transcript: Transcript,
    logs: Arc<Mutex<Vec<String>>>,
}

/// A server under test and a client.
#[derive(Debug)]
pub struct Server {
    running: Box<dyn Running>,
    description: Arc<Description>,
    transcript: Transcript,
    logs: Arc<Mutex<Vec<String>>>,
}

impl<'a> Context<'a> {
    /// A context whose servers come from `launcher`.
    #[must_use]
    pub fn new(launcher: &'a dyn Launcher) -> Self {
        Self { launcher, transcript: Transcript::default(), logs: Arc::default() }
    }

    /// A server that may hold other events: the case must use types and ids of its own.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start.
    pub fn server(&self) -> Result<Server, Failure> {
        self.launch(Demand::Any)
    }

    /// A server without events.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start or is not available.
    pub fn empty(&self) -> Result<Server, Failure> {
        self.launch(Demand::Empty)
    }

    /// A server without events, with these flags and values.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start or is not available.
    pub fn start(&self, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        self.launch(Demand::Settings(settings))
    }

    /// A server with these flags and values, and with the repository of one that has ended: [`Server::repository`].
    /// Without a URL, there are no events.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start or is not available.
    pub fn start_again(&self, repository: Option<&str>, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        self.launch(Demand::Again(repository, settings))
    }

    /// As [`start`](Self::start), with a standard error that cannot be written to.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start or is not available.
    pub fn start_with_broken_log(&self, broken: BrokenLog, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        self.launch(Demand::BrokenLog(broken, settings))
    }

    /// As [`start`](Self::start), but starts `wrapper`, a program with arguments, which then executes the subject.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does not start or is not available.
    pub fn start_in(&self, wrapper: &[String], settings: &[(&str, &str)]) -> Result<Server, Failure> {
        let running = self.launcher.wrapped(wrapper)?.start(Demand::Settings(settings))?;
        self.server_at(running)
    }

    /// As [`run_to_exit`](Self::run_to_exit), but starts `wrapper`, which then executes the subject.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it goes on running or there is no program.
    pub fn run_in(&self, wrapper: &[String], arguments: &[&str]) -> Result<Exit, Failure> {
        self.launcher.wrapped(wrapper)?.run_to_exit(arguments)
    }

    /// Runs the subject's program with exactly these arguments until it ends by itself.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it goes on running or there is no program.
    pub fn run_to_exit(&self, arguments: &[&str]) -> Result<Exit, Failure> {
        self.launcher.run_to_exit(arguments)
    }

    /// A name not used by any other case or earlier run, for types and ids on servers that may hold other events.
    #[must_use]
    pub fn unique(&self, stem: &str) -> String {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
        format!("{stem}-{nanos:x}-{:x}-{:x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    /// Details about a failure: the last messages and the ends of the servers' logs.
    #[must_use]
    pub fn report(&self) -> String {
        let mut report = format!("  last messages (> sent, < received):\n{}", self.transcript.recent());
        for log in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|log| !log.is_empty()) {
            report.push_str("  the server's log ends with:\n");
            report.extend(log.lines().map(|line| format!("    {line}\n")));
        }
        report
    }

    fn launch(&self, demand: Demand<'_>) -> Result<Server, Failure> {
        let running = self.launcher.start(demand)?;
        self.server_at(running)
    }

    fn server_at(&self, running: Box<dyn Running>) -> Result<Server, Failure> {
        let description = description_cache::get(self.launcher)?;
        Ok(Server { running, description, transcript: self.transcript.clone(), logs: Arc::clone(&self.logs) })
    }
}

impl Server {
    /// Opens a connection. Every answer on it is checked against the subject's `OpenAPI` document.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the server does not accept it.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let connection = Connection::open(self.running.address(), self.transcript.clone())?;
        Ok(connection.checked_against(&self.description))
    }

    /// Opens a connection with a small receive buffer.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the server does not accept it.
    pub fn connect_with_small_buffer(&self) -> Result<Connection, Failure> {
        let connection = Connection::open_with_small_buffer(self.running.address(), self.transcript.clone())?;
        Ok(connection.checked_against(&self.description))
    }

    /// Starts an nginx that passes every request to this server: [`Nginx::start`].
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no nginx, or it does not start.
    pub fn behind_nginx(&self, directives: &str) -> Result<Nginx, Failure> {
        Nginx::start(self.running.address(), directives)
    }

    /// Opens a connection to the nginx in front of this server. Every answer must match the subject's `OpenAPI`
    /// document; answers that nginx makes itself do not.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the server does not accept it.
    pub fn connect_through(&self, nginx: &Nginx) -> Result<Connection, Failure> {
        let connection = Connection::open(nginx.address(), self.transcript.clone())?;
        Ok(connection.checked_against(&self.description))
    }

    /// Host and port, as in a `Host` field.
    #[must_use]
    pub fn host(&self) -> String {
        self.address().to_string()
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no complete response.
    pub fn send(&self, request: &Request) -> Result<Response, Failure> {
        self.connect()?.request(request)
    }

    /// `GET`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no complete response.
    pub fn get(&self, target: &str) -> Result<Response, Failure> {
        self.send(&Request::get(target))
    }

    /// Opens a stream with this query string, which may be empty, on a connection of its own.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not a stream.
    pub fn stream(&self, query: &str) -> Result<EventStream, Failure> {
        let separator = if query.is_empty() { "" } else { "?" };
        EventStream::open(self.connect()?, &Request::get(&format!("/events/stream{separator}{query}")))
    }

    /// As [`stream`](Self::stream), as a browser that has seen the event with this sequence number.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not a stream.
    pub fn resume_stream(&self, query: &str, last_id: Option<u64>) -> Result<EventStream, Failure> {
        let Some(last_id) = last_id else { return self.stream(query) };
        let separator = if query.is_empty() { "" } else { "?" };
        let request = Request::get(&format!("/events/stream{separator}{query}"));
        EventStream::open(self.connect()?, &request.header("last-event-id", &last_id.to_string()))
    }

    /// `POST /events` of JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no complete response.
    pub fn submit(&self, body: impl Into<Vec<u8>>) -> Result<Response, Failure> {
        self.send(&Request::post("/events", "application/json", body))
    }

    /// `POST /events` of events, one a line.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no complete response.
    pub fn submit_lines(&self, body: impl Into<Vec<u8>>) -> Result<Response, Failure> {
        self.send(&Request::post("/events", "application/x-ndjson", body))
    }

    /// Sends the head of a `POST /events` of this JSON and waits for `100 Continue`. The body is not sent: the server
    /// now waits for it.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the first answer is another.
    pub fn begin_submission(&self, body: impl Into<Vec<u8>>) -> Result<Connection, Failure> {
        let mut connection = self.connect()?;
        let request = Request::post("/events", "application/json", body).header("expect", "100-continue");
        connection.write(&request.head_bytes(&self.host()))?;
        check_eq!(connection.read_head("POST")?.status, 100, "the answer to the head alone");
        Ok(connection)
    }

    /// Stores valid events; returns the acknowledgement.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not 201.
    pub fn store(&self, body: &Value) -> Result<Value, Failure> {
        let response = self.submit(body.to_string())?;
        response.expect(201)?;
        response.acknowledgement()
    }

    /// The events that `GET /events` returns for this query string, which may be empty.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not 200 with an array.
    pub fn find(&self, query: &str) -> Result<Vec<Value>, Failure> {
        let separator = if query.is_empty() { "" } else { "?" };
        self.get(&format!("/events{separator}{query}"))?.events()
    }

    /// The payloads that `GET /events` returns for this query string.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not 200 with an array of events.
    pub fn payloads(&self, query: &str) -> Result<Vec<Value>, Failure> {
        self.find(query)?
            .into_iter()
            .map(|mut event| {
                let payload = event.get_mut("payload").map(Value::take);
                payload.ok_or_else(|| Failure::unmet("an event with a payload"))
            })
            .collect()
    }

    /// The value of a metric. `series` is its name, with labels if it has any.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the server does not have it.
    pub fn metric(&self, series: &str) -> Result<f64, Failure> {
        let page = self.get("/metrics")?;
        let value = page.text()?.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| Failure::unmet(format!("the metric {series}")))
    }

    /// Checks that nothing is stored, and thereby that the server still answers.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there are events.
    pub fn expect_empty(&self) -> Outcome {
        check_eq!(self.get("/events")?.json_text()?, "[]", "the events stored");
        Ok(())
    }

    /// Checks that the server is up and accepts events.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not.
    pub fn expect_alive(&self) -> Outcome {
        self.get("/health/live")?.expect(200)?;
        let event = serde_json::json!({"event_type": "conformance.alive", "timestamp": 0, "payload": null});
        self.store(&event).map(drop)
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// Whether the server sees the addresses of its clients; see [`Running::sees_clients`].
    #[must_use]
    pub fn sees_clients(&self) -> bool {
        self.running.sees_clients()
    }

    /// The server's process id, if the process is ours.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.running.process()
    }

    /// The URL of the server's repository, if that outlasts the server. It goes with this value.
    #[must_use]
    pub fn repository(&self) -> Option<String> {
        self.running.repository()
    }

    /// The server's data folder, if it has one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.running.folder()
    }

    /// Sends a signal to the server's process.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the process is not ours or gone.
    pub fn signal(&self, signal: Signal) -> Outcome {
        self.running.signal(signal)
    }

    /// Waits for the server's process to end.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it goes on running.
    pub fn wait(&mut self) -> Result<Exit, Failure> {
        self.running.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let log = self.running.log();
        let start = log.ceil_char_boundary(log.len().saturating_sub(LOG_BYTES_SHOWN));
        let end = log.get(start..).unwrap_or_default().to_owned();
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(end);
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.host())
    }
}
