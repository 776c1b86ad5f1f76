//! What an answer should be, and how exactly.

use std::fmt::Debug;

use super::super::decimal;
use super::super::tree::Tree;
use super::value::Value;

/// What JSON should be there.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// This value. Numbers are compared by value.
    Value(Value),
    /// A whole number.
    Count(usize),
    /// A number that differs by at most this.
    Near(f64, f64),
    /// Any number.
    AnyNumber,
    /// A text.
    Text(String),
    List(Vec<Self>),
    /// Members in this order.
    Members(Vec<(&'static str, Self)>),
    /// A member that may be there, whatever it is.
    Anything,
}

impl Expected {
    /// Compares JSON with this. The error names the first place that differs.
    pub(super) fn check(&self, found: &Tree) -> Result<(), String> {
        let is_equal = match (self, found) {
            (Self::Anything, _) => true,
            (Self::Value(value), found) => value.is(found),
            (Self::Count(count), Tree::Number(number)) => *number == count.to_string(),
            (Self::Near(expected, error), Tree::Number(number)) => {
                number.parse::<f64>().is_ok_and(|number| (number - expected).abs() <= *error)
            }
            (Self::AnyNumber, Tree::Number(_)) => true,
            (Self::Text(text), Tree::Text(found)) => found.unicode().as_ref() == Some(text),
            (Self::List(list), Tree::Array(found)) => {
                for (at, (expected, found)) in list.iter().zip(found).enumerate() {
                    expected.check(found).map_err(|place| format!("[{at}]{place}"))?;
                }
                list.len() == found.len()
            }
            (Self::Members(members), Tree::Object(found, _)) => {
                let mut found = found.iter();
                for (name, expected) in members {
                    match (expected, found.clone().next().filter(|(other, _)| *other == (*name).into())) {
                        (Self::Anything, None) => {}
                        (expected, Some((_, value))) => {
                            found.next();
                            expected.check(value).map_err(|place| format!(".{name}{place}"))?;
                        }
                        (_, None) => return Err(format!(".{name} is missing")),
                    }
                }
                found.next().is_none()
            }
            (
                Self::Count(_) | Self::Near(..) | Self::AnyNumber | Self::Text(_) | Self::List(_) | Self::Members(_),
                _,
            ) => false,
        };
        if is_equal { Ok(()) } else { Err(format!(": {self:?}, not {found:?}")) }
    }

    pub(super) fn null() -> Self {
        Self::Value(Value::Null)
    }

    /// A number with this relative error.
    pub(super) fn relative(value: f64, error: f64) -> Self {
        // The bounds of sketches are proven for exact arithmetic.
        Self::Near(value, value.abs() * (error + 1e-12))
    }
}

impl Value {
    /// Whether JSON has this value.
    fn is(&self, found: &Tree) -> bool {
        match (self, found) {
            (Self::Null, Tree::Null) => true,
            (Self::Bool(value), Tree::Bool(found)) => value == found,
            (Self::Number(number), Tree::Number(found)) => decimal::compare(number, found).is_eq(),
            (Self::Text(text), Tree::Text(found)) => text == found,
            (Self::Object(text), Tree::Object(_, found)) => text == found,
            (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Object(_), _) => false,
        }
    }
}
