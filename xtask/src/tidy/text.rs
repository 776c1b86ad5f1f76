//! Rules about single files.

use super::{Exemption, Source, Violation};

/// The most lines of a file of code. A longer file has more than one subject.
const LINES_MAX: usize = 600;

/// The most columns of a line, as in `rustfmt.toml`.
const COLUMNS_MAX: usize = 120;

/// Files of code that may have more lines.
const LONG_FILES: &[Exemption] = &[];

/// Files in which a thread may wait for time to pass.
const SLEEPERS: &[Exemption] = &[
    Exemption {
        path: "storage/mongodb/tests/repository/wait.rs",
        reason: "no event tells what another process has stored, so the database is polled",
    },
    Exemption {
        path: "conformance/src/cases/browser.rs",
        reason: "no event tells when a beacon has arrived, so it is polled",
    },
    Exemption {
        path: "conformance/src/cases/capacity.rs",
        reason: "simulated clients send slowly, and only time makes them slow",
    },
    Exemption {
        path: "conformance/src/cases/key_file.rs",
        reason: "a file that changes all the time leaves the processor to others in between",
    },
    Exemption {
        path: "conformance/src/cases/lifecycle.rs",
        reason: "signals soon after the first count as one with it, so the second must come later",
    },
    Exemption {
        path: "conformance/src/cases/erase.rs",
        reason: "only the files of the store show when bytes have left the disk",
    },
    Exemption {
        path: "conformance/src/cases/rate_limit.rs",
        reason: "a client that is told when to come back waits until then",
    },
    Exemption {
        path: "conformance/src/cases/request_log.rs",
        reason: "no event tells when another process has written a line or has heard a signal, so the file is polled",
    },
    Exemption {
        path: "conformance/src/cases/shell_limits.rs",
        reason: "no event tells when a server has noticed that a client left, or has counted it, so it is asked again",
    },
    Exemption {
        path: "conformance/src/cases/websocket.rs",
        reason: "a client may be behind for a second, and only time makes it slow",
    },
    Exemption {
        path: "conformance/src/cases/wire_close.rs",
        reason: "simulated clients send slowly, and only time makes them slow",
    },
    Exemption {
        path: "conformance/src/cases/wire_time.rs",
        reason: "simulated clients send slowly, and only time makes them slow",
    },
    Exemption { path: "conformance/src/crash/wait.rs", reason: "a process is killed at a random time" },
    Exemption {
        path: "conformance/src/launcher/process.rs",
        reason: "the standard library cannot wait for a process with a timeout, so it is polled",
    },
    Exemption {
        path: "conformance/src/minimal/accept.rs",
        reason: "after a failed accept, for example without free file descriptors, no event tells when to try again",
    },
    Exemption {
        path: "conformance/src/nginx.rs",
        reason: "no event tells when another program listens, so it is polled",
    },
    Exemption {
        path: "host/tests/shared/tls.rs",
        reason: "no event tells when a server has read a file again, so it is asked again",
    },
    Exemption {
        path: "storage/mongodb/src/pause.rs",
        reason: "no event tells when another process has ended its transaction, or when a server can be reached again",
    },
    Exemption {
        path: "storage/database/src/retries.rs",
        reason: "no event tells when a server can be reached again, so it is asked again",
    },
    Exemption {
        path: "storage/servers/tests/postgres.rs",
        reason: "no event tells when a process of another process has ended, so it is polled",
    },
    Exemption { path: "xtask/src/bench/questions/ingestion.rs", reason: "events are sent at a steady rate" },
    Exemption {
        path: "xtask/src/bench/questions/store.rs",
        reason: "no event tells when maintenance has come to rest",
    },
    Exemption { path: "xtask/src/bench/server.rs", reason: "no event tells when an allocator has returned memory" },
    Exemption { path: "xtask/src/bench/streams.rs", reason: "events are sent at a steady rate" },
];

// The words are concatenated, so that this file does not break its own rules.
const SLEEP: &str = concat!("thread::", "sleep");

/// Words that mark unfinished work, and what to do about them.
const UNFINISHED: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished code panics: write it, or leave it out"),
    (concat!("unimplemented", "!("), "unfinished code panics: write it, or leave it out"),
    (concat!("dbg", "!("), "debug output: remove it"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("XX", "X"), "fix it, or open an issue"),
];

/// All violations in one file.
pub(super) fn violations(source: &Source) -> Vec<Violation> {
    let mut found = white_space(source);
    if source.is_rust() {
        found.extend(length(source, LONG_FILES));
        found.extend(unfinished(source));
        found.extend(ignored_tests(source));
        found.extend(sleeps(source, SLEEPERS));
        found.extend(without_heading(source));
        found.extend(long_lines(source));
    }
    found
}

/// Exemptions that are not needed any more.
pub(super) fn stale_exemptions(sources: &[Source]) -> Vec<Violation> {
    let files = stale(sources, LONG_FILES, |source| length(source, &[]).is_some());
    let sleepers = stale(sources, SLEEPERS, |source| !sleeps(source, &[]).is_empty());
    files.into_iter().chain(sleepers).collect()
}

fn length(source: &Source, exemptions: &[Exemption]) -> Option<Violation> {
    let lines = source.text.lines().count();
    if lines <= LINES_MAX || exempt(source, exemptions) {
        return None;
    }
    let reason = format!("{lines} lines, more than {LINES_MAX}: split the file by subject");
    Some(Violation::new(&source.path, LINES_MAX + 1, reason))
}

/// A file must say in its first line what it is.
fn without_heading(source: &Source) -> Option<Violation> {
    // An attribute of the whole file may precede it.
    let has_heading = source.text.lines().take(3).any(|line| line.starts_with("//!"));
    (!has_heading).then(|| Violation::new(&source.path, 1, "no `//!` line that says what the file is"))
}

/// rustfmt wraps neither comments nor string literals. Rows of tables cannot be wrapped.
fn long_lines(source: &Source) -> Vec<Violation> {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let is_row = |line: &str| line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with('|');
    let is_checked = |line: &str| !(is_comment(line) && is_row(line));
    let long = source.lines().filter(|(_, line)| line.chars().count() > COLUMNS_MAX && is_checked(line));
    let reason = format!("more than {COLUMNS_MAX} columns: wrap the line, a string literal with `\\` at line ends");
    long.map(|(number, _)| Violation::new(&source.path, number, reason.clone())).collect()
}

fn unfinished(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in source.lines() {
        for (word, reason) in UNFINISHED {
            if contains_word(line, word) {
                found.push(Violation::new(&source.path, number, format!("`{word}`: {reason}")));
            }
        }
    }
    found
}

fn ignored_tests(source: &Source) -> Vec<Violation> {
    let attribute = concat!("#[", "ignore]");
    let lines = source.lines().filter(|(_, line)| line.contains(attribute));
    lines
        .map(|(number, _)| Violation::new(&source.path, number, "an ignored test must say why: #[ignore = \"…\"]"))
        .collect()
}

fn sleeps(source: &Source, exemptions: &[Exemption]) -> Vec<Violation> {
    if exempt(source, exemptions) {
        return Vec::new();
    }
    let lines = source.lines().filter(|(_, line)| line.contains(SLEEP));
    let reason = format!("`{SLEEP}`: wait for an event, not for time to pass; or exempt the file with a reason");
    lines.map(|(number, _)| Violation::new(&source.path, number, reason.clone())).collect()
}

fn white_space(source: &Source) -> Vec<Violation> {
    let mut found: Vec<Violation> = (1..)
        .zip(source.text.split('\n'))
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(number, _)| Violation::new(&source.path, number, "white space at the end of the line"))
        .collect();
    let last = source.text.lines().count().max(1);
    if !source.text.ends_with('\n') {
        found.push(Violation::new(&source.path, last, "the file does not end with a newline"));
    } else if source.text.ends_with("\n\n") || source.text == "\n" {
        found.push(Violation::new(&source.path, last, "the file ends with an empty line"));
    }
    found
}

fn stale(sources: &[Source], exemptions: &[Exemption], needed: impl Fn(&Source) -> bool) -> Vec<Violation> {
    let unneeded = exemptions.iter().filter(|exemption| {
        !sources.iter().any(|source| source.is_rust() && exemption.covers(&source.path) && needed(source))
    });
    unneeded
        .map(|exemption| {
            let reason = format!("an exemption of tidy that is not needed any more ({})", exemption.reason);
            Violation::new(exemption.path, 1, reason)
        })
        .collect()
}

fn exempt(source: &Source, exemptions: &[Exemption]) -> bool {
    exemptions.iter().any(|exemption| exemption.covers(&source.path))
}

/// Whether the line contains the word, and not only as part of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(part_of_word) && (word.ends_with('(') || !after.is_some_and(part_of_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Source {
        Source::new("core/src/some.rs", text)
    }

    fn lines(found: &[Violation]) -> Vec<usize> {
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn long_files_of_code_are_found() {
        assert_eq!(length(&rust(&"\n".repeat(LINES_MAX)), &[]), None);
        let long = rust(&"\n".repeat(LINES_MAX + 1));
        assert_eq!(length(&long, &[]).map(|violation| violation.line), Some(LINES_MAX + 1));
        let exemption = [Exemption { path: "core/src/some.rs", reason: "a table of cases" }];
        assert_eq!(length(&long, &exemption), None);
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert!(without_heading(&rust("//! Files.\n\nfn f() {}\n")).is_none());
        assert!(without_heading(&rust("#![no_std]\n\n//! Files.\n")).is_none());
        assert!(without_heading(&rust("/// A function.\nfn f() {}\n")).is_some());
    }

    #[test]
    fn long_lines_are_found_except_in_tables() {
        let long = "x".repeat(COLUMNS_MAX);
        let text = format!("// {long}\nlet s = \"{long}\";\n    /// {long}\n/// | {long} |\n//! ok\n");
        assert_eq!(lines(&long_lines(&rust(&text))), [1, 2, 3]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for (word, _) in UNFINISHED {
            assert_eq!(lines(&unfinished(&rust(&format!("fn f() {{\n    {word}")))), [2], "{word}");
        }
        let parts_of_words = rust(concat!(
            "let my_",
            "todo",
            "!(); let XX",
            "XX = 1;
"
        ));
        assert_eq!(unfinished(&parts_of_words), []);
    }

    #[test]
    fn an_ignored_test_says_why() {
        assert_eq!(lines(&ignored_tests(&rust(concat!("#[test]\n#[", "ignore]\nfn f() {}\n")))), [2]);
        assert_eq!(ignored_tests(&rust("#[test]\n#[ignore = \"needs a disk of its own\"]\nfn f() {}\n")), []);
    }

    #[test]
    fn sleeping_without_an_exemption_is_found() {
        let sleeper = rust(concat!("fn f() {\n    std::thread::", "sleep(SECOND);\n}\n"));
        assert_eq!(lines(&sleeps(&sleeper, &[])), [2]);
        let exemption = [Exemption { path: "core/src/", reason: "a slow client is simulated" }];
        assert_eq!(sleeps(&sleeper, &exemption), []);
    }

    #[test]
    fn white_space_at_ends_is_found() {
        assert_eq!(white_space(&rust("a\nb\n")), []);
        assert_eq!(lines(&white_space(&rust("a \nb\t\nc\n"))), [1, 2]);
        assert_eq!(lines(&white_space(&rust("a\r\nb\n"))), [1]);
        assert_eq!(lines(&white_space(&rust("a\nb"))), [2]);
        assert_eq!(lines(&white_space(&rust("a\n\n"))), [2]);
        assert_eq!(lines(&white_space(&rust(""))), [1]);
    }

    #[test]
    fn an_unneeded_exemption_is_found() {
        let exemption = [Exemption { path: "core/src/some.rs", reason: "a table of cases" }];
        let needed = |source: &Source| source.text.contains("long");
        assert_eq!(stale(&[rust("long\n")], &exemption, needed), []);
        assert_eq!(stale(&[rust("short\n")], &exemption, needed).len(), 1);
        assert_eq!(stale(&[], &exemption, needed).len(), 1);
    }
}
