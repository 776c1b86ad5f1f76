//! The packages of the workspace, as cargo describes them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

/// Dependencies that are not followed: packages and what they depend on, with no effect but this. `cpufeatures` asks
/// libc which instructions an ARM processor has, and does not use it elsewhere.
const HARMLESS: &[(&str, &str)] = &[("cpufeatures", "libc")];

/// The packages of the workspace and their dependencies, from `cargo metadata`.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// Packages of the workspace by name.
    pub(super) members: BTreeMap<String, Member>,
    /// For every package in the tree, its dependencies at run time.
    pub(super) normal: BTreeMap<String, BTreeSet<String>>,
}

/// A package of the workspace.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Its folder, relative to the root of the workspace.
    pub(super) folder: String,
    /// All packages that its manifest names, of any kind of dependency.
    pub(super) dependencies: BTreeSet<String>,
    /// Its libraries, programs, tests and examples.
    pub(super) targets: BTreeSet<String>,
    /// The root files of its targets, relative to the root of the workspace.
    pub(super) roots: BTreeSet<String>,
}

impl Packages {
    /// Parses the output of `cargo metadata`.
    pub(super) fn from_metadata(metadata: &Value) -> Result<Self> {
        let root = text(metadata, "workspace_root")?;
        let members = list(metadata, "workspace_members")?;
        let mut names = BTreeMap::new();
        let mut packages = Self::default();
        for package in list(metadata, "packages")? {
            let (id, name) = (text(package, "id")?, text(package, "name")?);
            names.insert(id, name);
            if !members.iter().any(|member| member.as_str() == Some(id)) {
                continue;
            }
            let manifest = text(package, "manifest_path")?;
            let folder = manifest.strip_prefix(root).and_then(|path| path.strip_suffix("/Cargo.toml"));
            let folder = folder.with_context(|| format!("{manifest} is not below {root}"))?;
            let member = Member {
                folder: folder.trim_start_matches('/').to_owned(),
                dependencies: names_in(package, "dependencies")?,
                targets: names_in(package, "targets")?,
                roots: roots(package, root)?,
            };
            packages.members.insert(name.to_owned(), member);
        }
        let resolve = metadata.get("resolve").context("cargo metadata has no member `resolve`")?;
        for node in list(resolve, "nodes")? {
            let name = |id: &str| names.get(id).copied().with_context(|| format!("{id} is in no list of packages"));
            let normal = packages.normal.entry(name(text(node, "id")?)?.to_owned()).or_default();
            for dependency in list(node, "deps")? {
                if list(dependency, "dep_kinds")?.iter().any(|kind| kind.get("kind").is_none_or(Value::is_null)) {
                    normal.insert(name(text(dependency, "pkg")?)?.to_owned());
                }
            }
        }
        Ok(packages)
    }

    /// All run-time dependencies of a package, each with the chain to it, without those that are [`HARMLESS`].
    pub(super) fn closure(&self, package: &str) -> BTreeMap<String, String> {
        let mut ways = BTreeMap::from([(package.to_owned(), package.to_owned())]);
        let mut pending = vec![package.to_owned()];
        while let Some(name) = pending.pop() {
            let way = ways.get(&name).cloned().unwrap_or_default();
            for dependency in self.normal.get(&name).into_iter().flatten() {
                if HARMLESS.contains(&(name.as_str(), dependency.as_str())) {
                    continue;
                }
                if !ways.contains_key(dependency) {
                    ways.insert(dependency.clone(), format!("{way} -> {dependency}"));
                    pending.push(dependency.clone());
                }
            }
        }
        ways
    }
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    value.get(member).and_then(Value::as_str).with_context(|| format!("cargo metadata has no text `{member}`"))
}

/// The names of the items of a list.
fn names_in(package: &Value, member: &str) -> Result<BTreeSet<String>> {
    list(package, member)?.iter().map(|item| text(item, "name").map(str::to_owned)).collect()
}

/// The root files of a package's targets.
fn roots(package: &Value, workspace: &str) -> Result<BTreeSet<String>> {
    let paths = list(package, "targets")?.iter().map(|target| text(target, "src_path"));
    paths.map(|path| Ok(path?.trim_start_matches(workspace).trim_start_matches('/').to_owned())).collect()
}

fn list<'a>(value: &'a Value, member: &str) -> Result<&'a Vec<Value>> {
    value.get(member).and_then(Value::as_array).with_context(|| format!("cargo metadata has no list `{member}`"))
}
