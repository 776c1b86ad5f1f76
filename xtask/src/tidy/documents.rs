//! Rules about documents: what they name exists, and every crate is named.

use std::collections::BTreeSet;

use super::{Source, Violation, packages::Packages};

/// The document that explains the code. It must name every crate.
const MAP: &str = "ARCHITECTURE.md";

/// Endings of files that a document may name without their folder.
const EXTENSIONS: &[&str] = &[".rs", ".md", ".toml"];

/// Names that look like our crates but are not.
const NOT_CRATES: &[&str] = &[
    // The default data folder of a server.
    "argus-data",
];

/// Names in documents that do not exist, and crates that [`MAP`] does not name.
///
/// The change log is exempt: it also names things that no longer exist.
pub(super) fn violations(sources: &[Source], packages: &Packages) -> Vec<Violation> {
    let mut found = Vec::new();
    let known_names = KnownNames::new(sources, packages);
    let documents = sources.iter().filter(|source| source.is_markdown() && source.path != "CHANGELOG.md");
    for document in documents {
        for (line, code) in code_spans(&document.text) {
            if let Some(reason) = known_names.missing(&code) {
                found.push(Violation::new(&document.path, line, reason));
            }
        }
        for (line, target) in links(&document.text) {
            let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if !known_names.exists(&join(folder, &target)) {
                found.push(Violation::new(&document.path, line, format!("a link to `{target}`, which does not exist")));
            }
        }
    }
    match sources.iter().find(|source| source.path == MAP) {
        None => found.push(Violation::new(MAP, 1, "the document that explains the code is missing")),
        Some(map) => {
            let named: BTreeSet<String> = code_spans(&map.text).into_iter().map(|(_, code)| code).collect();
            for name in packages.members.keys().filter(|name| !named.contains(*name)) {
                found.push(Violation::new(MAP, 1, format!("the crate `{name}` is not named")));
            }
        }
    }
    found
}

/// Everything that a document can name.
struct KnownNames {
    /// Files and folders, relative to the root.
    paths: BTreeSet<String>,
    /// Folders that a short path can start from: the root, the crates and their sources.
    starts: Vec<String>,
    /// Crates, and the programs in them.
    crates: BTreeSet<String>,
}

impl KnownNames {
    fn new(sources: &[Source], packages: &Packages) -> Self {
        let mut paths = BTreeSet::new();
        for source in sources {
            let mut path = source.path.as_str();
            paths.insert(path.to_owned());
            while let Some((folder, _)) = path.rsplit_once('/') {
                paths.insert(folder.to_owned());
                path = folder;
            }
        }
        let mut starts = vec![String::new()];
        for member in packages.members.values() {
            starts.extend([member.folder.clone(), format!("{}/src", member.folder)]);
        }
        let targets = packages.members.values().flat_map(|member| &member.targets);
        Self { paths, starts, crates: packages.members.keys().chain(targets).cloned().collect() }
    }

    fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// The reason if a code span names a file or crate that does not exist.
    fn missing(&self, code: &str) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        if code.is_empty() || code.starts_with('/') || !code.chars().all(plain) {
            return None;
        }
        if !code.contains(['/', '.']) && code.starts_with("argus-") {
            let known = self.crates.contains(code) || NOT_CRATES.contains(&code);
            return (!known).then(|| format!("there is no crate or program `{code}`"));
        }
        let path = code.trim_start_matches("./").trim_end_matches('/');
        let file = EXTENSIONS.iter().any(|extension| path.ends_with(extension));
        if !path.contains('/') {
            let named = |known: &String| known.rsplit('/').next() == Some(path);
            let folder = code.ends_with('/');
            return ((file || folder) && !self.paths.iter().any(named)).then(|| format!("there is no `{code}`"));
        }
        // A media type contains a slash too. A path starts with an existing folder or has the ending of one of our
        // files.
        let first = path.split('/').next().unwrap_or_default();
        let path_like = file || code.ends_with('/') || self.exists(first);
        let there = self.starts.iter().any(|start| self.exists(&join(start, path)));
        (path_like && !there).then(|| format!("there is no `{code}`"))
    }
}

/// Code spans in single backticks outside of fenced blocks, with their line.
pub(super) fn code_spans(text: &str) -> Vec<(usize, String)> {
    let mut spans = Vec::new();
    for (number, line) in prose(text) {
        let parts: Vec<&str> = line.split('`').collect();
        // With an odd number of parts, every backtick is paired in this line.
        let pairs = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 1 };
        let inside = parts.iter().take(pairs).skip(1).step_by(2);
        spans.extend(inside.map(|code| (number, code.trim().to_owned())));
    }
    spans
}

/// The targets of links to files of this repository, without anchors.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    for (number, line) in prose(text) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                targets.push((number, target.to_owned()));
            }
        }
    }
    targets
}

/// The lines outside of fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// Joins two relative paths, resolving `.` and `..`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::packages::Member;

    fn check(map: &str) -> Vec<(usize, String)> {
        let sources = [
            Source::new(MAP, map),
            Source::new("README.md", ""),
            Source::new("docs/http-api.md", ""),
            Source::new("core/src/engine/mod.rs", ""),
        ];
        let mut packages = Packages::default();
        let targets = BTreeSet::from(["argus-try".to_owned()]);
        let member =
            Member { folder: "core".to_owned(), dependencies: BTreeSet::new(), targets, roots: BTreeSet::new() };
        packages.members.insert("argus-core".to_owned(), member);
        let found = violations(&sources, &packages);
        found.into_iter().map(|violation| (violation.line, violation.reason)).collect()
    }

    #[test]
    fn existing_files_and_crates_may_be_named_in_any_usual_form() {
        let text = "`argus-core` is in `core/`, with the program `argus-try`; its engine in \
                    `core/src/engine/mod.rs`, `src/engine/`, `engine/mod.rs` or `mod.rs`.\n\
                    [Contract](docs/http-api.md#routes), [`x`](./README.md), [site](https://example.org/a.md)\n";
        assert_eq!(check(text), []);
    }

    #[test]
    fn missing_files_and_crates_are_found() {
        for wrong in ["core/src/gone.rs", "core/gone", "gone.rs", "gone/", "argus-gone", "nowhere/lib.rs"] {
            let found = check(&format!("`argus-core`\nand `{wrong}`\n"));
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert!(found.iter().all(|(line, _)| *line == 2), "{wrong}: {found:?}");
        }
        assert_eq!(check("`argus-core`\n\n[x](docs/gone.md)\n").len(), 1);
    }

    #[test]
    fn other_code_is_ignored() {
        let text = "`argus-core` `application/json` `/events` `GET /events` `read/write` `a*b.rs` `argus-data` \
                    `x = y`\n```\n`core/src/gone.rs`\n```\n";
        assert_eq!(check(text), []);
    }

    #[test]
    fn the_map_names_every_crate() {
        assert_eq!(check("Nothing.\n"), [(1, "the crate `argus-core` is not named".to_owned())]);
        let found = violations(&[], &Packages::default());
        assert_eq!(found, [Violation::new(MAP, 1, "the document that explains the code is missing")]);
    }
}
