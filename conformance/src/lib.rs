//! The wire contract of Argus Events (`docs/http-api.md`) as black-box cases, and the launchers that start what is
//! examined.
//!
//! A [`Case`](case::Case) is one promise of the contract. It knows nothing but HTTP: it gets a
//! [`Context`](context::Context), asks it for [`Server`](context::Server)s, sends them bytes and compares what comes
//! back. A [`Launcher`](launcher::Launcher) is where servers come from. [`SUBJECTS`](subjects::SUBJECTS) lists who is
//! examined, and every case is run on every subject, so that what one runtime answers the others do too;
//! [`differential`] sends the same odd requests to all of them and compares the answers with each other.
//!
//! This library depends on no crate of Argus. The package's third host, `argus-minimal`, depends on the core alone:
//! that it passes is the proof that any host can carry the core.

pub mod binaries;
pub mod case;
pub mod cases;
pub mod client;
pub mod compress;
pub mod context;
mod described;
pub mod description;
pub mod differential;
pub mod failure;
pub mod launcher;
pub mod nginx;
pub mod subjects;
