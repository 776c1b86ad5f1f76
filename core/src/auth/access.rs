//! What a caller may see and write.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::pattern::write_pattern;
use crate::event::{EventType, TypeTest};
use crate::query::Filter;

/// The events that a caller may see and write. The default is all of them.
///
/// Every route that reads calls [`restrict`](Self::restrict) on its filter before anything else uses it, or
/// [`permits`](Self::permits) on each event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The types; `None` for all.
    types: Option<Arc<[TypeTest]>>,
}

impl Access {
    /// Access to events whose type matches any of these.
    pub(super) fn to_types(types: Arc<[TypeTest]>) -> Self {
        let all = types.iter().any(|test| *test == TypeTest::Prefix("".into()));
        Self { types: (!all).then_some(types) }
    }

    /// The tests of which an event's type must match any; `None` if every event is permitted.
    #[must_use]
    pub fn types(&self) -> Option<&Arc<[TypeTest]>> {
        self.types.as_ref()
    }

    /// Whether an event of this type may be seen.
    #[must_use]
    pub fn permits(&self, event_type: EventType<'_>) -> bool {
        let matches = |test: &TypeTest| test.matches(event_type.as_str().as_bytes());
        self.types.as_ref().is_none_or(|types| types.iter().any(matches))
    }

    /// Restricts a filter, so that it matches no event that may not be seen, and all others as before.
    pub fn restrict(&self, filter: &mut Filter) {
        let Some(permitted) = &self.types else { return };
        filter.types = Some(match &filter.types {
            None => permitted.to_vec(),
            Some(wanted) => both(&simplified(wanted), &simplified(permitted)),
        });
    }

    /// The patterns, for people: `web.*, login`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (index, test) in self.types.iter().flat_map(|types| types.iter()).enumerate() {
            text.push_str(if index > 0 { ", " } else { "" });
            write_pattern(test, &mut text).expect("a String takes whatever is written to it");
        }
        text
    }
}

/// By text, and a prefix before the same text: so tests come after all tests that cover them.
fn rank(test: &TypeTest) -> (&str, bool) {
    (test.text(), matches!(test, TypeTest::Eq(_)))
}

/// The tests that together match the same types, in the order of [`rank`], without those that another one covers.
///
/// What one prefix covers follows it without a gap, so each test is compared with one other. A query and a key may have
/// thousands of them.
fn simplified(tests: &[TypeTest]) -> Vec<&TypeTest> {
    let mut sorted: Vec<&TypeTest> = tests.iter().collect();
    sorted.sort_unstable_by_key(|test| rank(test));
    sorted.dedup_by(|test, before| before.matches(test.text().as_bytes()));
    sorted
}

/// What matches if a test of each list does, both of them [simplified]: the tests of each that the other covers. Of two
/// prefixes, one begins with the other, or no text begins with both.
fn both(one: &[&TypeTest], other: &[&TypeTest]) -> Vec<TypeTest> {
    let mut common: Vec<&TypeTest> = covered(one, other).chain(covered(other, one)).collect();
    common.sort_unstable_by_key(|test| rank(test));
    common.dedup();
    common.into_iter().cloned().collect()
}

/// Those tests that a test of the others covers, which can only be the last one that does not come after it.
fn covered<'t>(tests: &[&'t TypeTest], others: &[&TypeTest]) -> impl Iterator<Item = &'t TypeTest> {
    tests.iter().copied().filter(|test| {
        let after = others.partition_point(|other| rank(other) <= rank(test));
        let before = after.checked_sub(1).and_then(|at| others.get(at));
        before.is_some_and(|before| before.matches(test.text().as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::auth::parse_pattern;

    fn access(patterns: &[&str]) -> Access {
        Access::to_types(patterns.iter().map(|text| parse_pattern(text).unwrap()).collect())
    }

    #[test]
    fn a_filter_is_restricted_to_what_both_match() {
        let eq = |text: &str| TypeTest::Eq(text.into());
        let prefix = |text: &str| TypeTest::Prefix(text.into());
        for (patterns, wanted, expected) in [
            (&["web.*", "login"][..], None, Some(vec![prefix("web."), eq("login")])),
            (&["web.*"], Some(vec![eq("web.click"), eq("app.click")]), Some(vec![eq("web.click")])),
            (&["web.*"], Some(vec![prefix("web.page.")]), Some(vec![prefix("web.page.")])),
            (&["web.*"], Some(vec![prefix("we"), prefix("web.")]), Some(vec![prefix("web.")])),
            (&["login"], Some(vec![prefix("log"), prefix("x")]), Some(vec![eq("login")])),
            (&["login"], Some(vec![eq("logout")]), Some(vec![])),
            (&["login"], Some(vec![]), Some(vec![])),
            (&["web.*"], Some(vec![eq("web.b"), eq("web.a"), eq("web.b")]), Some(vec![eq("web.a"), eq("web.b")])),
            (&["b", "a"], Some(vec![prefix(""), eq("a"), prefix("a")]), Some(vec![eq("a"), eq("b")])),
            (&["*"], None, None),
            (&["*", "login"], Some(vec![eq("a")]), Some(vec![eq("a")])),
        ] {
            let mut filter = Filter { types: wanted, ..Filter::default() };
            access(patterns).restrict(&mut filter);
            assert_eq!(filter.types, expected, "{patterns:?}");
        }
    }

    #[test]
    fn a_restricted_filter_matches_what_both_match() {
        let texts = ["", "a", "aa", "ab", "b", "ba"];
        let tests: Vec<TypeTest> =
            texts.iter().flat_map(|text| [TypeTest::Eq((*text).into()), TypeTest::Prefix((*text).into())]).collect();
        // Each list of three as what is permitted, with another one as what is wanted.
        let lists: Vec<Vec<TypeTest>> = (0..tests.len().pow(3))
            .map(|number| [number, number / 12, number / 144].map(|index| tests[index % 12].clone()).to_vec())
            .collect();
        for (permitted, wanted) in lists.iter().zip(lists.iter().cycle().skip(577).step_by(5)) {
            let access = Access { types: Some(permitted.as_slice().into()) };
            let mut filter = Filter { types: Some(wanted.clone()), ..Filter::default() };
            access.restrict(&mut filter);
            let restricted = filter.types.unwrap();
            for text in ["a", "aa", "aab", "ab", "abc", "b", "ba", "bb", "c"] {
                let any = |tests: &[TypeTest]| tests.iter().any(|test| test.matches(text.as_bytes()));
                let expected = any(permitted) && any(wanted);
                assert_eq!(any(&restricted), expected, "{text} by {permitted:?} and {wanted:?}");
            }
        }
    }

    #[test]
    fn types_are_permitted_by_any_pattern() {
        let access = access(&["web.*", "login"]);
        let permits = |text: &str| access.permits(EventType::parse(text).unwrap());
        assert!(["web.", "web.a", "login"].into_iter().all(permits));
        assert!(!["web", "website", "login.x", "Web.a"].into_iter().any(permits));
        assert!(Access::default().permits(EventType::parse("x").unwrap()));
        assert_eq!(access.describe(), "web.*, login");
    }

    #[test]
    fn patterns_have_a_star_at_the_end_only() {
        for text in ["web*", "*.web", "a.*.b", "**", "a.**", ""] {
            assert!(parse_pattern(text).is_err(), "{text}");
        }
        assert_eq!(parse_pattern(".*").unwrap(), TypeTest::Prefix(".".into()));
    }

    use alloc::vec;
}
