//! What the request log says about the request under way. It is kept here from the head of the request until its answer
//! was made, so that a request has one line, whatever becomes of it within the framework.

use std::sync::{MutexGuard, PoisonError};

use argus_core::api::{Reply, RequestHead};
use http::{Request, StatusCode, Version};

use super::{NO_ANSWER, Session, target};
use crate::clock;
use crate::gate::Visitor;
use crate::logging::Ids;
use crate::request_log::Record;
use crate::runtime::Runtime;

impl<R: Runtime> Session<R> {
    /// Begins the record of a request before it goes through the framework, if there is a request log.
    pub(crate) fn record_request<B>(&self, request: &Request<B>) {
        // Usually there is none, and the target need not be copied.
        if self.service.node.request_log.is_some() {
            let target = target(request.uri());
            let http_10 = request.version() == Version::HTTP_10;
            let method = request.method().as_str();
            self.begin_record(&RequestHead { method, target: &target, http_10, ..RequestHead::default() });
        }
    }

    /// Begins the record of a request whose head has just arrived, if there is a request log. Its status is
    /// [`NO_ANSWER`] until [`record_reply`](Self::record_reply) sets another.
    pub(super) fn begin_record(&self, line: &RequestHead<'_>) {
        let node = &self.service.node;
        let Some(log) = node.request_log.clone() else { return };
        *self.lock_record() = Some(Box::new(Record {
            log,
            clock: node.clock.clone(),
            begun: self.connection.now(),
            time: clock::now(),
            peer: self.peer,
            client: None,
            key: None,
            method: line.method.into(),
            target: line.target.into(),
            http_10: line.http_10,
            status: NO_ANSWER,
            request_id: Box::default(),
            trace: None,
            problem: None,
            bytes: 0,
            complete: false,
        }));
    }

    /// Says who has sent the request. There is no visitor if the core could not tell.
    pub(super) fn record_sender(&self, ids: &Ids, visitor: Option<&Visitor>) {
        if let Some(record) = &mut *self.lock_record() {
            record.request_id = ids.request_id.as_str().into();
            record.trace = ids.trace;
            record.client = visitor.and_then(|visitor| visitor.caller().client);
            record.key = visitor.and_then(Visitor::key_name).map(Into::into);
        }
    }

    /// Says how the request is answered. The record of 101 goes on to the WebSocket, until that ends; that of any other
    /// answer waits for [`take_record`](Self::take_record).
    pub(super) fn record_reply(&self, reply: &Reply, ids: &Ids) {
        let mut kept = self.lock_record();
        let Some(record) = &mut *kept else { return };
        (record.status, record.problem) = (reply.status, reply.problem);
        if record.request_id.is_empty() {
            (record.request_id, record.trace) = (ids.request_id.as_str().into(), ids.trace);
        }
        if let Some(upgrade) = &mut *self.lock_upgrade() {
            upgrade.record = kept.take();
        }
    }

    /// The record of the answer that was made last. Its body has to be reported to it.
    pub(crate) fn take_record(&self) -> Option<Box<Record>> {
        self.lock_record().take()
    }

    /// The record of the request under way, whose answer is not sent if it has one. If that was 101, there will be no
    /// WebSocket.
    pub(super) fn withdraw_answer(&self) -> Option<Box<Record>> {
        self.take_upgrade().and_then(|upgrade| upgrade.record).or_else(|| self.take_record())
    }

    /// The framework has returned an answer with this status. If it is not 101, the connection stays HTTP.
    pub(crate) fn answered(&self, status: StatusCode) {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.connection.state().upgrade_is_answered();
            return;
        }
        let mut record = self.withdraw_answer();
        // A framework should pass on the answer of the service. If it has made another one, that is what was sent.
        if let Some(record) = record.as_mut().filter(|record| record.status != status.as_u16()) {
            (record.status, record.problem) = (status.as_u16(), None);
        }
        self.keep_record(record);
    }

    /// Keeps the record of the request under way.
    pub(super) fn keep_record(&self, record: Option<Box<Record>>) {
        *self.lock_record() = record;
    }

    fn lock_record(&self) -> MutexGuard<'_, Option<Box<Record>>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::time::Duration;

    use http::Response;
    use serde_json::Value;

    use crate::reply_body::ReplyBody;
    use crate::testing::{ManualRuntime, Server};

    const ROOM: usize = 1 << 20;
    const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                           sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// Panics before, within or after the answer of the service, or has another answer.
    async fn failing(exchange: crate::exchange::Exchange<ManualRuntime>) -> Response<ReplyBody> {
        match exchange.uri().query().unwrap() {
            "before" => {}
            "within" => drop(exchange.run()),
            "after" | "type=after" => drop(exchange.run().await),
            "twice" => {
                exchange.run().await;
                return exchange.run().await;
            }
            _ => {
                let mut response = exchange.run().await;
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                return response;
            }
        }
        panic!("as told")
    }

    #[test]
    fn a_request_that_fails_within_the_framework_has_one_line_with_the_answer_that_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.log");
        let server = Server::start(&format!("--request-log {} --request-log-format json", path.display()));
        let targets = ["/a?before", "/a?within", "/a?after", "/a?twice", "/a?other", "/events/stream?type=after"];
        for target in targets {
            let mut connected = server.connect_through(ROOM, failing);
            let answer = connected.ask(&format!("GET {target} HTTP/1.1\r\nhost: x\r\n{UPGRADE}\r\n"), "}\n");
            assert!(answer.starts_with("HTTP/1.1 500 "), "{target}: {answer}");
            // The last line of the log is about this request.
            drop(connected);
            server.node.request_log.as_ref().unwrap().flush(Duration::from_secs(60));
            let log = std::fs::read_to_string(&path).unwrap();
            let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
            let found = (&line["method"], &line["target"], &line["status"], &line["complete"]);
            assert_eq!(found, (&"GET".into(), &target.into(), &500.into(), &true.into()), "{log}");
            let id = format!("\r\nx-request-id: {}\r\n", line["request_id"].as_str().unwrap());
            assert!(answer.contains(&id), "{answer} {line}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), targets.len());
    }
}
