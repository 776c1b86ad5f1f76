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
            Some(wanted) => {
                let mut both: Vec<TypeTest> = Vec::new();
                for test in wanted.iter().flat_map(|wanted| permitted.iter().filter_map(|other| common(wanted, other)))
                {
                    if !both.contains(&test) {
                        both.push(test);
                    }
                }
                both
            }
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

/// The test that holds if both hold; `None` if both never do. Of two prefixes, one begins with the other, or no text
/// begins with both.
fn common(one: &TypeTest, other: &TypeTest) -> Option<TypeTest> {
    let (longer, shorter) = match (one, other) {
        (TypeTest::Eq(_), _) => (one, other),
        (TypeTest::Prefix(_), TypeTest::Eq(_)) => (other, one),
        (TypeTest::Prefix(left), TypeTest::Prefix(right)) if left.len() >= right.len() => (one, other),
        (TypeTest::Prefix(_), TypeTest::Prefix(_)) => (other, one),
    };
    shorter.matches(longer.text().as_bytes()).then(|| longer.clone())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
            (&["*"], None, None),
            (&["*", "login"], Some(vec![eq("a")]), Some(vec![eq("a")])),
        ] {
            let mut filter = Filter { types: wanted, ..Filter::default() };
            access(patterns).restrict(&mut filter);
            assert_eq!(filter.types, expected, "{patterns:?}");
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
