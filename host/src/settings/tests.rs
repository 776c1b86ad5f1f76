//! Settings: defaults, units, contradictions, and errors that name the flag or the variable.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::engine::{Retention, TYPES_MAX_DEFAULT};
use argus_core::event::PAYLOAD_DEPTH_DEFAULT;

use super::*;
use crate::backend::Durability;

fn read(arguments: &[&str]) -> Result<Settings, String> {
    let arguments = std::iter::once("argus-test").chain(arguments.iter().copied());
    Settings::read("argus-test", arguments).map_err(|error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    })
}

#[test]
fn the_command_is_consistent() {
    Settings::command().debug_assert();
}

#[test]
fn defaults_are_those_of_the_contract() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.endpoint, "127.0.0.1:3000");
    assert_eq!(settings.repository, Location::Disk(std::path::absolute("argus-data").unwrap()));
    assert_eq!(settings.backend.disk.durability, Durability::Sync);
    assert_eq!(settings.backend.engine.retention(), Retention::default());
    assert_eq!(settings.max_body_bytes, 64 << 20);
    assert_eq!(settings.max_payload_bytes, 256 << 10);
    assert_eq!(settings.max_depth.get(), PAYLOAD_DEPTH_DEFAULT);
    assert_eq!(settings.max_inflight_bytes, 256 << 20);
    assert_eq!(settings.max_answer_bytes, 256 << 20);
    assert_eq!(settings.backend.engine.max_event_types.get(), TYPES_MAX_DEFAULT);
    assert!(settings.worker_threads().get() >= 1);
}

#[test]
fn units_are_read() {
    let settings = read(&["--max-body-bytes", "1MiB", "--header-timeout=250ms", "--threads", "3"]).unwrap();
    assert_eq!(settings.max_body_bytes, 1 << 20);
    assert_eq!(settings.header_timeout, Duration::from_millis(250));
    assert_eq!(settings.worker_threads().get(), 3);
    let settings = read(&["--retain-age", "2d", "--retain-bytes", "10GiB"]).unwrap();
    let retention = Retention { age: Some(2 * 86_400 * 1_000_000_000), bytes: Some(10 << 30) };
    assert_eq!(settings.backend.engine.retention(), retention);
}

#[test]
fn contradictions_name_both_settings() {
    let message = read(&["--max-payload-bytes", "2MiB", "--max-body-bytes", "1MiB"]).unwrap_err();
    assert!(message.contains("--max-payload-bytes (2MiB) must not be more than --max-body-bytes (1MiB)"), "{message}");
    for arguments in [&["--query-memory", "257MiB"][..], &["--query-memory", "20MiB", "--max-answer-bytes", "19MiB"]] {
        let message = read(arguments).unwrap_err();
        assert!(message.contains("--query-memory (2") && message.contains("MiB) must not be more than"), "{message}");
        assert!(message.contains("--max-answer-bytes ("), "{message}");
        assert!(message.contains("lower the first or raise the second"), "{message}");
    }
    read(&["--query-memory", "256MiB"]).unwrap();
    read(&["--query-memory", "19MiB", "--max-answer-bytes", "19MiB"]).unwrap();
    let message = read(&["--max-body-bytes", "1GiB"]).unwrap_err();
    assert!(message.contains("--max-inflight-bytes (256MiB)"), "{message}");
    let message = read(&["--max-body-bytes", "256MiB"]).unwrap_err();
    assert!(message.contains("--max-body-bytes (256MiB)"), "{message}");
    read(&["--max-body-bytes", "64MiB", "--max-inflight-bytes", "112MiB"]).unwrap();
    read(&["--max-body-bytes", "64MiB", "--max-inflight-bytes", "108MiB"]).unwrap_err();
    let message = read(&["--max-working-bytes", "60MiB"]).unwrap_err();
    assert!(message.contains("--max-working-bytes (60MiB)"), "{message}");
    // The first limits the time between bytes, the second begins after the last byte.
    read(&["--body-timeout", "2m", "--request-timeout", "1m"]).unwrap();
}

#[test]
fn wrong_values_name_the_setting_and_what_was_expected() {
    for (arguments, expected) in [
        (["--endpoint", "3000"], "expected host:port"),
        (["--endpoint", "::1:3000"], "[::1]:3000"),
        (["--endpoint", "localhost:http"], "'http' is not a port"),
        (["--repository", "s3://x"], "memory:"),
        (["--repository", "disk:"], "disk:PATH"),
        (["--repository", ""], "--repository"),
        (["--durability", "interval:0"], "interval:MS"),
        (["--durability", "never"], "`sync`"),
        (["--retain-age", "30"], "an age needs a unit (ms, s, m, h, d, w, y), as in 30d"),
        (["--retain-age", "101y"], "must be at most 36525d"),
        (["--keep-alive-timeout", "2y"], "must be at most 366d"),
        (["--repository", "data:2024"], "write `./data:2024` for a folder of that name"),
        (["--retain-bytes", "0"], "must be more than zero"),
        (["--max-depth", "0"], "must be at least 1"),
        (["--threads", "0"], "must be at least 1"),
        (["--threads", "-1"], "expected a whole number of at least 1"),
        (["--threads", "many"], "expected a whole number of at least 1"),
        (["--threads", "99999999999999999999"], "too large"),
        (["--threads", "1025"], "must be at most 1024"),
        (["--max-connections", "0"], "must be at least 1"),
        (["--commit-queue-batches", "0"], "must be at least 1"),
        (["--max-body-bytes", "-1"], "expected a whole number and a unit"),
        (["--drain-timeout", "soon"], "ms, s, m, h, d"),
        (["--min-body-rate", "0"], "must be more than zero"),
        (["--log", "argus=loud"], "'loud' is not a level"),
        (["--log", "verbose"], "'verbose' is not a level"),
        (["--log-format", "xml"], "text, json"),
    ] {
        let message = read(&arguments).unwrap_err();
        assert!(message.contains(expected) && message.contains(arguments[0]), "{message}");
    }
}

#[test]
fn the_url_of_a_database_is_not_quoted_if_it_is_wrong() {
    // Also in programs that are built without these databases, which say so.
    for url in ["postgres://:secret@db/shop", "postgres://ann:secret@db/shop?no=secret", "mongodb://ann:secret@db:port"]
    {
        let message = read(&["--repository", url]).unwrap_err();
        assert!(message.contains("--repository") && !message.contains("secret"), "{message}");
    }
}

#[test]
fn a_port_replaces_that_of_the_endpoint() {
    for (arguments, endpoint) in [
        (&["--port", "4000"][..], "127.0.0.1:4000"),
        (&["--endpoint", "0.0.0.0:3000", "--port", "0"], "0.0.0.0:0"),
        (&["--port", "4000", "--endpoint", "[::1]:3000"], "[::1]:4000"),
    ] {
        assert_eq!(read(arguments).unwrap().endpoint, endpoint, "{arguments:?}");
    }
    for port in ["", "-1", "65536", "http"] {
        assert!(read(&["--port", port]).unwrap_err().contains("--port"));
    }
}

#[test]
fn help_names_every_environment_variable() {
    let help = Settings::command().render_help().to_string();
    for argument in Settings::command().get_arguments().filter(|argument| argument.get_env().is_some()) {
        let variable = argument.get_env().unwrap().to_str().unwrap().to_owned();
        let flag = argument.get_long().unwrap();
        assert_eq!(variable, format!("ARGUS_{}", flag.replace('-', "_").to_ascii_uppercase()));
        assert!(help.contains(&variable), "{variable}");
    }
}
