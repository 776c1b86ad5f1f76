//! WebSocket (RFC 6455): what becomes of a connection after the answer 101.
//!
//! The core decides about the opening handshake ([`Handshake`](argus_core::api::Handshake)).
//! [`Wire`](crate::wire::Wire) then takes the byte stream back from hyper, and drives a WebSocket over it in place of
//! HTTP. So the connection keeps its permit, its write timeout, its eviction and its part in a drain.
//!
//! - [`Application`] is what runs on a WebSocket: in the servers `Subscriber`, a live stream. [`Echo`] is for tests of
//!   the protocol.
//! - `codec` has the frames, without I/O, and `heartbeat` the pings. `driver` connects both with the byte stream and
//!   the application.

mod application;
mod codec;
mod driver;
mod echo;
mod heartbeat;
mod message;
mod subscriber;

pub use application::{Application, Outgoing, Step};
pub use echo::Echo;
pub use message::Message;

pub(crate) use driver::{Driver, Ended, Upgrade};
pub(crate) use subscriber::Subscriber;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
