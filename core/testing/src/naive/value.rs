//! Values of payloads, and when they are the same.

use std::cmp::Ordering;

use argus_core::query::PayloadPath;

use super::super::decimal;
use super::super::filter::{values_at, with_elements};
use super::super::tree::{self, Text, Tree};

/// A value, in the order of groups.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// The token.
    Number(String),
    Text(Text),
    /// The text of the object.
    Object(String),
}

impl Value {
    fn of(tree: &Tree) -> Option<Self> {
        Some(match tree {
            Tree::Null => Self::Null,
            Tree::Bool(value) => Self::Bool(*value),
            Tree::Number(number) => Self::Number(number.clone()),
            Tree::Text(text) => Self::Text(text.clone()),
            Tree::Object(_, text) => Self::Object(text.clone()),
            Tree::Array(_) => return None,
        })
    }

    /// Decides between groups of the same rank: JSON, in which strings begin with a quote and are not escaped.
    pub(super) fn text(&self) -> Text {
        match self {
            Self::Null => Text::from("null"),
            Self::Bool(value) => Text::from(value.to_string().as_str()),
            Self::Number(token) => Text::from(decimal::shortest(token).as_str()),
            Self::Text(text) => Text([Text::from("\"").0, text.0.clone()].concat()),
            Self::Object(text) => Text::from(text.as_str()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
            Self::Object(_) => 4,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => decimal::compare(left, right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Object(left), Self::Object(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

/// All values at a path: elements of arrays, but not the arrays.
pub(super) fn all(path: &PayloadPath, payload: &str) -> Vec<Value> {
    let root = tree::parse(payload).expect("payloads are valid JSON without white space");
    let names: Vec<Text> = path.names().map(Text::from).collect();
    values_at(&root, &names).into_iter().flat_map(with_elements).filter_map(Value::of).collect()
}

/// The different values at a path; null if there is none.
pub(super) fn different(path: &PayloadPath, payload: &str) -> Vec<Value> {
    let mut values = all(path, payload);
    values.sort();
    values.dedup();
    if values.is_empty() { vec![Value::Null] } else { values }
}
