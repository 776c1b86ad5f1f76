//! `GET /events/{id}`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::params::invalid;
use super::problem_reply::ProblemReply;
use super::target::Target;
use super::text::Excerpt;
use super::{ProblemKind, Reply, Route};
use crate::repository::{ReadError, Snapshot};

/// A `GET` or `HEAD` of `/events/{id}`.
#[derive(Debug)]
pub(super) struct Lookup {
    id: String,
}

impl Lookup {
    pub(super) fn read(id: String, target: &Target<'_>) -> Result<Self, ProblemReply> {
        match target.params.first() {
            Some(param) => Err(invalid(format!("{}: this route has no parameters", Excerpt(&param.name)))),
            None => Ok(Self { id }),
        }
    }

    /// The event, or 404. May read from storage.
    pub(super) fn reply(self, snapshot: &dyn Snapshot) -> Result<Reply, ReadError> {
        let mut body = Vec::new();
        Ok(if snapshot.get(&self.id, &mut |event| event.write_json(&mut body))? {
            body.push(b'\n');
            Reply::new(Route::Event, 200, "application/json", body)
        } else {
            let detail = format!("there is no event with the id {}", Excerpt(&self.id));
            ProblemReply::new(ProblemKind::NotFound, detail).reply(Route::Event)
        })
    }
}
