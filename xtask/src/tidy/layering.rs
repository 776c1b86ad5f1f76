//! Rules about dependencies.

use std::collections::BTreeSet;

use super::modules::ModuleTree;
use super::packages::Packages;
use super::{Source, Violation};

/// Crates that do I/O, schedule tasks, read clocks or generate random numbers. The core does none of this.
const IMPURE: &[&str] = &[
    "chrono",
    "crossbeam-channel",
    "fastrand",
    "fs4",
    "futures-executor",
    "getrandom",
    "h2",
    "h3",
    "http-types",
    "httpdate",
    "hyper",
    "hyper-util",
    "libc",
    "log4rs",
    "memmap2",
    "mio",
    "native-tls",
    "nix",
    "polling",
    "quinn",
    "rayon",
    "reqwest",
    "rustix",
    "rustls",
    "signal-hook",
    "smol",
    "smol-hyper",
    "socket2",
    "surf",
    "tempfile",
    "tide",
    "time",
    "tracing-subscriber",
    "ureq",
    "warp",
    "winapi",
];

/// The same for families of crates.
const IMPURE_PREFIXES: &[&str] = &["async-", "hyper-", "tokio", "windows"];

/// The minimal host of the black-box suite. Only this part of the suite may use the core.
const MINIMAL_HOST: &[&str] =
    &["conformance/src/minimal/", "conformance/src/minimal.rs", "conformance/src/bin/minimal"];

/// The crates for tests only, and the packages whose purpose is to test, which may use them everywhere.
const FOR_TESTS: &[(&str, &[&str])] = &[("argus-testing", &[]), ("argus-servers", &["argus-conformance", "xtask"])];

/// The two runtimes, which mirror each other.
const RUNTIMES: [&str; 2] = ["runtime-tokio/src/", "runtime-smol/src/"];

/// The root file of the core.
pub(super) const CORE: &str = "core/src/lib.rs";

/// The modules of the core from the lowest up. Each may name only those before it.
const CORE_LAYERS: &[&str] = &[
    // Bytes and numbers.
    "listed",
    "hex",
    "room",
    "column",
    "checksum",
    "json",
    "csv",
    "row_group",
    "codec",
    "sketch",
    // Basic types, used everywhere.
    "event",
    "calendar",
    "damage",
    "cause",
    "clock",
    "identity",
    // The medium, and the formats of events on it.
    "storage",
    "segment",
    "batch",
    "log",
    "ingest",
    "transfer",
    // Queries, the repository trait, its implementation, and live streams over any.
    "query",
    "analysis",
    "repository",
    "proposal",
    "engine",
    // Who may do what, and how often.
    "limit",
    "auth",
    "subscribe",
    // HTTP.
    "api",
];

/// Crates that depend upwards, and a core that depends on I/O.
pub(super) fn package_violations(packages: &Packages) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, member) in &packages.members {
        let manifest = format!("{}/Cargo.toml", member.folder);
        let Some(below) = below(&member.folder) else {
            let reason = "a new crate: list in xtask/src/tidy/layering.rs what it may depend on".to_owned();
            found.push(Violation::new(&manifest, 1, reason));
            continue;
        };
        for dependency in &member.dependencies {
            let Some(other) = packages.members.get(dependency) else { continue };
            if !below.iter().any(|folder| other.folder == *folder || other.folder.starts_with(&format!("{folder}/"))) {
                let reason = format!("{name} may not depend on {dependency}: dependencies run downwards only");
                found.push(Violation::new(&manifest, 1, reason));
            }
        }
    }
    for (for_tests, testers) in FOR_TESTS {
        let users = packages.normal.iter().filter(|(_, normal)| normal.contains(*for_tests));
        for (name, _) in users.filter(|(name, _)| !testers.contains(&name.as_str())) {
            let folder = packages.members.get(name).map_or(name, |member| &member.folder);
            let manifest = format!("{folder}/Cargo.toml");
            let reason = format!("{for_tests} is for tests: name it in [dev-dependencies]");
            found.push(Violation::new(&manifest, 1, reason));
        }
    }
    for (dependency, way) in packages.closure("argus-core") {
        let family = IMPURE_PREFIXES.iter().any(|prefix| dependency.starts_with(prefix));
        if family || IMPURE.contains(&dependency.as_str()) {
            let reason = format!("the core does no I/O, but depends on {dependency}: {way}");
            found.push(Violation::new("core/Cargo.toml", 1, reason));
        }
    }
    found
}

/// Source files that name crates that they may not use.
pub(super) fn source_violations(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    if source.path == CORE {
        found.extend(core_attributes(source));
    }
    let black_box = source.path.starts_with("conformance/") && source.is_rust();
    if black_box && !MINIMAL_HOST.iter().any(|path| source.path.starts_with(path)) {
        for (number, line) in source.lines() {
            if ["argus_core", "argus_host"].iter().any(|name| line.contains(name)) && !line.trim().starts_with("//") {
                let reason = "the suite is a black box: it speaks HTTP and must not use our crates";
                found.push(Violation::new(&source.path, number, reason));
            }
        }
    }
    found
}

/// Modules of the core that name a higher one, and modules without a layer.
pub(super) fn core_violations(modules: &ModuleTree) -> Vec<Violation> {
    let layer = |module: &str| CORE_LAYERS.iter().position(|other| *other == module);
    let mut found = Vec::new();
    for module in modules.top().filter(|module| layer(module).is_none()) {
        let reason = format!("`{module}` has no layer: give it one in xtask/src/tidy/layering.rs");
        found.push(Violation::new(CORE, 1, reason));
    }
    let top: BTreeSet<&str> = modules.top().collect();
    for module in CORE_LAYERS.iter().filter(|module| !top.contains(*module)) {
        found.push(Violation::new(
            CORE,
            1,
            format!("xtask/src/tidy/layering.rs has a layer for `{module}`, which does not exist"),
        ));
    }
    for place in modules.uses() {
        let [Some(from), Some(to)] = [&place.from, &place.to].map(|path| path.first()) else { continue };
        if layer(from) < layer(to) {
            let reason = format!("`{from}` is below `{to}` and must not use it");
            found.push(Violation::new(&place.file, place.line, reason));
        }
    }
    found
}

/// Files of one runtime that the other lacks.
pub(super) fn mirror_violations(sources: &[Source]) -> Vec<Violation> {
    let names = |runtime: &'static str| -> BTreeSet<&str> {
        sources.iter().filter_map(|source| source.path.strip_prefix(runtime)).collect()
    };
    let [tokio, smol] = RUNTIMES.map(names);
    let mut found = Vec::new();
    for (here, there, [folder, other]) in [(&tokio, &smol, RUNTIMES), (&smol, &tokio, [RUNTIMES[1], RUNTIMES[0]])] {
        for name in here.difference(there) {
            let reason = format!("the runtimes mirror each other, but there is no {other}{name}");
            found.push(Violation::new(&format!("{folder}{name}"), 1, reason));
        }
    }
    found
}

/// The folders that a crate in this folder may depend on.
fn below(folder: &str) -> Option<&'static [&'static str]> {
    match folder {
        "core" | "storage/servers" => Some(&[]),
        "xtask" => Some(&["storage/servers"]),
        "core/testing" => Some(&["core"]),
        "export" => Some(&["storage", "core"]),
        "host" => Some(&["export", "storage", "core"]),
        "runtime-tokio" | "runtime-smol" => Some(&["host", "export", "storage", "core"]),
        // The core is only for its minimal host, see `MINIMAL_HOST`.
        "conformance" => Some(&["core", "storage/servers"]),
        "storage/database" => Some(&["core"]),
        storage if storage.starts_with("storage/") => Some(&["core", "storage/database", "storage/servers"]),
        _ => None,
    }
}

/// `no_std` proves purity, so it must be unconditional, and `std` must not be linked in another way.
fn core_attributes(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        if !source.lines().any(|(_, line)| line.trim() == attribute) {
            found.push(Violation::new(&source.path, 1, format!("`{attribute}` is missing")));
        }
    }
    let mut previous = "";
    for (number, line) in source.lines() {
        if line.trim_start().starts_with("extern crate std") && previous.trim() != "#[cfg(test)]" {
            found.push(Violation::new(&source.path, number, "`std` is for the tests of the core only: #[cfg(test)]"));
        }
        previous = line;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Name, folder, and dependencies with their kind.
    type TestMember<'a> = (&'a str, &'a str, &'a [(&'a str, Option<&'a str>)]);

    /// A workspace in `/w` of these packages.
    fn packages(members: &[TestMember<'_>], others: &[(&str, &[&str])]) -> Packages {
        let mut list = Vec::new();
        let mut nodes = Vec::new();
        for (name, folder, dependencies) in members {
            let named: Vec<Value> =
                dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
            list.push(json!({
                "id": name,
                "name": name,
                "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "dependencies": named,
                "targets": [],
            }));
            let resolved = dependencies.iter().map(|(name, kind)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}));
            nodes.push(json!({"id": name, "deps": resolved.collect::<Vec<_>>()}));
        }
        for (name, dependencies) in others {
            list.push(json!({"id": name, "name": name}));
            let resolved = dependencies.iter().map(|name| json!({"pkg": name, "dep_kinds": [{"kind": null}]}));
            nodes.push(json!({"id": name, "deps": resolved.collect::<Vec<_>>()}));
        }
        let metadata = json!({
            "workspace_root": "/w",
            "workspace_members": members.iter().map(|(name, _, _)| name).collect::<Vec<_>>(),
            "packages": list,
            "resolve": {"nodes": nodes},
        });
        Packages::from_metadata(&metadata).expect("the metadata is complete")
    }

    fn reasons(found: &[Violation]) -> String {
        found.iter().map(|violation| format!("{violation}\n")).collect()
    }

    #[test]
    fn the_core_must_not_depend_on_a_runtime_however_indirectly() {
        let pure = packages(
            &[("argus-core", "core", &[("bytes", None), ("tokio", Some("dev"))])],
            &[("bytes", &[]), ("tokio", &["mio"]), ("mio", &[])],
        );
        assert_eq!(package_violations(&pure), []);
        let impure = packages(
            &[("argus-core", "core", &[("bytes", None)])],
            &[("bytes", &["async-io"]), ("async-io", &["rustix"]), ("rustix", &[])],
        );
        assert_eq!(
            reasons(&package_violations(&impure)),
            "core/Cargo.toml:1: the core does no I/O, but depends on async-io: argus-core -> bytes -> async-io\n\
             core/Cargo.toml:1: the core does no I/O, but depends on rustix: \
             argus-core -> bytes -> async-io -> rustix\n",
        );
    }

    #[test]
    fn dependencies_run_downwards() {
        let downwards = packages(
            &[
                ("argus-core", "core", &[]),
                ("argus-testing", "core/testing", &[("argus-core", None)]),
                ("argus-disk", "storage/disk", &[("argus-core", None), ("argus-testing", Some("dev"))]),
                ("argus-servers", "storage/servers", &[]),
                ("argus-database", "storage/database", &[("argus-core", None)]),
                (
                    "argus-new",
                    "storage/new",
                    &[("argus-core", None), ("argus-database", None), ("argus-servers", Some("dev"))],
                ),
                ("argus-export", "export", &[("argus-core", None), ("argus-disk", None)]),
                ("argus-host", "host", &[("argus-core", None), ("argus-export", None), ("argus-testing", Some("dev"))]),
                ("argus-tokio", "runtime-tokio", &[("argus-host", None), ("argus-core", None)]),
                ("argus-conformance", "conformance", &[("argus-core", None), ("argus-servers", None)]),
                ("xtask", "xtask", &[("argus-servers", None)]),
            ],
            &[],
        );
        assert_eq!(package_violations(&downwards), []);
        let upwards = packages(
            &[
                ("argus-core", "core", &[("argus-host", Some("dev")), ("argus-testing", Some("dev"))]),
                ("argus-testing", "core/testing", &[("argus-core", None)]),
                ("argus-disk", "storage/disk", &[("argus-testing", None), ("argus-servers", None)]),
                ("argus-servers", "storage/servers", &[("argus-core", None)]),
                ("argus-export", "export", &[("argus-host", None)]),
                ("argus-host", "host", &[("argus-core", None)]),
                ("argus-conformance", "conformance", &[("argus-host", None)]),
            ],
            &[],
        );
        assert_eq!(
            reasons(&package_violations(&upwards)),
            "conformance/Cargo.toml:1: argus-conformance may not depend on argus-host: \
             dependencies run downwards only\n\
             core/Cargo.toml:1: argus-core may not depend on argus-host: dependencies run downwards only\n\
             core/Cargo.toml:1: argus-core may not depend on argus-testing: dependencies run downwards only\n\
             export/Cargo.toml:1: argus-export may not depend on argus-host: dependencies run downwards only\n\
             storage/servers/Cargo.toml:1: argus-servers may not depend on argus-core: \
             dependencies run downwards only\n\
             storage/disk/Cargo.toml:1: argus-testing is for tests: name it in [dev-dependencies]\n\
             storage/disk/Cargo.toml:1: argus-servers is for tests: name it in [dev-dependencies]\n",
        );
    }

    #[test]
    fn a_crate_in_a_new_folder_needs_a_rule() {
        assert_eq!(package_violations(&packages(&[("argus-new", "new", &[])], &[])).len(), 1);
    }

    #[test]
    fn purity_of_the_core_must_be_unconditional() {
        let source = |text: &str| Source::new("core/src/lib.rs", text);
        let good = "#![no_std]\n#![forbid(unsafe_code)]\n#[cfg(test)]\nextern crate std;\n";
        assert_eq!(source_violations(&source(good)), []);
        let conditional = "#![cfg_attr(not(feature = \"std\"), no_std)]\n#![forbid(unsafe_code)]\n";
        assert_eq!(source_violations(&source(conditional)).len(), 1);
        assert_eq!(source_violations(&source("#![no_std]\n")).len(), 1);
        let back_door = "#![no_std]\n#![forbid(unsafe_code)]\nextern crate std;\n";
        assert_eq!(source_violations(&source(back_door)).len(), 1);
    }

    #[test]
    fn only_the_minimal_host_of_the_suite_may_name_the_core() {
        let text = "//! Not even argus_core.\nuse argus_core::event::Event;\n";
        assert_eq!(source_violations(&Source::new("conformance/src/minimal/main.rs", text)), []);
        assert_eq!(source_violations(&Source::new("conformance/src/bin/minimal.rs", text)), []);
        let found = source_violations(&Source::new("conformance/src/cases/post.rs", text));
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_core_has_layers() {
        let declared: String = CORE_LAYERS.iter().map(|module| format!("mod {module};\n")).collect();
        let found = |root: &str, files: &[(&str, &str)]| {
            let mut sources = vec![Source::new(CORE, root)];
            sources.extend(CORE_LAYERS.iter().map(|module| {
                let path = format!("core/src/{module}.rs");
                let text = files.iter().find(|(name, _)| name == module).map_or("", |(_, text)| text);
                Source::new(&path, text)
            }));
            let modules = ModuleTree::read(CORE, &sources).expect("the core can be read");
            reasons(&core_violations(&modules))
        };
        assert_eq!(found(&declared, &[("engine", "use crate::repository::Repository;\n")]), "");
        assert_eq!(
            found(&declared, &[("repository", "\nuse crate::engine::Engine;\n")]),
            "core/src/repository.rs:2: `repository` is below `engine` and must not use it\n",
        );
        assert_eq!(
            found(&declared.replace("mod hex;", "mod octal;"), &[]),
            "core/src/lib.rs:1: `octal` has no layer: give it one in xtask/src/tidy/layering.rs\n\
             core/src/lib.rs:1: xtask/src/tidy/layering.rs has a layer for `hex`, which does not exist\n",
        );
    }

    #[test]
    fn the_runtimes_must_have_the_same_files() {
        let source = |path| Source::new(path, "");
        let same = [source("runtime-tokio/src/main.rs"), source("runtime-smol/src/main.rs"), source("host/src/lib.rs")];
        assert_eq!(mirror_violations(&same), []);
        let other = [source("runtime-tokio/src/accept.rs"), source("runtime-smol/src/listen.rs")];
        assert_eq!(
            reasons(&mirror_violations(&other)),
            "runtime-tokio/src/accept.rs:1: the runtimes mirror each other, \
             but there is no runtime-smol/src/accept.rs\n\
             runtime-smol/src/listen.rs:1: the runtimes mirror each other, \
             but there is no runtime-tokio/src/listen.rs\n",
        );
    }
}
