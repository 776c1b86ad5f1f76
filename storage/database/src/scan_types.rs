//! The types of which a scan wants events.

use argus_core::query::{Order, TypeTest};
use argus_core::repository::ReadError;

/// Up to this many types are read by an index that has the events of each in order of time, and merged.
pub const FEW_TYPES: usize = 16;

/// The types of which a scan wants events, as an index finds them.
#[derive(Debug)]
pub enum ScanTypes {
    /// All.
    All,
    /// These: the index of types and times has the events of each in order.
    Few(Vec<String>),
    /// Those that one of the tests holds for, which is examined for each event.
    Tested(Vec<TypeTest>),
}

impl ScanTypes {
    /// The types that these tests select in an order; `None` selects all. `with_prefix` finds the types with a prefix
    /// of which there are events; more than [`FEW_TYPES`] need not be found.
    ///
    /// # Errors
    ///
    /// [`ReadError`] of `with_prefix`.
    pub fn of(
        tests: Option<&[TypeTest]>,
        order: Order,
        mut with_prefix: impl FnMut(&str) -> Result<Vec<String>, ReadError>,
    ) -> Result<Self, ReadError> {
        let Some(tests) = tests else { return Ok(Self::All) };
        // No event type has U+0000, and not every database has texts with it.
        let tests: Vec<TypeTest> = tests.iter().filter(|test| !test.text().contains('\0')).cloned().collect();
        let mut names = Vec::new();
        for test in &tests {
            match test {
                TypeTest::Eq(name) => names.push(name.to_string()),
                // In order of sequence numbers, types are tested event by event anyway.
                TypeTest::Prefix(_) if order == Order::Sequence => return Ok(Self::Tested(tests)),
                TypeTest::Prefix(prefix) => names.extend(with_prefix(prefix)?),
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(if names.len() <= FEW_TYPES { Self::Few(names) } else { Self::Tested(tests) })
    }

    /// Whether this type is among them.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Few(names) => names.iter().any(|wanted| wanted == name),
            Self::Tested(tests) => tests.iter().any(|test| test.matches(name.as_bytes())),
        }
    }

    /// Whether there is surely no event of them.
    #[must_use]
    pub fn are_none(&self) -> bool {
        matches!(self, Self::Few(names) if names.is_empty())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn of(tests: &[TypeTest], order: Order, stored: &[&str]) -> ScanTypes {
        ScanTypes::of(Some(tests), order, |prefix| {
            Ok(stored.iter().filter(|name| name.starts_with(prefix)).map(ToString::to_string).collect())
        })
        .unwrap()
    }

    #[test]
    fn a_prefix_of_few_types_is_these_types() {
        let tests = [TypeTest::Prefix("page.".into()), TypeTest::Eq("page.view".into())];
        let types = of(&tests, Order::TimeAscending, &["page.close", "page.view", "user.login"]);
        assert!(matches!(&types, ScanTypes::Few(names) if *names == ["page.close", "page.view"]), "{types:?}");
        assert!(types.contain("page.view") && !types.contain("user.login") && !types.are_none());
        assert!(of(&tests[..1], Order::TimeAscending, &["user.login"]).are_none());
    }

    #[test]
    fn what_no_type_has_is_not_asked_for() {
        let tests = [TypeTest::Eq("page\0".into()), TypeTest::Prefix("\0".into())];
        assert!(of(&tests, Order::TimeAscending, &["page.view"]).are_none());
    }

    #[test]
    fn many_types_and_orders_without_an_index_are_tested() {
        let stored: Vec<String> = (0..=FEW_TYPES).map(|number| format!("page.{number}")).collect();
        let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
        let tests = [TypeTest::Prefix("page.".into())];
        for types in [of(&tests, Order::TimeDescending, &stored), of(&tests, Order::Sequence, &["page.view"])] {
            assert!(matches!(&types, ScanTypes::Tested(_)), "{types:?}");
            assert!(types.contain("page.other") && !types.contain("user.login") && !types.are_none());
        }
    }
}
