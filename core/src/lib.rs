//! The sans-IO core of Argus Events.
//!
//! The core makes all decisions of Argus, in synchronous code without I/O, clock, randomness or threads: what a valid
//! event is ([`ingest`]), how events are stored ([`batch`], [`engine`]), which events a query matches ([`query`]) and a
//! live stream shows ([`subscribe`]), and which HTTP answer a caller gets ([`api`]). A host moves bytes, waits, and
//! tells the core the time.
//!
//! The crate is always `no_std`, so it cannot name a socket, a clock or a thread. Time comes in as a
//! [`Timestamp`](event::Timestamp) or a [`Moment`](clock::Moment), randomness as a [`Seed`](engine::Seed). The same
//! inputs give the same bytes.
//!
//! # The order of calls
//!
//! 1. Any thread turns bytes into a [`Batch`](batch::Batch): [`ingest::parse`], or
//!    [`BatchBuilder`](batch::BatchBuilder) by hand.
//! 2. The single writer passes queued batches to [`Repository::commit`](repository::Repository::commit). On return, the
//!    events are as durable as the storage makes them.
//! 3. The writer publishes [`Repository::reader`](repository::Repository::reader), and only then answers its callers.
//! 4. Any thread takes a [`Snapshot`](repository::Snapshot) from the reader and reads in bounded steps, for as long as
//!    it likes.
//! 5. [Maintenance](repository::Maintenance) runs in the background, on another thread if the host wants.
//!
//! # Panics
//!
//! No input causes a panic, neither a request nor a damaged file. A panic in this crate is a bug, and every `expect`
//! states why it holds.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod analysis;
pub mod api;
pub mod auth;
pub mod batch;
pub mod calendar;
pub mod cause;
mod checksum;
pub mod clock;
mod codec;
mod column;
pub mod csv;
pub mod damage;
pub mod engine;
pub mod event;
mod hex;
mod identity;
pub mod ingest;
pub mod json;
pub mod limit;
mod listed;
mod log;
pub mod proposal;
pub mod query;
pub mod repository;
pub mod room;
mod row_group;
mod segment;
pub mod sketch;
pub mod storage;
pub mod subscribe;
pub mod transfer;
