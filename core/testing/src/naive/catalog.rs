//! What there is to ask for: types and fields.

use std::collections::BTreeMap;

use super::super::stored::StoredEvent;
use super::super::tree::{self, Text, Tree};
use super::expected::Expected;

pub(super) fn types(events: &[&StoredEvent]) -> Expected {
    let mut types: BTreeMap<&str, Vec<&StoredEvent>> = BTreeMap::new();
    for event in events {
        types.entry(&event.event_type).or_default().push(event);
    }
    let mut types: Vec<_> = types.into_iter().collect();
    types.sort_by_key(|(_, events)| std::cmp::Reverse(events.len()));
    let time =
        |event: Option<&&StoredEvent>| Expected::Text(event.expect("each type has an event").timestamp.to_string());
    let entry = |(name, events): (&str, Vec<&StoredEvent>)| {
        Expected::Members(vec![
            ("type", Expected::Text(name.to_string())),
            ("count", Expected::Count(events.len())),
            ("first", time(events.first())),
            ("last", time(events.last())),
        ])
    };
    Expected::List(types.into_iter().map(entry).collect())
}

/// The names that lead to each value, in the order of the text.
fn walk<'t>(tree: &'t Tree, names: &[Text], found: &mut Vec<(Vec<Text>, &'t Tree)>) {
    if !names.is_empty() {
        found.push((names.to_vec(), tree));
    }
    match tree {
        Tree::Object(members, _) => {
            for (name, member) in members {
                walk(member, &[names, std::slice::from_ref(name)].concat(), found);
            }
        }
        Tree::Array(elements) => elements.iter().for_each(|element| walk(element, names, found)),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
}

/// Compares the kinds; examples depend on spelling, and have tests of their own.
pub(super) fn fields(events: &[&StoredEvent]) -> Expected {
    let trees: Vec<Tree> = events.iter().rev().map(|event| tree::parse(&event.payload).expect("valid JSON")).collect();
    let mut found = Vec::new();
    trees.iter().for_each(|tree| walk(tree, &[], &mut found));
    let mut paths: BTreeMap<Vec<Text>, Vec<&Tree>> = BTreeMap::new();
    for (names, tree) in found {
        if names.iter().all(|name| name.unicode().is_some()) {
            paths.entry(names).or_default().push(tree);
        }
    }
    let escaped = |name: &Text| {
        let name = name.unicode().expect("other names were left out");
        ["\\", ".", "[", "]"].iter().fold(name, |name, sign| name.replace(sign, &format!("\\{sign}")))
    };
    let entry = |(path, trees): (Vec<Text>, Vec<&Tree>)| {
        let kinds = ["string", "number", "boolean", "null", "object", "array"].into_iter().filter_map(|kind| {
            let count = trees.iter().filter(|tree| kind_of(tree) == kind).count();
            (count > 0).then_some((kind, Expected::Count(count)))
        });
        let mut values: Vec<super::value::Value> = trees.iter().filter_map(|tree| single(tree)).collect();
        values.sort();
        values.dedup();
        Expected::Members(vec![
            ("path", Expected::Text(path.iter().map(escaped).collect::<Vec<_>>().join("."))),
            ("kinds", Expected::Members(kinds.collect())),
            ("unique", Expected::Count(values.len())),
            ("examples", Expected::Anything),
        ])
    };
    Expected::List(paths.into_iter().map(entry).collect())
}

fn kind_of(tree: &Tree) -> &'static str {
    match tree {
        Tree::Null => "null",
        Tree::Bool(_) => "boolean",
        Tree::Number(_) => "number",
        Tree::Text(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(..) => "object",
    }
}

fn single(tree: &Tree) -> Option<super::value::Value> {
    use super::value::Value;
    match tree {
        Tree::Bool(value) => Some(Value::Bool(*value)),
        Tree::Number(number) => Some(Value::Number(number.clone())),
        Tree::Text(text) => Some(Value::Text(text.clone())),
        Tree::Null | Tree::Array(_) | Tree::Object(..) => None,
    }
}
