//! `GET /events/{id}`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::params::{invalid, without_value};
use super::problem_reply::ProblemReply;
use super::target::Target;
use super::text::Excerpt;
use super::{ProblemKind, Reply, Route};
use crate::auth::Access;
use crate::event::Event;
use crate::repository::{ReadError, Snapshot};

/// A `GET` or `HEAD` of `/events/{id}`.
#[derive(Debug)]
pub(super) struct Lookup {
    id: String,
    access: Access,
}

impl Lookup {
    pub(super) fn read(id: String, target: &Target<'_>, access: Access) -> Result<Self, ProblemReply> {
        match target.params.first() {
            Some(param) => {
                let name = without_value(&param.name);
                Err(invalid(format!("{}: this route has no parameters", Excerpt(name))))
            }
            None => Ok(Self { id, access }),
        }
    }

    /// The event, or 404, also for an event that the caller may not see. May read from storage.
    pub(super) fn reply(self, snapshot: &dyn Snapshot) -> Result<Reply, ReadError> {
        let mut body = Vec::new();
        let mut write = |event: Event<'_>| {
            if self.access.permits(event.event_type) {
                event.write_json(&mut body);
            }
        };
        snapshot.get(&self.id, &mut write)?;
        Ok(if !body.is_empty() {
            body.push(b'\n');
            Reply::new(Route::Event, 200, "application/json", body)
        } else {
            let detail = format!("there is no event with the id {}", Excerpt(&self.id));
            ProblemReply::new(ProblemKind::NotFound, detail).reply(Route::Event)
        })
    }
}
