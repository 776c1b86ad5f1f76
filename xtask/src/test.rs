//! `cargo xtask test`: everything that a change must pass.

use std::{
    ffi::OsString,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use argus_servers::{PostgresVersion, REQUIRED_VARIABLE, TestMongo, TestPostgres, URL_VARIABLE};

use crate::{
    apt, bench, check, conformance, container, crash, databases,
    flags::{BenchOptions, TestOptions},
    readers, simulate,
    steps::{self, Steps, TestReport},
    workspace::cargo,
};

/// The steps of this task before those of the check.
pub(crate) const STEPS: [&str; 14] = [
    "cargo-nextest is there",
    "programs for the tests are there",
    "DuckDB and pyarrow are there",
    "PostgreSQL runs",
    "unit, property and integration tests",
    "doc tests",
    "binaries for the conformance suite",
    "conformance",
    "conformance over other databases",
    "everything that cases need is there",
    "conformance in containers, a part",
    "simulation, from a fresh seed",
    "crash, as a smoke test",
    "bench, as a smoke test",
];

/// Runs of the simulator. They take some seconds.
const SIMULATIONS: &str = "10000";

/// Runs all steps; returns whether every one passed.
pub(crate) fn run(options: &TestOptions) -> Result<bool> {
    let mut steps = Steps::new("test", [&STEPS[..], &check::STEPS].concat());
    let nextest = steps.run("cargo-nextest is there", install_nextest);
    let no_nextest = "cargo-nextest is missing";
    let programs = steps.run("programs for the tests are there", install_programs);
    let mut readers = None;
    steps.run_or_skip("DuckDB and pyarrow are there", || readers::install(&mut readers));
    // Until the conformance suite has run.
    let mut postgres = None;
    steps.run("PostgreSQL runs", || {
        postgres = Some(databases::start()?);
        Ok(())
    });
    let database = postgres.as_ref().map(|postgres| (URL_VARIABLE, postgres.url()));
    if nextest {
        steps.run_tests("unit, property and integration tests", || {
            // The conformance suite needs binaries of this tree, so it is a step of its own.
            let filter = format!("not binary_id({})", conformance::TEST_BINARY_ID);
            let mut nextest = cargo(["nextest", "run", "--workspace", "--filterset", &filter]);
            nextest.args(databases::features()).envs(database);
            if programs && database.is_some() {
                nextest.env(REQUIRED_VARIABLE, "1");
            }
            if let Some(packages) = &readers {
                nextest.env(readers::VARIABLE, packages);
            }
            steps::run_tests(&mut nextest)
        });
    } else {
        steps.cannot_run("unit, property and integration tests", no_nextest);
    }
    steps.run_tests("doc tests", || {
        steps::run_tests(cargo(["test", "--doc", "--workspace"]).args(databases::features()))
    });
    let built = steps.run("binaries for the conformance suite", conformance::build);
    let suite = if !nextest {
        Err(no_nextest)
    } else if !built {
        Err("its binaries did not build")
    } else {
        Ok(())
    };
    match suite {
        Ok(()) => {
            steps.run_tests("conformance", || conformance::run_all(postgres.as_ref()));
            drop(postgres);
            steps.run_tests("conformance over other databases", || conformance_over_others(options));
        }
        Err(reason) => {
            steps.cannot_run("conformance", reason);
            steps.cannot_run("conformance over other databases", reason);
        }
    }
    if built {
        steps.run_or_skip("everything that cases need is there", conformance::needs);
    } else {
        steps.cannot_run("everything that cases need is there", "the conformance suite did not build");
    }
    if built {
        steps.run_or_skip("conformance in containers, a part", container::smoke);
    } else {
        steps.cannot_run("conformance in containers, a part", "its binaries did not build");
    }
    steps.run("simulation, from a fresh seed", || {
        let seed = (RandomState::new().build_hasher().finish() >> 16).to_string();
        let arguments = ["--seeds", SIMULATIONS, "--seed", &seed];
        let is_kept = simulate::run(&arguments.map(OsString::from))?;
        // The end of a long output may be all that is kept of it, so the summary names the seed, too.
        ensure!(is_kept, "a promise was broken; to repeat it: cargo xtask simulate {}", arguments.join(" "));
        Ok(())
    });
    if built {
        steps.run("crash, as a smoke test", || crash::smoke(&conformance::binaries_directory()?));
    } else {
        steps.cannot_run("crash, as a smoke test", "its binaries did not build");
    }
    steps.run("bench, as a smoke test", || {
        // The figures mean nothing, but the answers are checked, and a bench that nobody runs breaks.
        bench::run(&BenchOptions { smoke: true, ..BenchOptions::default() }).map(drop)
    });
    check::add_to(&mut steps);
    Ok(steps.finish())
}

/// Runs the part of the suite that is about a database on the newest PostgreSQL; or on every one after the usual one,
/// and on MongoDB.
fn conformance_over_others(options: &TestOptions) -> Result<TestReport> {
    let count = if options.every_database { usize::MAX } else { 1 };
    let mut report = TestReport::default();
    for major in PostgresVersion::INSTALLABLE.into_iter().rev().take(count) {
        eprintln!("PostgreSQL {major}:");
        let server = TestPostgres::start(&PostgresVersion::find(major)?)?;
        report.add(conformance::run_over_postgres(&server)?);
    }
    if options.every_database {
        eprintln!("MongoDB:");
        databases::install_mongodb()?;
        report.add(conformance::run_over_mongodb(&TestMongo::find()?)?);
    }
    Ok(report)
}

fn install_nextest() -> Result<()> {
    let mut version = cargo(["nextest", "--version"]);
    if version.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    eprintln!("cargo-nextest, which runs the tests, is missing: building and installing it, once, takes some minutes.");
    // Without self-update nextest needs no TLS library. A debug build is fast enough: the tests take the time.
    let install = ["install", "cargo-nextest", "--locked", "--debug", "--no-default-features"];
    steps::run(&mut cargo(install.into_iter().chain(["--features", "default-no-update"])))
        .context("cannot install cargo-nextest; see https://nexte.st for ready-made binaries")
}

/// A program of others that the tests use: its names, and the package of Debian that has it.
type Program = (&'static [&'static str], &'static str);

/// An nginx in front of the servers, and clients.
const PROGRAMS: [Program; 4] = [
    // Debian installs it outside the `PATH` of most users.
    (&["nginx", "/usr/sbin/nginx"], "nginx-light"),
    (&["curl"], "curl"),
    (&["openssl"], "openssl"),
    (&["pip", "pip3"], "python3-pip"),
];

/// Clients with hundreds of packages. Where they cannot be installed, the suite says which cases it skips.
const LARGE_PROGRAMS: [Program; 3] = [
    (&["node"], "nodejs"),
    (&["npm"], "npm"),
    (&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"], "chromium"),
];

fn install_programs() -> Result<()> {
    // One by one: a program without a candidate does not keep the others out.
    for program in &LARGE_PROGRAMS {
        if let Err(error) = install_missing(std::slice::from_ref(program)) {
            eprintln!("Its cases are skipped: {error:#}");
        }
    }
    install_missing(&PROGRAMS)
}

fn install_missing(programs: &[Program]) -> Result<()> {
    let installed = |program: &str| {
        // Not all know it, but all end at it.
        let mut version = Command::new(program);
        let version = version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok()
    };
    let missing = programs.iter().filter(|(names, _)| !names.iter().any(|name| installed(name)));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    eprintln!("Programs that the tests use are missing: installing Debian's {list}, once.");
    apt::install(&packages).with_context(|| {
        format!("cannot install them; install by hand what they are for (Debian: `apt-get install {list}`)")
    })
}
