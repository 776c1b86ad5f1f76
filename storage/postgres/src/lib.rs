//! Events in `PostgreSQL`.

#![forbid(unsafe_code)]

#[cfg(test)]
mod agreement;
#[cfg_attr(not(test), expect(dead_code, reason = "the repository that uses it is not here yet"))]
mod document;
#[cfg_attr(not(test), expect(dead_code, reason = "the repository that uses it is not here yet"))]
mod narrowing;
