//! Answers to heads that never became a request, and to requests that failed within the framework.

use std::time::Duration;

use argus_core::api::{Action, Draft, Refusal, RequestHead, Route};
use bytes::Bytes;
use http::{Method, Response};

use super::Session;
use crate::connection::HeadError;
use crate::gate::Visitor;
use crate::logging::Ids;
use crate::raw_answer;
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
        if let Some(mut record) = self.take_record() {
            record.sent(body.len(), true);
        }
        raw_answer::answer(parts.status, &parts.headers, &body)
    }

    /// Asks the core what is wrong with a head that hyper refuses.
    fn diagnose_head(&self, error: HeadError) -> Response<ReplyBody> {
        let bytes = self.connection.state().take_raw_head().unwrap_or_default();
        let shell = &self.service.node.settings.shell;
        // What makes a head too large is often its target alone.
        let too_large = || match RawHead::target_bytes(&bytes) > shell.max_uri_bytes {
            true => self.refuse_unread(&Refusal::UriTooLong),
            false => self.refuse_unread(&Refusal::HeadTooLarge),
        };
        let raw_head = match RawHead::parse(&bytes) {
            Some(head) if head.length <= shell.max_head_bytes && head.fields.len() <= shell.max_head_fields.get() => {
                head
            }
            Some(_) => return too_large(),
            None if error == HeadError::TooLarge => return too_large(),
            None if RawHead::is_of_other_version(&bytes) => return self.refuse_unread(&Refusal::HeadVersion),
            None => return self.refuse_unread(&Refusal::HeadBroken),
        };
        let headers: Vec<(&str, &[u8])> =
            raw_head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let RawHead { method, target, http_10, .. } = &raw_head;
        let head = RequestHead { method, target, headers: &headers, http_10: *http_10, peer: Some(self.peer.ip()) };
        let (action, visitor) = self.decide(&head);
        let refused = match *action {
            Action::Reply(draft) => Some(draft).filter(Draft::is_problem),
            Action::Submit(_) | Action::Erase(_) | Action::Read(_) | Action::Stream(_) | Action::Metrics(_) => None,
        };
        // Otherwise the core accepts a head that hyper refuses. It is refused, since hyper does not read its body. If
        // the head itself is not too large, hyper could not represent the length of the body.
        let refusal = if error == HeadError::TooLarge { Refusal::BodyTooLarge } else { Refusal::HeadBroken };
        let draft = refused.unwrap_or_else(|| self.service.node.api.refuse(Route::Other, &refusal));
        self.answer_unread(draft, &visitor, &head)
    }

    pub(super) fn raw_head(&self) -> Option<RawHead> {
        RawHead::parse(&self.connection.state().take_raw_head()?)
    }

    fn refuse_unread(&self, refusal: &Refusal) -> Response<ReplyBody> {
        let draft = self.service.node.api.refuse(Route::Other, refusal);
        self.answer_unread(draft, &Visitor::default(), &RequestHead::default())
    }

    /// Answers, counts and logs a head that never became a request.
    fn answer_unread(&self, draft: Draft, visitor: &Visitor, head: &RequestHead<'_>) -> Response<ReplyBody> {
        let ids = self.ids(head);
        self.begin_record(head);
        self.record_sender(&ids, Some(visitor));
        self.answer_unhandled(draft, visitor, head, ids)
    }

    /// Answers, counts and logs what has no answer of the service. Its record was begun.
    fn answer_unhandled(
        &self,
        draft: Draft,
        visitor: &Visitor,
        line: &RequestHead<'_>,
        ids: Ids,
    ) -> Response<ReplyBody> {
        let in_flight = self.service.node.metrics.request_begins();
        let method = Method::from_bytes(line.method.as_bytes()).unwrap_or_default();
        let reply = visitor.caller().finish(draft);
        self.report(&method, line, visitor, &reply, &ids, Duration::ZERO);
        self.respond(reply, None, ids, in_flight)
    }

    /// Logs an internal error, and returns the answer to the request under way, in place of any that it has already.
    pub(crate) fn internal_error(&self, reason: &str) -> Response<ReplyBody> {
        tracing::error!("{reason}");
        let Some(record) = self.withdraw_answer() else { return self.refuse_unread(&Refusal::Internal) };
        let (method, target, http_10) = (record.method.clone(), record.target.clone(), record.http_10);
        let line = RequestHead { method: &method, target: &target, http_10, ..RequestHead::default() };
        // The request has no id yet if the framework has not handed it on.
        let ids = match &*record.request_id {
            "" => self.ids(&line),
            id => Ids { request_id: id.to_owned(), trace: record.trace },
        };
        self.keep_record(Some(record));
        let draft = self.service.node.api.refuse(Route::Other, &Refusal::Internal);
        self.answer_unhandled(draft, &Visitor::default(), &line, ids)
    }
}
