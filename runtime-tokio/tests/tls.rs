//! TLS of `argus-tokio`, with clients that are not ours.

#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../host/tests/shared/tls.rs"]
mod tls;

#[test]
fn curl_is_served() {
    tls::serves_curl(env!("CARGO_BIN_EXE_argus-tokio"));
}

#[test]
fn openssl_and_python_are_served() {
    tls::serves_openssl_and_python(env!("CARGO_BIN_EXE_argus-tokio"));
}

#[test]
fn live_streams_are_served() {
    tls::streams_events(env!("CARGO_BIN_EXE_argus-tokio"));
}

#[test]
fn mistakes_are_explained_and_certificates_replaced() {
    tls::explains_itself(env!("CARGO_BIN_EXE_argus-tokio"));
}
