//! TLS 1.2 and 1.3, between the sockets of the runtimes and the wire.
//!
//! `Secured` is a [`Socket`](crate::socket::Socket) over another one, so neither hyper nor a runtime knows of TLS. It
//! never waits by itself, has no task and no thread, and buffers at most one piece of an answer. What the wire asks a
//! socket about (unread input, acknowledged bytes, the state of TCP) is answered by the socket below, and a connection
//! that has to end in a reset does, without the alert that would make its end look intended.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod config;
#[cfg(not(feature = "tls"))]
mod disabled;
mod secured;
#[cfg(feature = "tls")]
mod stream;

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests;

#[cfg(feature = "tls")]
pub(crate) use client::encrypt;
#[cfg(feature = "tls")]
pub use config::{Tls, TlsError};
#[cfg(not(feature = "tls"))]
pub(crate) use disabled::encrypt;
#[cfg(not(feature = "tls"))]
pub use disabled::{Tls, TlsError};
pub(crate) use secured::Secured;

use thiserror::Error;

/// Why a handshake did not succeed.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The client broke the rules of TLS, or both sides have nothing in common.
    #[error("{0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The client speaks HTTP without TLS. Nothing was answered.
    #[error("the client speaks HTTP without TLS")]
    PlainHttp,
    /// The client has sent more than a handshake needs.
    #[error("the handshake is too long")]
    TooLong,
    /// The client left.
    #[error("the client left")]
    Gone,
    /// The server stops.
    #[error("the server stops")]
    Draining,
}
