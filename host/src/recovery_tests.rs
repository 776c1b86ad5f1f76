//! A server whose repository fails and recovers, as its clients and readiness see it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use argus_core::batch::Batch;
use argus_core::cause::{Cause, NamedPlace};
use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Failure, ImportError, Reader, Receipt, Repository};
use argus_core::storage::MemoryStorage;
use argus_core::transfer::Transfer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use crate::backend::Opened;
use crate::committer::tests::wait;
use crate::connection::Connection;
use crate::node::Node;
use crate::reply_body::ReplyBody;
use crate::service::Service;
use crate::testing::{self, ManualRuntime};

/// What commits do.
#[derive(Clone, Debug)]
enum Behaviour {
    Succeed,
    /// Commits are refused, but the repository has not failed.
    Refuse(CommitError),
    /// The repository fails, and the outcome of the current commit is unknown.
    Fail(Failure),
}

/// An engine behind a connection that the test can break and repair.
struct Remote {
    engine: Engine<MemoryStorage>,
    behaviour: Arc<Mutex<Behaviour>>,
    failure: Option<Failure>,
}

impl Repository for Remote {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        assert_eq!(self.failure, None, "the repository has failed and must not be asked to commit");
        let behaviour = self.behaviour.lock().unwrap().clone();
        match behaviour {
            Behaviour::Succeed => self.engine.commit(now, group),
            Behaviour::Refuse(error) => Err(error),
            Behaviour::Fail(failure) => {
                self.failure = Some(failure.clone());
                Err(match failure {
                    Failure::Unavailable(cause) => CommitError::Unavailable { cause, in_doubt: true },
                    Failure::Failed(cause) => CommitError::in_doubt(cause),
                })
            }
        }
    }

    fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        self.engine.erase(now, filter)
    }

    fn import(&mut self, _transfer: &Transfer) -> Result<(), ImportError> {
        unreachable!("a server imports nothing")
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn recover(&mut self) -> Result<(), CommitError> {
        match &*self.behaviour.lock().unwrap() {
            Behaviour::Succeed | Behaviour::Refuse(_) => self.failure = None,
            Behaviour::Fail(failure) => return Err(failure.clone().into()),
        }
        Ok(())
    }

    fn reader(&self) -> Reader {
        self.engine.reader()
    }
}

struct Server {
    node: Arc<Node>,
    service: Arc<Service<ManualRuntime>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Server {
    fn new() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Succeed));
        let engine = Engine::open(MemoryStorage::default(), Seed(1)).unwrap();
        let repository = Box::new(Remote { engine, behaviour: Arc::clone(&behaviour), failure: None });
        let server = testing::Server::over(Opened { repository, flush_every: None }, testing::settings(""));
        let service = Service::new(Arc::clone(&server.node), server.runtime);
        Self { node: server.node, service, behaviour }
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn send(&self, request: http::request::Builder, body: &'static str) -> (u16, bool, Value) {
        let state = Arc::new(Connection::open(&self.node.settings, self.node.clock.clone()));
        let session = self.service.session(SocketAddr::from(([127, 0, 0, 1], 1)), state);
        let request = request.header("host", "argus").body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
        let response: Response<ReplyBody> = wait(session.handle(request));
        let (status, has_retry_after) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
        let body = wait(response.into_body().collect()).unwrap().to_bytes();
        (status, has_retry_after, serde_json::from_slice(&body).unwrap())
    }

    fn get(&self, target: &str) -> (u16, Value) {
        let (status, _, body) = self.send(Request::get(target), "");
        (status, body)
    }

    fn post(&self) -> (u16, bool, Value) {
        const EVENT: &str = r#"{"event_type":"click","timestamp":1700000000,"payload":null}"#;
        self.send(Request::post("/events").header("content-type", "application/json"), EVENT)
    }

    fn is_ready(&self, status: &str) -> Value {
        let (code, body) = self.get("/health/ready");
        assert_eq!((code, &body["status"]), (if status == "fail" { 503 } else { 200 }, &status.into()), "{body}");
        body["output"].clone()
    }

    fn stored(&self) -> usize {
        let (status, events) = self.get("/events");
        assert_eq!(status, 200, "reads continue");
        events.as_array().unwrap().len()
    }
}

/// A cause with a location that clients must not see.
fn cause() -> Cause {
    Cause::call("reach", NamedPlace::new("db.internal:5432", "the database"), std::io::Error::other("refused"))
}

fn says(text: &Value, part: &str) {
    let text = text.as_str().unwrap();
    assert!(text.contains(part) && text.contains("cannot reach the database: refused"), "{text}");
    assert!(!text.contains("db.internal"), "{text}");
}

#[test]
fn readiness_and_answers_follow_a_repository_that_fails_and_recovers() {
    for (failure, kind) in [
        (Failure::Unavailable(cause()), "/problems/storage-unavailable"),
        (Failure::Failed(cause()), "/problems/storage-failed"),
    ] {
        let server = Server::new();
        assert_eq!(server.post().0, 201);
        server.is_ready("pass");

        server.set(Behaviour::Fail(failure));
        for outcome in ["whether the events were stored is unknown", "nothing was stored"] {
            let (status, has_retry_after, problem) = server.post();
            assert_eq!((status, has_retry_after, &problem["type"]), (503, true, &kind.into()), "{problem}");
            says(&problem["detail"], outcome);
        }
        says(&server.is_ready("fail"), "the storage");
        assert_eq!(server.stored(), 1);

        // Without any request, the commit thread asks by itself.
        server.set(Behaviour::Succeed);
        while server.node.committer.failure().is_some() {
            thread::yield_now();
        }
        server.is_ready("pass");
        assert_eq!((server.post().0, server.stored()), (201, 2));
        assert_eq!(server.node.lifecycle.failure(), None);
    }
}

#[test]
fn a_refused_commit_is_a_warning_until_one_succeeds() {
    let server = Server::new();
    server.set(Behaviour::Refuse(CommitError::unavailable(cause())));
    let (status, has_retry_after, problem) = server.post();
    assert_eq!((status, has_retry_after, &problem["type"]), (503, true, &"/problems/storage-unavailable".into()));
    says(&problem["detail"], "nothing was stored");
    says(&server.is_ready("warn"), "the last commit was refused");
    server.set(Behaviour::Succeed);
    assert_eq!(server.post().0, 201);
    server.is_ready("pass");
}
