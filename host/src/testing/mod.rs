//! Shared by the tests of this crate: manual time, connections in memory, and a server over both.

mod server;
mod stream;
mod time;

pub(crate) use server::{Connected, Server, settings};
pub(crate) use stream::End;
#[cfg(feature = "tls")]
pub(crate) use stream::{MemoryStream, connection};
pub(crate) use time::{ManualRuntime, ManualTime};
