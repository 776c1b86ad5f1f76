//! A rule about hosts: they use a repository through its trait. Only code that opens, copies or repairs a repository
//! may use the engine.

use super::{Exemption, Source, Violation};

/// Folders of code that serves requests.
const HOSTS: &[&str] = &["host/src/", "runtime-tokio/src/", "runtime-smol/src/"];

/// The modules and crates below the trait.
const BELOW: &[&str] = &["argus_core::engine", "argus_core::segment", "argus_core::storage", "argus_disk"];

/// Files that may use these.
const EXEMPT: &[Exemption] = &[
    Exemption { path: "host/src/backend/", reason: "it opens a repository" },
    Exemption { path: "host/src/check.rs", reason: "it reads a repository that is not open" },
    Exemption { path: "host/src/snapshot.rs", reason: "it copies a repository that is not open" },
];

/// Hosts that use more than the trait, and unneeded exemptions.
pub(super) fn violations(sources: &[Source]) -> Vec<Violation> {
    check(sources, EXEMPT)
}

fn check(sources: &[Source], exemptions: &[Exemption]) -> Vec<Violation> {
    let is_exempt = |path: &str| exemptions.iter().any(|exemption| exemption.covers(path));
    let uses: Vec<(&str, usize, &str)> = sources.iter().flat_map(uses).collect();
    let forbidden = uses.iter().filter(|(path, ..)| !is_exempt(path));
    let mut found: Vec<Violation> = forbidden
        .map(|(path, line, name)| Violation::new(path, *line, format!("a host uses `Repository`, not `{name}`")))
        .collect();
    for exemption in exemptions.iter().filter(|exemption| !uses.iter().any(|(path, ..)| exemption.covers(path))) {
        let reason = format!("an exemption of tidy that is not needed any more ({})", exemption.reason);
        found.push(Violation::new(exemption.path, 1, reason));
    }
    found
}

/// Where a host uses what is below the trait. Tests are exempt: they must create a repository.
fn uses(source: &Source) -> Vec<(&str, usize, &'static str)> {
    let is_host = source.is_rust() && HOSTS.iter().any(|folder| source.path.starts_with(folder));
    let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
    if !is_host || is_test {
        return Vec::new();
    }
    let code = source.lines().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter_map(|(number, line)| {
        let name = BELOW.iter().find(|name| line.contains(**name))?;
        Some((source.path.as_str(), number, *name))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: &str = "//! File.\nuse argus_core::engine::Engine;\n";

    fn lines(sources: &[Source], exemptions: &[Exemption]) -> Vec<(String, usize)> {
        let found = check(sources, exemptions);
        found.into_iter().map(|violation| (violation.path, violation.line)).collect()
    }

    #[test]
    fn a_host_uses_only_the_trait() {
        let sources = [
            Source::new("host/src/service/read.rs", ENGINE),
            Source::new("runtime-smol/src/server.rs", "//! See argus_disk.\nuse argus_disk::DiskStorage;\n"),
            Source::new("host/src/committer/mod.rs", "use argus_core::repository::Repository;\n"),
            Source::new("storage/disk/src/storage.rs", ENGINE),
        ];
        let expected = [("host/src/service/read.rs".to_owned(), 2), ("runtime-smol/src/server.rs".to_owned(), 2)];
        assert_eq!(lines(&sources, &[]), expected);
    }

    #[test]
    fn tests_may_create_a_repository() {
        let sources = [
            Source::new("host/src/recovery_tests.rs", ENGINE),
            Source::new("host/src/committer/tests/shutdown.rs", ENGINE),
            Source::new("host/src/wire.rs", &format!("#[cfg(test)]\nmod tests {{\n{ENGINE}}}\n")),
        ];
        assert_eq!(lines(&sources, &[]), []);
    }

    #[test]
    fn an_exemption_that_is_not_needed_is_found() {
        let exemption = [Exemption { path: "host/src/repository.rs", reason: "it opens one" }];
        assert_eq!(lines(&[Source::new("host/src/repository.rs", ENGINE)], &exemption), []);
        assert_eq!(lines(&[], &exemption), [("host/src/repository.rs".to_owned(), 1)]);
    }
}
