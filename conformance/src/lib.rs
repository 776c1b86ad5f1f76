//! The wire contract of Argus Events (`docs/http-api.md`) as black-box cases, and launchers that start the subjects.
//!
//! A [`Case`](case::Case) is one promise of the contract. It knows only HTTP: its [`Context`](context::Context) starts
//! [`Server`](context::Server)s with a [`Launcher`](launcher::Launcher), and the case sends them bytes and compares the
//! answers. [`SUBJECTS`](subjects::SUBJECTS) lists the subjects. Every case runs on every subject, so all runtimes and
//! repositories behave alike. [`differential`] also sends the same odd requests to all of them and compares their
//! answers.
//!
//! This library depends on no crate of the product; `argus-servers` starts databases. Of this package, only
//! `argus-minimal`, a third host, depends on the core. That it passes the suite proves that any host can use the core.

pub mod binaries;
pub mod case;
pub mod cases;
pub mod chromium;
pub mod client;
pub mod compress;
pub mod contained;
pub mod context;
pub mod description;
mod description_cache;
pub mod differential;
pub mod failure;
pub mod launcher;
pub mod needs;
pub mod nginx;
pub mod odd_requests;
pub mod packages;
pub mod programs;
pub mod random;
pub mod relay;
pub mod subjects;
