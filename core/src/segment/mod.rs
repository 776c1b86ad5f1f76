//! Immutable, sorted parts.
