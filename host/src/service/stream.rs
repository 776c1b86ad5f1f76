//! Requests for a live stream.

use std::time::Instant;

use argus_core::api::{Refusal, Stream, Transport};
use argus_core::repository::Reader;

use super::{Answer, Elapsed, Session, Streamed};
use crate::gate::Visitor;
use crate::runtime::Runtime;
use crate::streams::{StreamReader, server_sent_events};
use crate::websocket::Subscriber;

impl<R: Runtime> Session<R> {
    /// Begins a stream before the deadline, which does not apply to the stream itself.
    pub(super) async fn stream(&self, deadline: Instant, stream: Stream, visitor: &Visitor) -> Result<Answer, Refusal> {
        let node = &self.service.node;
        let snapshot = match node.committer.reader() {
            Reader::Current(snapshot) => snapshot,
            shared @ Reader::Shared(_) => {
                let taking = Box::pin(self.service.runtime.unblock(move || shared.take()));
                let taken = self.within(deadline, taking).await.map_err(|Elapsed| Refusal::ReadTimeout)?;
                taken.map_err(Refusal::Unreadable)?
            }
        };
        let last_seq = snapshot.last_seq();
        drop(snapshot);
        let draft = stream.head(last_seq);
        if stream.is_head_only() {
            return Ok(draft.into());
        }
        self.connection.state().live_begins();
        let (runtime, transport) = (self.service.runtime.clone(), stream.transport());
        let reader = StreamReader::open(node, runtime.clone(), stream, last_seq, self.peer, visitor.hold_key());
        let events = match transport {
            Transport::ServerSentEvents => {
                server_sent_events(reader, runtime, node.clock.clone(), node.settings.stream_heartbeat)
            }
            Transport::WebSocket => return Ok(self.switch(draft, Box::new(Subscriber::new(reader))).into()),
        };
        Ok(Answer { draft, streamed: Some(Streamed::Events(events)) })
    }
}
