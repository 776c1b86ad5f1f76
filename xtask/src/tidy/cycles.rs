//! No import cycles among modules.
//!
//! The rule compares modules that the same file declares, each together with all modules below it. If one uses a name
//! of another, in `use` or by a path, the other must not use a name of the first, not even through further modules. So
//! there is an order in which they can be read and tested. The root file of a crate is above all modules: none may use
//! what it declares.
//!
//! Elsewhere, a file and the modules that it declares are one unit and may use each other. For example, a type may be
//! in the file and its implementations below. A re-exported name counts as one of the module that declares it. Tests
//! may use anything.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::modules::{ModulePath, ModuleTree, Use};

/// Which sibling modules use which, and the first place where they do.
type Neighbours = BTreeMap<String, BTreeMap<String, Use>>;

/// Cycles among sibling modules, and modules that use what the root declares.
pub(super) fn violations(modules: &ModuleTree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut families: BTreeMap<ModulePath, Neighbours> = BTreeMap::new();
    for found in modules.uses() {
        if found.to.is_empty() {
            let reason = "a module must not use the root file of the crate: move the item to a module";
            violations.push(Violation::new(&found.file, found.line, reason));
        }
        let shared = found.from.iter().zip(&found.to).take_while(|(from, to)| from == to).count();
        let (Some(from), Some(to)) = (found.from.get(shared), found.to.get(shared)) else { continue };
        let family = families.entry(found.from.iter().take(shared).cloned().collect()).or_default();
        family.entry(from.clone()).or_default().entry(to.clone()).or_insert(found);
    }
    for neighbours in families.values() {
        for (from, named) in neighbours {
            for (to, place) in named {
                let Some(back) = shortest_path(neighbours, to, from) else { continue };
                let reason = format!("a cycle of modules: {from} -> {}", back.join(" -> "));
                violations.push(Violation::new(&place.file, place.line, reason));
            }
        }
    }
    violations
}

/// The shortest path of uses from one module to another, if any.
fn shortest_path<'n>(neighbours: &'n Neighbours, from: &'n str, to: &str) -> Option<Vec<&'n str>> {
    let mut paths = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            let last = *path.last()?;
            if last == to {
                return Some(path);
            }
            for next in neighbours.get(last).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next) {
                    longer.push(path.iter().copied().chain([next.as_str()]).collect());
                }
            }
        }
        paths = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Source;

    /// The violations of a crate of these files.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let modules = ModuleTree::read("src/lib.rs", &sources).expect("the crate can be read");
        violations(&modules).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sibling_modules_use_each_other_in_one_direction() {
        let root = ("src/lib.rs", "mod a;\nmod b;\nmod c;\n");
        let one_way = [
            root,
            ("src/a.rs", "use crate::b::B;\nuse super::c;\n"),
            ("src/b.rs", "fn f() { crate::c::g() }\n"),
            ("src/c.rs", ""),
        ];
        assert_eq!(found(&one_way), [""; 0]);
        let cycle = [
            root,
            ("src/a.rs", "use crate::b::B;\n"),
            ("src/b.rs", "\nfn f() -> u8 { vec![super::c::G].len() as u8 }\n"),
            ("src/c.rs", "use std::fmt;\npub use super::{a::{self, A as Other}};\n"),
        ];
        let expected = [
            "src/a.rs:1: a cycle of modules: a -> b -> c -> a",
            "src/b.rs:2: a cycle of modules: b -> c -> a -> b",
            "src/c.rs:2: a cycle of modules: c -> a -> b -> c",
        ];
        assert_eq!(found(&cycle), expected);
    }

    #[test]
    fn a_module_counts_with_all_below_it() {
        let files = [
            ("src/lib.rs", "mod a;\nmod b;\n"),
            ("src/a/mod.rs", "mod deep;\n"),
            ("src/a/deep.rs", "use crate::b::inner::B;\n"),
            ("src/b.rs", "mod inner;\n"),
            ("src/b/inner.rs", "\nuse super::super::a::A;\n"),
        ];
        let expected =
            ["src/a/deep.rs:1: a cycle of modules: a -> b -> a", "src/b/inner.rs:2: a cycle of modules: b -> a -> b"];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn a_re_export_counts_as_its_target() {
        // `b` uses `a` through their parent.
        let files = [
            ("src/lib.rs", "mod p;\n"),
            ("src/p/mod.rs", "mod a;\nmod b;\npub use a::A;\n"),
            ("src/p/a.rs", "use super::b::B;\n"),
            ("src/p/b.rs", "use super::A;\n"),
        ];
        assert_eq!(found(&files).len(), 2);
    }

    #[test]
    fn a_file_and_its_modules_are_one_unit_except_at_the_root() {
        let unit = [
            ("src/lib.rs", "mod p;\n"),
            ("src/p/mod.rs", "mod a;\nstruct P(a::A);\n"),
            ("src/p/a.rs", "use super::P;\npub(in crate::p) struct A;\nimpl P {}\n"),
        ];
        assert_eq!(found(&unit), [""; 0]);
        let root = [("src/lib.rs", "mod a;\npub fn f() {}\n"), ("src/a.rs", "\nuse crate::f;\n")];
        let expected = "a module must not use the root file of the crate: move the item to a module";
        assert_eq!(found(&root), [format!("src/a.rs:2: {expected}")]);
        // Every macro has its name at the root.
        let with_macro = [
            ("src/lib.rs", "mod a;\nmod b;\n"),
            ("src/a.rs", "use crate::ensure;\n"),
            ("src/b.rs", "#[macro_export]\nmacro_rules! ensure { () => {} }\n"),
        ];
        assert_eq!(found(&with_macro), [""; 0]);
    }

    #[test]
    fn tests_may_use_anything() {
        let files = [
            ("src/lib.rs", "mod a;\nmod b;\n"),
            ("src/a.rs", "use crate::b::B;\n"),
            (
                "src/b.rs",
                "#[cfg(test)]\nmod more;\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::a::A;\n}\n",
            ),
            ("src/b/more.rs", "use crate::a::A;\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
        // Only the item after the attribute.
        let behind =
            "#[cfg(test)]\nuse std::{fmt, mem};\n#[cfg(test)]\n#[derive(Debug)]\nstruct S;\nuse crate::a::A;\n";
        let files = [files[0], files[1], ("src/b.rs", behind)];
        assert_eq!(found(&files).len(), 2);
    }
}
