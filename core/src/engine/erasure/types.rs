//! The event types that an erasure selects.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::column::partition_point;
use crate::query::TypeTest;

/// The types that a filter requests, sorted: there may be as many as fit into a request, and each is compared with the
/// types of each segment while commits wait.
pub(super) struct ErasedTypes {
    /// Whole names, ascending.
    names: Vec<Box<[u8]>>,
    /// Beginnings of names, ascending. None of them begins with another.
    beginnings: Vec<Box<[u8]>>,
}

impl ErasedTypes {
    pub(super) fn new(tests: &[TypeTest]) -> Self {
        let (mut names, mut beginnings) = (Vec::new(), Vec::new());
        for test in tests {
            let text: Box<[u8]> = test.text().as_bytes().into();
            match test {
                TypeTest::Eq(_) => names.push(text),
                TypeTest::Prefix(_) => beginnings.push(text),
            }
        }
        names.sort_unstable();
        beginnings.sort_unstable();
        // What begins with another one follows it, with nothing else in between.
        beginnings.dedup_by(|next, kept| next.starts_with(kept));
        Self { names, beginnings }
    }

    /// Whether it has this type.
    pub(super) fn has(&self, type_name: &[u8]) -> bool {
        let is_listed = || self.names.binary_search_by(|name| (**name).cmp(type_name)).is_ok();
        // A beginning of the name is not above it, and no other one lies in between.
        let at = || self.beginnings.partition_point(|beginning| **beginning <= *type_name).checked_sub(1);
        is_listed() || at().and_then(|at| self.beginnings.get(at)).is_some_and(|found| type_name.starts_with(found))
    }

    /// Whether it has any of these types. There are `count`, ascending, and `name` gives the name of each.
    pub(super) fn has_any<'n>(&self, count: usize, name: impl Fn(usize) -> &'n [u8]) -> bool {
        if self.names.len() + self.beginnings.len() > count {
            return (0..count).any(|index| self.has(name(index)));
        }
        let first_from = |text: &[u8]| {
            let at = partition_point(0..count, |index| name(index) < text);
            (at < count).then(|| name(at))
        };
        self.names.iter().any(|wanted| first_from(wanted).is_some_and(|found| *found == **wanted))
            || self.beginnings.iter().any(|wanted| first_from(wanted).is_some_and(|found| found.starts_with(wanted)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::format;
    use alloc::string::String;
    use core::cell::Cell;

    use super::*;

    /// All short names of three letters, ascending.
    fn names() -> Vec<String> {
        let mut names: Vec<String> = alloc::vec![String::new()];
        for at in 0..40 {
            let longer = ["a", "b", "c"].map(|letter| format!("{}{letter}", names[at]));
            names.extend(longer);
        }
        names.sort_unstable();
        names
    }

    #[test]
    fn it_has_the_types_that_its_tests_match() {
        let names = names();
        // Every third name, and every seventh one as a beginning, in no order, some of them twice.
        for (step, beginnings) in [(3, 7), (50, 11), (11, 50), (7, 200), (200, 5), (200, 200), (1, 1)] {
            let tests: Vec<TypeTest> =
                (names.iter().rev().step_by(step).map(|name| TypeTest::Eq(name.as_str().into())))
                    .chain(names.iter().skip(1).step_by(beginnings).map(|name| TypeTest::Prefix(name.as_str().into())))
                    .chain(names.iter().take(1).filter(|_| step == 1).map(|name| TypeTest::Eq(name.as_str().into())))
                    .collect();
            let types = ErasedTypes::new(&tests);
            let matches = |name: &[u8]| tests.iter().any(|test| test.matches(name));
            for name in &names {
                assert_eq!(types.has(name.as_bytes()), matches(name.as_bytes()), "{name}");
            }
            // Few names and many.
            for len in [0, 1, 2, 5, 30] {
                for some in names.windows(len.max(1)) {
                    let some = &some[..len];
                    let any = some.iter().any(|name| matches(name.as_bytes()));
                    assert_eq!(types.has_any(len, |index| some[index].as_bytes()), any, "{some:?}");
                }
            }
        }
    }

    #[test]
    fn many_types_are_not_all_compared_with_each_other() {
        let names: Vec<String> = (0..10_000).map(|number| format!("type-{number:05}")).collect();
        let looked_at = Cell::new(0);
        for count in [1_000, 10_000] {
            let tests: Vec<TypeTest> = (0..count).map(|number| TypeTest::Eq(format!("x-{number}").into())).collect();
            let name = |index: usize| {
                looked_at.set(looked_at.get() + 1);
                names[index].as_bytes()
            };
            assert!(!ErasedTypes::new(&tests).has_any(names.len(), name));
        }
        assert!(looked_at.get() < 300_000, "{} names were looked at", looked_at.get());
    }
}
