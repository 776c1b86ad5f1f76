//! Rules about documents, and about files for deployments such as dashboards and alerts: the flags, variables, metrics
//! and tasks that they name exist.

use std::collections::BTreeSet;

use super::{Source, Violation, documents::code_spans, packages::Packages};

/// Flags of other programs, in commands that the documents show.
const FOREIGN_FLAGS: &[&str] = &[
    // cargo
    "--example",
    "--features",
    "--locked",
    "--no-deps",
    "--open",
    "--path",
    "--release",
    // curl
    "--data",
    "--data-binary",
    "--compressed",
    "--data-urlencode",
    // docker and podman
    "--build",
    "--build-arg",
    "--build-context",
    "--cap-drop",
    "--cgroup-manager",
    "--events-backend",
    "--format",
    "--memory",
    "--name",
    "--read-only",
    "--rm",
    "--stop-timeout",
    "--storage-driver",
    "--ulimit",
    "--user",
    // mongod and mongosh
    "--bind_ip",
    "--dbpath",
    "--eval",
    "--fork",
    "--logpath",
    "--replSet",
    // systemctl
    "--kill-whom",
    "--now",
    // split
    "--filter",
];

/// The script of the CI, and the document that must show its command.
const CI_SCRIPT: &str = ".ci/run";
const README: &str = "README.md";

/// Endings of the series of a histogram, which replace its own name.
const HISTOGRAM_ENDINGS: &[&str] = &["_bucket", "_sum", "_count"];

/// The names through which people use the programs.
#[derive(Debug)]
struct Interface {
    flags: BTreeSet<String>,
    variables: BTreeSet<String>,
    metrics: BTreeSet<String>,
    tasks: BTreeSet<String>,
    /// Crate names in Rust, which look like metrics.
    crates: BTreeSet<String>,
}

/// Names in documents and deployments that no program has. The change log is exempt: it also names things that no
/// longer exist.
pub(super) fn violations(sources: &[Source], packages: &Packages) -> Vec<Violation> {
    let interface = Interface::of(sources, packages);
    let mut found = Vec::new();
    for document in sources.iter().filter(|source| source.is_markdown() && source.path != "CHANGELOG.md") {
        for (line, code) in code(&document.text) {
            for reason in interface.missing(&code) {
                found.push(Violation::new(&document.path, line, reason));
            }
        }
    }
    for file in sources.iter().filter(|source| source.is_deployment()) {
        for (line, text) in file.lines() {
            found.extend(interface.missing(text).into_iter().map(|reason| Violation::new(&file.path, line, reason)));
        }
    }
    found.extend(ci_violation(sources));
    found
}

/// The CI must run the test command of the README.
fn ci_violation(sources: &[Source]) -> Option<Violation> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    let command = text(CI_SCRIPT)?.lines().find_map(|line| line.strip_prefix("exec "))?;
    let is_shown = text(README)?.lines().any(|line| line == command);
    (!is_shown).then(|| Violation::new(README, 1, format!("no line `{command}`, which is what {CI_SCRIPT} runs")))
}

impl Interface {
    fn of(sources: &[Source], packages: &Packages) -> Self {
        let rust = || sources.iter().filter(|source| source.is_rust() && !source.path.starts_with("xtask/src/tidy/"));
        let reads_command_line =
            |source: &&Source| ["lexopt", "env::args"].iter().any(|word| source.text.contains(word));
        let written = rust().filter(reads_command_line).flat_map(|source| words(&source.text));
        let flags = written.filter(|word| is_flag(word)).map(str::to_owned).chain(rust().flat_map(derived_flags));
        let variables = rust().flat_map(|source| words(&source.text)).filter(|word| is_variable(word));
        let metrics = rust().flat_map(|source| words(&source.text)).filter(|word| is_metric(word));
        Self {
            flags: flags.chain(FOREIGN_FLAGS.iter().map(|flag| (*flag).to_owned())).collect(),
            variables: variables.map(str::to_owned).collect(),
            metrics: metrics.map(str::to_owned).collect(),
            tasks: rust().filter(|source| source.path == "xtask/src/flags.rs").flat_map(arms).collect(),
            crates: packages.members.keys().map(|name| name.replace('-', "_")).collect(),
        }
    }

    /// A reason for each unknown name in a piece of code.
    fn missing(&self, code: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        for word in words(code) {
            if is_flag(word) && !self.flags.contains(word) {
                reasons.push(format!("no program has a flag `{word}`"));
            } else if is_variable(word) && !self.variables.contains(word) {
                reasons.push(format!("no program reads the variable `{word}`"));
            } else if is_metric(word) && !self.crates.contains(word) && !self.has_metric(word) {
                reasons.push(format!("there is no metric `{word}`"));
            }
        }
        for call in code.split("cargo xtask ").skip(1) {
            let task = call.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            if !task.is_empty() && !self.tasks.contains(task) {
                reasons.push(format!("there is no task `cargo xtask {task}`"));
            }
        }
        reasons
    }

    fn has_metric(&self, word: &str) -> bool {
        let of_histogram = HISTOGRAM_ENDINGS.iter().filter_map(|ending| word.strip_suffix(ending));
        std::iter::once(word).chain(of_histogram).any(|name| self.metrics.contains(name))
    }
}

/// Pieces of code in a document: code spans, and every line of a fenced block.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = code_spans(text);
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push((number, line.to_owned()));
        }
    }
    found
}

/// Words that may be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).filter(|word| !word.is_empty())
}

fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn is_variable(word: &str) -> bool {
    word.strip_prefix("ARGUS_").is_some_and(|name| !name.is_empty())
}

fn is_metric(word: &str) -> bool {
    word.strip_prefix("argus_").is_some_and(|name| !name.is_empty())
}

/// The flags that clap derives from fields: those after an attribute with `long`.
fn derived_flags(source: &Source) -> Vec<String> {
    let mut flags = Vec::new();
    let mut is_long = false;
    let mut in_attribute = false;
    for line in source.text.lines().map(str::trim) {
        in_attribute |= line.starts_with("#[arg(");
        is_long |= in_attribute && words(line).any(|word| word == "long");
        in_attribute &= !line.ends_with(")]");
        if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            if is_long {
                flags.push(format!("--{}", name.replace('_', "-")));
            }
            is_long = false;
        }
    }
    flags
}

/// The string patterns of `match` arms.
fn arms(source: &Source) -> Vec<String> {
    let arms = source.text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"));
    arms.map(|(text, _)| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::packages::Member;

    const SETTINGS: &str = "
pub struct Settings {
    #[arg(
        long,
        env = \"ARGUS_LOG\"
    )]
    #[arg(value_parser = parse)]
    pub log: String,
    #[arg(long, env = \"ARGUS_MAX_BODY_BYTES\")]
    pub max_body_bytes: usize,
    #[arg(value_name = \"FROM\")]
    pub from: PathBuf,
}
fn f() { counter(\"argus_errors_total\"); histogram(\"argus_commit_seconds\"); }
";
    const TASKS: &str = "use lexopt::Arg;\n    \"check\" => check(),\n    Arg::Long(\"x\") // --seed <S>\n";

    fn check(text: &str) -> Vec<(usize, String)> {
        let sources = [
            Source::new("host/src/settings.rs", SETTINGS),
            Source::new("xtask/src/flags.rs", TASKS),
            Source::new("docs/a.md", text),
        ];
        let mut packages = Packages::default();
        let member = Member {
            folder: "core".to_owned(),
            dependencies: BTreeSet::new(),
            targets: BTreeSet::new(),
            roots: BTreeSet::new(),
        };
        packages.members.insert("argus-core".to_owned(), member);
        let found = violations(&sources, &packages);
        found.into_iter().map(|violation| (violation.line, violation.reason)).collect()
    }

    #[test]
    fn known_names_are_accepted() {
        let text = "`--max-body-bytes 1MiB`, `--log=info` or `ARGUS_LOG`; `argus_errors_total{kind=\"x\"}`\n\
                    ```sh\ncargo xtask check --seed 1 && curl --data-binary @-\n```\n\
                    `argus_commit_seconds_bucket` `argus_core::event` `cargo xtask <command> --seed`\n";
        assert_eq!(check(text), []);
    }

    #[test]
    fn unknown_names_are_found() {
        for wrong in ["--max-body", "--from x", "ARGUS_BODY", "argus_gone_total", "cargo xtask chekc"] {
            assert_eq!(check(&format!("\n`{wrong}`\n")).len(), 1, "{wrong}");
            let found = check(&format!("\n```sh\n{wrong}\n```\n"));
            assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3], "{wrong}");
        }
        assert_eq!(check("--max-body in prose says nothing about a program\n"), []);
    }

    #[test]
    fn unknown_names_in_deployments_are_found() {
        let check = |path: &str, text: &str| {
            let sources = [Source::new("host/src/settings.rs", SETTINGS), Source::new(path, text)];
            violations(&sources, &Packages::default()).len()
        };
        for (text, expected) in [
            ("expr: rate(argus_errors_total{kind=\"x\"}[5m])\n", 0),
            ("{\"expr\": \"sum(argus_errors_totals)\"}\n", 1),
            ("ARGUS_LOG: ${ARGUS_LOGS:-}\n", 1),
            ("# Longer than --drain-timeout.\n", 1),
        ] {
            for path in ["deploy/alerts.yml", "deploy/grafana/argus.json", "compose.yaml"] {
                assert_eq!(check(path, text), expected, "{path}: {text}");
            }
        }
        assert_eq!(check("core/src/api/openapi.json", "argus_gone_total\n"), 0);
    }

    #[test]
    fn the_ci_must_run_the_command_of_the_readme() {
        let found = |script: &str, readme: &str| {
            ci_violation(&[Source::new(CI_SCRIPT, script), Source::new(README, readme)]).is_some()
        };
        assert!(!found("cd x\nexec cargo xtask test\n", "```sh\ncargo xtask test\n```\n"));
        assert!(found("exec cargo xtask all\n", "```sh\ncargo xtask test\n```\n"));
    }
}
