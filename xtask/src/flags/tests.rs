//! Tests of the command line and its help.

use super::*;
use crate::{bench, check, test};

fn parse(arguments: &[&str]) -> Result<Command, String> {
    Command::parse(Parser::from_args(arguments)).map_err(|error| error.to_string())
}

#[test]
fn every_command_is_in_the_help_and_has_its_own_help() {
    for (name, help) in [
        ("test", TEST_HELP),
        ("check", CHECK_HELP),
        ("tidy", TIDY_HELP),
        ("conformance", CONFORMANCE_HELP),
        ("crash", CRASH_HELP),
        ("autobahn", AUTOBAHN_HELP),
        ("bench", BENCH_HELP),
        ("sample", SAMPLE_HELP),
    ] {
        assert!(HELP.contains(&format!("\n  {name} ")), "{name} is not in the general help");
        assert_eq!(parse(&[name, "--help"]), Ok(Command::Help(help)));
        assert!(parse(&[name]).is_ok());
    }
    assert_eq!(parse(&[]), Ok(Command::Help(HELP)));
}

#[test]
fn the_help_lists_the_steps_that_run() {
    let listed = |help: &str, steps: &[&str]| {
        let mut rest = help;
        for (number, step) in (1..).zip(steps) {
            let item = format!(" {number}. {step}");
            rest = rest.split_once(&item).unwrap_or_else(|| panic!("{item} is missing or out of order")).1;
        }
        assert!(!rest.contains(&format!(" {}. ", steps.len() + 1)), "the help lists a step that does not run");
    };
    listed(CHECK_HELP, &check::STEPS);
    listed(TEST_HELP, &[&test::STEPS[..], &check::STEPS].concat());
}

#[test]
fn the_help_lists_the_parts_of_the_bench() {
    let parts = BENCH_HELP.split_once("Parts:\n").and_then(|(_, rest)| rest.split_once("\n\n"));
    let parts = parts.expect("the help has a list of parts").0;
    // A part begins its line; its other lines are further in.
    let listed: Vec<&str> = parts
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let run: Vec<&str> = bench::parts().filter_map(|name| name.split_whitespace().next()).collect();
    assert_eq!(listed, run);
}

#[test]
fn options_reach_the_conformance_command() {
    let expected = ConformanceOptions {
        runtime: Some("smol".into()),
        repository: Some("memory".into()),
        postgres: None,
        url: None,
        filter: Some("post".into()),
        list: true,
        container: None,
    };
    let arguments = ["conformance", "--runtime", "smol", "--repository=memory", "--filter", "post", "--list"];
    assert_eq!(parse(&arguments), Ok(Command::Conformance(expected)));
}

#[test]
fn a_version_of_postgresql_may_be_chosen_for_it() {
    let parsed = |arguments: &[&str]| match parse(&[&["conformance"], arguments].concat()) {
        Ok(Command::Conformance(options)) => Some(options.postgres),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(parsed(&["--repository", "postgres", "--postgres", "16"]), Some(Some(16)));
    assert_eq!(parsed(&["--repository", "postgres"]), Some(None));
    for wrong in [
        &["--postgres", "16"][..],
        &["--repository=disk", "--postgres=16"],
        &["--repository=postgres", "--postgres=new"],
        &["--repository=postgres", "--container"],
    ] {
        assert_eq!(parsed(wrong), None, "{wrong:?}");
    }
}

#[test]
fn an_engine_for_containers_may_be_named() {
    let parsed = |arguments: &[&str]| match parse(&[&["conformance"], arguments].concat()) {
        Ok(Command::Conformance(options)) => options.container,
        other => panic!("{other:?}"),
    };
    let options = ContainerOptions { prebuilt: true, ..ContainerOptions::default() };
    assert_eq!(parsed(&["--container", "--prebuilt"]), Some(options));
    for arguments in [&["--container", "docker"][..], &["--container=docker"]] {
        let engine = Some("docker".to_owned());
        assert_eq!(parsed(arguments), Some(ContainerOptions { engine, ..ContainerOptions::default() }));
    }
    assert_eq!(parsed(&["--container"]), Some(ContainerOptions::default()));
    for wrong in [&["--prebuilt"][..], &["--container", "--url", "http://h"], &["--container", "a", "b"]] {
        assert!(parse(&[&["conformance"], wrong].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_simulator_gets_its_options_unchanged() {
    assert!(HELP.contains("\n  simulate "));
    let options = ["--seeds", "5", "--help"];
    let expected = Command::Simulate(options.map(OsString::from).to_vec());
    assert_eq!(parse(&["simulate", "--seeds", "5", "--help"]), Ok(expected));
}

#[test]
fn the_fuzzer_gets_its_options_unchanged() {
    assert!(HELP.contains("\n  fuzz "));
    let options = ["--seconds", "5", "time"];
    assert_eq!(parse(&["fuzz", "--seconds", "5", "time"]), Ok(Command::Fuzz(options.map(OsString::from).to_vec())));
}

#[test]
fn options_reach_the_sample() {
    let default = SampleOptions::default();
    assert_eq!(parse(&["sample"]), Ok(Command::Sample(default)));
    assert_eq!(humantime::format_rfc3339(default.start).to_string(), "2026-03-02T00:00:00Z");
    assert!(SAMPLE_HELP.contains("[default: 2026-03-02T00:00:00Z]"));
    let start = UNIX_EPOCH + Duration::from_secs(86_400);
    let arguments = ["sample", "--events", "5", "--seed=9", "--start", "1970-01-02T00:00:00Z"];
    assert_eq!(parse(&arguments), Ok(Command::Sample(SampleOptions { events: 5, seed: 9, start })));
    assert!(parse(&["sample", "--start", "today"]).is_err_and(|error| error.contains("today")));
}

#[test]
fn invalid_arguments_are_named() {
    assert!(parse(&["tset"]).is_err_and(|error| error.contains("tset")));
    assert!(parse(&["test", "--fast"]).is_err_and(|error| error.contains("--fast")));
    assert!(parse(&["bench", "--runs", "five"]).is_err_and(|error| error.contains("five")));
    assert!(parse(&["conformance", "--filter", ""]).is_err());
    assert!(parse(&["conformance", "--url", "http://h", "--runtime", "smol"]).is_err());
}
