//! Single events with a key and within rate limits, beside a server where everything is open.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    Scale,
    report::{Goal, Report, Row, median, rounded},
    server::Subject,
    single::{self, CONNECTIONS, Figures},
};

/// The fraction of the open server's rate to reach.
const GOAL: f64 = 0.97;

/// Limits that the load never reaches, of each kind.
const LIMITS: [&str; 4] = ["--rate-limit", "10000000/s", "--rate-limit-bytes", "100GiB/s"];

/// Both servers get the same requests, so that the checks make the difference, and not a longer head.
pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let folder = subject.folder()?;
    let (key, file) = (new_key(subject)?, folder.path().join("keys.toml"));
    fs::write(&file, format!("{}rate = \"10000000/s\"\nrate_bytes = \"100GiB/s\"\n", key.entry))
        .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut arguments = vec!["--keys", file.to_str().context("the folder's name is not UTF-8")?];
    arguments.extend(LIMITS);
    let requests: Vec<_> = single::requests().iter().map(|request| with_key(request, &key.secret)).collect();

    let (mut open, mut limited, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let figures = |arguments: &[&str]| -> Result<Figures> {
            let server = subject.start_with(arguments)?;
            let (figures, outcome) = single::load(&server, CONNECTIONS, scale, &requests, single::created)?;
            if arguments.is_empty() {
                // With keys, the metrics need one as well.
                server.expect_stored(outcome.acknowledged)?;
            }
            Ok(figures)
        };
        let (without, with) = (figures(&[])?, figures(&arguments)?);
        let ratio = with.rate / without.rate;
        eprintln!(
            "  run {run} of {}: {}/s of {}/s, or {ratio:.3}",
            scale.runs,
            rounded(with.rate),
            rounded(without.rate)
        );
        ratios.push(ratio);
        open.push(without);
        limited.push(with);
    }
    let ratio = median(&ratios);
    report.add(Row {
        measure: format!("POST one event with a key and four limits, {CONNECTIONS} connections"),
        subject: subject.name,
        figure: format!("{}; {ratio:.3} of the open server", Figures::medians(&limited)),
        floor: Figures::medians(&open).to_string(),
        goal: Goal::AtLeast { goal: GOAL, is: ratio, unit: "of it" },
    });
    Ok(())
}

/// A key, and its entry in the file of keys.
struct NewKey {
    secret: String,
    entry: String,
}

/// Makes a key as its users do.
fn new_key(subject: &Subject) -> Result<NewKey> {
    let mut command = Command::new(subject.program());
    let made = command.args(["key", "new", "--name", "bench", "--scope", "write"]).output();
    let made = made.with_context(|| format!("cannot start {}", subject.program().display()))?;
    ensure!(made.status.success(), "`key new` has failed: {}", String::from_utf8_lossy(&made.stderr));
    let [entry, told] = [made.stdout, made.stderr].map(String::from_utf8);
    let told = told.context("the key is not UTF-8")?;
    let secret = told.split_whitespace().find(|word| word.starts_with("argus_")).context("no key was shown")?;
    Ok(NewKey { secret: secret.to_owned(), entry: entry.context("the entry is not UTF-8")? })
}

/// The request with the key after its first line.
fn with_key(request: &[u8], key: &str) -> Vec<u8> {
    let line = request.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (line, rest) = request.split_at(line);
    [line, format!("authorization: Bearer {key}\r\n").as_bytes(), rest].concat()
}
