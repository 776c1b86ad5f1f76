//! Exports of `argus-smol`, beside a running server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../host/tests/shared/export.rs"]
mod export;

#[test]
fn exports_are_written_beside_a_server() {
    export::exports_beside_a_server(env!("CARGO_BIN_EXE_argus-smol"));
}
