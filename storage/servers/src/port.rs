//! Free ports.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::ops::Range;

/// The address on which servers listen.
pub(crate) const HOST: &str = "127.0.0.1";

/// Ports below those that systems give to clients and to whoever asks for any port. So the port of a server is still
/// free when it restarts.
const PORTS: Range<u16> = 15_000..32_000;

/// How many ports to try.
const ATTEMPTS: usize = 100;

/// A port of [`HOST`] that is free now.
pub(crate) fn free() -> Option<u16> {
    // The standard library's only public source of randomness. Other processes look for ports at the same time.
    let draw = || RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
    let mut drawn = (0..ATTEMPTS).filter_map(|_| u16::try_from(draw()).ok()).map(|drawn| PORTS.start + drawn);
    drawn.find(|port| TcpListener::bind((HOST, *port)).is_ok())
}
