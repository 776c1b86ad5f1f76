//! A naive model of the whole, for tests to compare with.
