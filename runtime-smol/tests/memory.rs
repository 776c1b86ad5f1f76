//! The memory of `argus-smol` against its plan.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../host/tests/shared/memory.rs"]
mod memory;

#[test]
fn memory_stays_within_its_plan() {
    memory::stays_within_its_plan(env!("CARGO_BIN_EXE_argus-smol"));
}

#[test]
fn freed_memory_goes_back_to_the_system() {
    memory::freed_memory_is_returned(env!("CARGO_BIN_EXE_argus-smol"));
}
