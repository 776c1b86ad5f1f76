//! Tests on single values of a column.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Test;
use super::candidate::Candidate;
use super::conditions::Predicate;
use crate::json::{Value, Wanted, WantedStrings};
use crate::row_group::ValueTest;

/// A test that holds for a payload if, and only if, it holds for any scalar value at its path.
#[derive(Clone, Debug)]
pub(crate) struct LeafTest {
    predicate: Predicate,
    /// The string for which alone it holds, if there is one.
    only: Option<Box<[u8]>>,
    /// Buffer for strings without their escapes.
    text: Vec<u8>,
}

impl LeafTest {
    /// Compiles a test; `None` if it is negated, or may hold for objects and arrays.
    pub(crate) fn of(test: &Test) -> Option<Self> {
        match test {
            Test::Eq(_)
            | Test::Gt(_)
            | Test::Gte(_)
            | Test::Lt(_)
            | Test::Lte(_)
            | Test::Prefix(_)
            | Test::Contains(_) => {}
            Test::Ne(_) | Test::Exists(_) => return None,
        }
        let (predicate, _) = Predicate::of(test);
        let only = match (test, test.wanted()?) {
            (Test::Eq(_), Wanted { strings: WantedStrings::One(string), numbers: None, literals: false }) => {
                Some(string)
            }
            (_, _) => None,
        };
        Some(Self { predicate, only, text: Vec::new() })
    }
}

impl ValueTest for LeafTest {
    fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    fn holds_for(&mut self, token: &str) -> bool {
        self.predicate.holds_for(Candidate::of(Value::of(token), &mut self.text))
    }

    fn order(&mut self, number: &str) -> Option<Ordering> {
        let candidate = Candidate::of(Value::of(number), &mut self.text);
        match &self.predicate {
            Predicate::Equal(operand) | Predicate::Compare(operand, _) => operand.order(candidate),
            Predicate::Any | Predicate::Prefix(_) | Predicate::Contains(_) => None,
        }
    }

    fn holds_if(&self, order: Ordering) -> bool {
        match &self.predicate {
            Predicate::Equal(_) => order.is_eq(),
            Predicate::Compare(_, is_wanted) => is_wanted(order),
            Predicate::Any | Predicate::Prefix(_) | Predicate::Contains(_) => false,
        }
    }
}
