//! Rate limits: how often a client may call, and how many bytes it may send.
//!
//! The algorithm is GCRA, the Generic Cell Rate Algorithm, in its form of virtual scheduling (ITU-T I.371, annex A; ATM
//! Forum Traffic Management 4.1, section 4.4.2). It is a token bucket that stores one number, the time at which the
//! bucket is full again, and needs no timer.
//!
//! A [`Rate`] and a burst are a [`Quota`]; the quotas of requests and of bytes are [`Quotas`]. A [`Meter`] counts the
//! use of one client, and an [`AddressTable`] has the meters of all client addresses. Time is an argument: the uptime,
//! from a clock that cannot be set.

mod gcra;
mod meter;
mod network;
mod quota;
mod rate;
mod table;

pub use gcra::{Gcra, Standing};
pub use meter::{Meter, Refused, Unit, Verdict};
pub use network::{ClientNetwork, Network, NetworkError};
pub use quota::{Quota, Quotas};
pub use rate::{Rate, RateError, parse_amount, parse_size};
pub use table::{ADDRESSES_MAX, AddressTable};
