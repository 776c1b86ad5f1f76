//! The sans-IO core of Argus Events.
//!
//! Everything that Argus *decides* is decided here, by synchronous code without I/O, clock, randomness or threads: what
//! a valid event is ([`ingest`]), how events lie in storage ([`batch`], [`engine`]), which events a query
//! means ([`query`]) and what HTTP answer a caller gets ([`api`]). A host moves bytes, waits, and tells the core what
//! time it is.
//!
//! The crate is `no_std`, unconditionally: a socket, a clock or a thread cannot be named in it. Time comes in as a
//! [`Timestamp`](event::Timestamp) or a [`Moment`](clock::Moment) and randomness as a [`Seed`](engine::Seed); the same
//! inputs give the same bytes.
//!
//! # The order of calls
//!
//! 1. Any thread turns bytes into a [`Batch`](batch::Batch): [`ingest::parse`], or
//!    [`BatchBuilder`](batch::BatchBuilder) by hand.
//! 2. The one writer hands what has queued up to [`Repository::commit`](repository::Repository::commit). When it
//!    returns, the events are as durable as the storage makes them.
//! 3. The writer publishes [`Repository::reader`](repository::Repository::reader), and only then answers its
//!    callers.
//! 4. Any thread takes a [`Snapshot`](repository::Snapshot) from it and reads, in bounded steps, for as long as it
//!    likes.
//! 5. Behind commits there is [maintenance](repository::Maintenance), which another thread may do.
//!
//! # Panics
//!
//! Input never panics: not a request, not a damaged file. A panic in this crate is a bug in this crate, and every
//! `expect` says why it holds.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod batch;
pub mod cause;
mod checksum;
pub mod clock;
mod codec;
mod column;
pub mod damage;
pub mod engine;
pub mod event;
mod hex;
mod identity;
pub mod ingest;
pub mod json;
mod listed;
mod log;
pub mod query;
pub mod repository;
pub mod room;
mod segment;
pub mod storage;
