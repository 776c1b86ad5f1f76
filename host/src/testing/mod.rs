//! Shared by the tests of this crate: manual time, connections in memory, a server over both, and what is logged.

mod page;
mod server;
mod stream;
mod time;

pub(crate) use page::{logged, written};
pub(crate) use server::{Connected, Server, settings};
pub(crate) use stream::End;
#[cfg(feature = "tls")]
pub(crate) use stream::{MemoryStream, connection};
pub(crate) use time::{ManualRuntime, ManualTime};
