//! The machine that the figures were measured on.

use std::{fs, process::Command, thread::available_parallelism};

use anyhow::Result;

use super::{Scale, report::thousands};
use crate::{flags::BenchOptions, workspace::root};

/// Facts about the machine, toolchain, tree and scale, one a line.
pub(super) fn facts(scale: &Scale, options: &BenchOptions) -> Result<Vec<(&'static str, String)>> {
    let cores = available_parallelism()?;
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let kernel = first_line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let load = first_line("/proc/loadavg").unwrap_or_else(|| "unknown".to_owned());
    let revision = output("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    let profile = if options.smoke { "dev (a smoke test: its figures mean nothing)" } else { "release" };
    let Scale { runs, warm_up, window, events, batch, queries, .. } = scale;
    let events = thousands(u64::try_from(*events)?);
    Ok(vec![
        ("processor", format!("{processor}, {cores} cores")),
        ("memory", memory),
        ("kernel", kernel),
        ("load before", load),
        ("compiler", output("rustc", &["--version"])),
        ("revision", revision),
        ("profile", profile.to_owned()),
        ("threads", options.threads.map_or_else(|| "as the servers choose".to_owned(), |threads| threads.to_string())),
        (
            "scale",
            format!(
                "medians of {runs} runs; {:.1} s after {:.2} s of warm-up, or {events} events in batches of {batch}, \
                 or {queries} queries",
                window.as_secs_f64(),
                warm_up.as_secs_f64()
            ),
        ),
    ])
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
