//! Requests that turn their connection into a WebSocket.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::api::{Caller, Draft, Handshake, Refusal, RequestHead, Route};
use http::{Request, Response, Version};

use super::{Session, target};
use crate::reply_body::ReplyBody;
use crate::runtime::Runtime;
use crate::websocket::{Application, Upgrade};

impl<R: Runtime> Session<R> {
    /// Answers a request for a WebSocket, whatever its path, for [`Exchange::upgrade`](crate::exchange::Exchange).
    pub(crate) fn upgrade<B>(&self, request: &Request<B>, application: Box<dyn Application>) -> Response<ReplyBody> {
        let headers: Vec<(&str, &[u8])> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let head = RequestHead {
            method: request.method().as_str(),
            target: &target(request.uri()),
            headers: &headers,
            http_10: request.version() == Version::HTTP_10,
            peer: Some(self.peer.ip()),
        };
        let node = &*self.service.node;
        let draft = match Handshake::read(&head, Route::Other) {
            Ok(Some(handshake)) => self.switch(handshake.reply(Route::Other), application),
            Ok(None) => node.api.refuse(Route::Other, &Refusal::HeadBroken),
            Err(refused) => refused,
        };
        let reply = Caller::default().finish(draft);
        let in_flight = node.metrics.request_begins();
        node.metrics.request_answered(request.method(), &reply, Duration::ZERO);
        self.respond(reply, None, self.ids(&head), in_flight)
    }

    /// Has `application` run on the connection as soon as this reply, 101, is written.
    pub(super) fn switch(&self, head: Draft, application: Box<dyn Application>) -> Draft {
        *self.lock_upgrade() = Some(Upgrade { application, record: None });
        head
    }

    /// What runs on the connection from here on, if the last answer turned it into a WebSocket.
    pub(crate) fn take_upgrade(&self) -> Option<Upgrade> {
        self.lock_upgrade().take()
    }

    pub(super) fn lock_upgrade(&self) -> MutexGuard<'_, Option<Upgrade>> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
