//! Answers to heads that never became a request.

use std::time::Duration;

use argus_core::api::{Action, Api, Refusal, RequestHead, Route, ServiceState};
use bytes::Bytes;
use http::{Method, Response};

use super::{Answer, Session};
use crate::clock;
use crate::connection::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HeadError};
use crate::raw_head::RawHead;
use crate::reply_body::ReplyBody;
use crate::runtime::Runtime;

impl<R: Runtime> Session<R> {
    /// The answer to a head that hyper refuses, as it is written to the wire, from the status line on.
    pub(crate) fn refuse_head(&self, error: HeadError) -> Bytes {
        let response = match error {
            HeadError::Late => self.refuse_unread(&Refusal::HeadTimeout),
            HeadError::TooLarge | HeadError::Malformed => self.diagnose_head(error),
        };
        let (parts, body) = response.into_parts();
        let body = body.into_whole().unwrap_or_default();
        let date = clock::http_date();
        let mut wire =
            format!("HTTP/1.1 {}\r\ncontent-length: {}\r\ndate: {date}\r\n", parts.status, body.len()).into_bytes();
        for (name, value) in &parts.headers {
            wire.extend_from_slice(name.as_str().as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&body);
        wire.into()
    }

    /// Asks the core what is wrong with a head that hyper refuses.
    fn diagnose_head(&self, error: HeadError) -> Response<ReplyBody> {
        let bytes = self.connection.state().take_raw_head().unwrap_or_default();
        let raw_head = match RawHead::parse(&bytes) {
            Some(head) if head.length <= HEAD_BYTES_MAX && head.fields.len() <= HEAD_FIELDS_MAX => head,
            Some(_) => return self.refuse_unread(&Refusal::HeadTooLarge),
            None if error == HeadError::TooLarge => return self.refuse_unread(&Refusal::HeadTooLarge),
            None if RawHead::is_of_other_version(&bytes) => return self.refuse_unread(&Refusal::HeadVersion),
            None => return self.refuse_unread(&Refusal::HeadBroken),
        };
        let headers: Vec<(&str, &[u8])> =
            raw_head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let RawHead { method, target, http_10, .. } = &raw_head;
        let head = RequestHead { method, target, headers: &headers, http_10: *http_10 };
        match self.service.node.api.handle_request(&head, &ServiceState::default()) {
            Action::Reply(reply) if reply.problem.is_some() => self.answer_unread(reply.into(), &head),
            // The core accepts a head that hyper refuses. It is refused, since hyper does not read its body. If the
            // head itself is not too large, hyper could not represent the length of the body.
            Action::Reply(_) | Action::Submit(_) | Action::Read(_) | Action::Stream(_) | Action::Metrics(_) => {
                let too_large = error == HeadError::TooLarge;
                self.refuse_unread(if too_large { &Refusal::BodyTooLarge } else { &Refusal::HeadBroken })
            }
        }
    }

    pub(super) fn raw_head(&self) -> Option<RawHead> {
        RawHead::parse(&self.connection.state().take_raw_head()?)
    }

    fn refuse_unread(&self, refusal: &Refusal) -> Response<ReplyBody> {
        self.answer_unread(self.refusal(Route::Other, refusal), &RequestHead::default())
    }

    /// Answers, counts and logs a head that never became a request.
    fn answer_unread(&self, answer: Answer, head: &RequestHead<'_>) -> Response<ReplyBody> {
        let node = &*self.service.node;
        let request_id = Api::request_id(head, node.request_ids.next());
        let in_flight = node.metrics.request_begins();
        let method = Method::from_bytes(head.method.as_bytes()).unwrap_or_default();
        self.report(&method, head, &answer, &request_id, Duration::ZERO);
        self.respond(answer, request_id, in_flight)
    }

    /// Logs an internal error, and returns the answer to its request.
    pub(crate) fn internal_error(&self, reason: &str) -> Response<ReplyBody> {
        tracing::error!("{reason}");
        self.refuse_unread(&Refusal::Internal)
    }
}
