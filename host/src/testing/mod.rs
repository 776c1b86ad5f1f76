//! What tests of this crate share: a clock that stands still until it is moved, and an executor on it.

mod time;

pub(crate) use time::{ManualRuntime, ManualTime};
