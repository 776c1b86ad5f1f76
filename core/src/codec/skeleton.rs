//! Which columns have the values at some paths.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::layout::{Layout, Shape};
use crate::json::{Paths, Value};

/// Where the texts of a shape have their values at some paths.
#[derive(Clone, Debug)]
pub(crate) struct ShapeValues {
    /// For each path the column of its value, if there is one.
    pub(crate) columns: Vec<Option<usize>>,
    /// Whether there is at most one value at each path, and that is not an object.
    pub(crate) is_simple: bool,
}

/// Stands for a leaf.
const LEAF: &str = "null";

impl Layout {
    /// For each shape where it has its values at `count` paths.
    pub(crate) fn values_at(&self, paths: &Paths, count: usize) -> Vec<ShapeValues> {
        self.shapes().iter().map(|shape| shape.values_at(paths, count)).collect()
    }
}

impl Shape {
    /// Walks a text of the shape, in which all leaves are `null`. So the values are those that a walk over any of its
    /// texts finds.
    fn values_at(&self, paths: &Paths, count: usize) -> ShapeValues {
        let mut values = ShapeValues { columns: alloc::vec![None; count], is_simple: true };
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(self.leaves.len()));
        let mut push = |piece: &[u8]| core::str::from_utf8(piece).map(|piece| text.push_str(piece));
        let mut is_text = push(&self.first).is_ok();
        let mut len = self.first.len();
        for (_, piece) in &self.leaves {
            ends.push(len);
            is_text &= push(LEAF.as_bytes()).is_ok() && push(piece).is_ok();
            len += LEAF.len() + piece.len();
        }
        if !is_text {
            return ShapeValues { is_simple: false, ..values };
        }
        paths.walk_places(&text, |path, value, start| {
            if matches!(value, Value::Array) {
                return ControlFlow::Continue(());
            }
            let leaf = ends.binary_search(&start).ok().and_then(|leaf| self.leaves.get(leaf));
            match (leaf, values.columns.get_mut(path)) {
                (Some((leaf, _)), Some(column @ None)) => *column = Some(*leaf),
                (_, _) => values.is_simple = false,
            }
            ControlFlow::Continue(())
        });
        values
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn shape(first: &'static str, leaves: &[(usize, &'static str)]) -> Shape {
        let leaves = leaves.iter().map(|(column, piece)| (*column, piece.as_bytes().into())).collect();
        Shape { first: first.as_bytes().into(), leaves }
    }

    #[test]
    fn each_path_has_the_column_of_its_only_value() {
        let mut paths = Paths::default();
        paths.add(["a"]);
        paths.add(["b", "c"]);
        for (shape, columns, is_simple) in [
            (shape(r#"{"a":"#, &[(3, r#","b":{"c":"#), (5, "}}")]), vec![Some(3), Some(5)], true),
            (shape(r#"{"b":[{"c":"#, &[(5, "}]}")]), vec![None, Some(5)], true),
            (shape(r#"{"a":["#, &[(3, ","), (4, "]}")]), vec![Some(3), None], false),
            (shape(r#"{"a":["#, &[(3, "]}")]), vec![Some(3), None], true),
            (shape(r#"{"a":{"x":"#, &[(3, "}}")]), vec![None, None], false),
            (shape(r#"{"a":{}}"#, &[]), vec![None, None], false),
            (shape(r#"{"a":[]}"#, &[]), vec![None, None], true),
            (shape(r#"{"a":"#, &[(1, r#","a":"#), (2, "}")]), vec![Some(1), None], false),
            (shape("", &[(0, "")]), vec![None, None], true),
        ] {
            let values = shape.values_at(&paths, 2);
            assert_eq!((values.columns, values.is_simple), (columns, is_simple), "{shape:?}");
        }
    }
}
