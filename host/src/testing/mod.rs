//! What tests of this crate share: time that stands still until it is moved, connections in memory, and a server on them.

mod server;
mod stream;
mod time;

pub(crate) use server::{Connected, Server, settings};
pub(crate) use stream::End;
pub(crate) use time::{ManualRuntime, ManualTime};
