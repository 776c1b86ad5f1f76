//! Tests of columns, against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Numbers, and the kinds that they must have.
const NUMBERS: [(&str, Kind); 12] = [
    ("0", Kind::Integer),
    ("-7", Kind::Integer),
    ("9007199254740993", Kind::Integer),
    ("-9223372036854775808", Kind::Integer),
    ("9223372036854775808", Kind::Float),
    ("123456789012345678901234567890", Kind::Float),
    ("1.0", Kind::Float),
    ("-0.0", Kind::Float),
    ("1e-300", Kind::Float),
    ("1e400", Kind::Unrepresentable),
    ("1e-400", Kind::Unrepresentable),
    ("-1.5e9999", Kind::Unrepresentable),
];

/// A payload, as a tree.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Boolean(bool),
    Number((&'static str, Kind)),
    String(String),
    Array(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    argus_core::json::write_string(text, &mut out);
    String::from_utf8(out).expect("a quoted text is UTF-8")
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Number((token, _)) => (*token).to_owned(),
            Self::String(text) => quoted(text),
            Self::Array(list) => format!("[{}]", list.iter().map(Self::text).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.text()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Null => None,
            Self::Boolean(_) => Some(Kind::Boolean),
            Self::Number((_, kind)) => Some(*kind),
            Self::String(_) => Some(Kind::String),
            Self::Array(_) => Some(Kind::Array),
            Self::Object(_) => Some(Kind::Object),
        }
    }

    fn members(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Object(members) => Some(members),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }
}

/// The type of a column, and the texts of its cells.
type Found = (ColumnType, Vec<Option<String>>);

/// The type of each column and the texts of its cells, found by looking at all values of a path at once.
fn model(prefix: &str, rows: &[Option<&Tree>], found: &mut BTreeMap<String, Found>) {
    let objects: Vec<Option<&BTreeMap<String, Tree>>> = rows.iter().map(|row| row.and_then(Tree::members)).collect();
    let mut names: Vec<&String> = objects.iter().flatten().flat_map(|members| members.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let values: Vec<Option<&Tree>> =
            objects.iter().map(|members| members.and_then(|members| members.get(name))).collect();
        let kinds: Vec<Kind> = values.iter().flatten().filter_map(|value| value.kind()).collect();
        let all = |allowed: &[Kind]| kinds.iter().all(|kind| allowed.contains(kind));
        let path = format!("{prefix}.{}", name.replace('\\', r"\\").replace('.', r"\.").replace('[', r"\["));
        let has_members =
            values.iter().flatten().any(|value| value.members().is_some_and(|members| !members.is_empty()));
        if all(&[Kind::Object]) && has_members {
            model(&path, &values, found);
            continue;
        }
        let column_type = match () {
            () if all(&[Kind::String]) => ColumnType::Text,
            () if all(&[Kind::Integer]) => ColumnType::Integer,
            () if all(&[Kind::Integer, Kind::Float]) => ColumnType::Float,
            () if all(&[Kind::Boolean]) => ColumnType::Boolean,
            () => ColumnType::Json,
        };
        let cells = values.iter().map(|value| value.filter(|value| value.kind().is_some()).map(Tree::text)).collect();
        found.insert(path, (column_type, cells));
    }
}

fn names() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec!["", "a.b", "x\\", "[", "\"", "ü\n"]).prop_map(str::to_owned);
    prop_oneof![4 => "[ab]", 1 => odd]
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => Just(Tree::Null),
        2 => any::<bool>().prop_map(Tree::Boolean),
        4 => prop::sample::select(&NUMBERS[..]).prop_map(Tree::Number),
        2 => "[a\"\\\\\n,ü]{0,3}".prop_map(Tree::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::Array),
            4 => prop::collection::btree_map(names(), inner, 0..4).prop_map(Tree::Object),
        ]
    })
}

proptest! {
    #[test]
    fn columns_and_cells_are_those_of_the_model(rows in prop::collection::vec(trees(), 0..6)) {
        let texts: Vec<String> = rows.iter().map(Tree::text).collect();
        let mut expected = BTreeMap::new();
        model("payload", &rows.iter().map(Some).collect::<Vec<_>>(), &mut expected);
        let mut discovery = Discovery::new(usize::MAX);
        texts.iter().for_each(|text| discovery.add(text));
        let mut cells = Columns::choose(&discovery, usize::MAX).into_cells();
        let mut found: Vec<(String, Found)> =
            cells.list().iter().map(|column| (column.name.clone(), (column.column_type, Vec::new()))).collect();
        for text in &texts {
            for (cell, (_, (_, values))) in cells.take(text).into_iter().zip(&mut found) {
                values.push(cell.map(str::to_owned));
            }
        }
        prop_assert_eq!(found.len(), expected.len(), "no name comes twice");
        prop_assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}

/// An object with the members of several, one after the other, and the one that is meant: the last of each name counts.
fn repeated(objects: &[BTreeMap<String, Tree>]) -> (String, String) {
    let members: Vec<String> =
        objects.iter().flatten().map(|(name, value)| format!("{}:{}", quoted(name), value.text())).collect();
    let last = objects.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    (format!("{{{}}}", members.join(",")), Tree::Object(last).text())
}

proptest! {
    #[test]
    fn repeated_members_leave_the_cells_of_the_last(
        rows in prop::collection::vec(
            prop::collection::vec(prop::collection::btree_map(names(), trees(), 0..4), 1..5),
            1..4,
        ),
    ) {
        let texts: Vec<[String; 2]> = rows
            .iter()
            .map(|objects| {
                // Once more one level below, where the object around may come again, too.
                let ((all, last), (others, _)) = (repeated(objects), repeated(objects.get(1..).unwrap_or_default()));
                [format!(r#"{{"a":{others},"b":1,"a":{all}}}"#), format!(r#"{{"b":1,"a":{last}}}"#)]
            })
            .collect();
        let mut discovery = Discovery::new(usize::MAX);
        texts.iter().flatten().for_each(|text| discovery.add(text));
        let mut cells = Columns::choose(&discovery, usize::MAX).into_cells();
        for [all, last] in &texts {
            let found: Vec<_> = cells.take(all).into_iter().map(|cell| cell.map(str::to_owned)).collect();
            let expected: Vec<_> = cells.take(last).into_iter().map(|cell| cell.map(str::to_owned)).collect();
            prop_assert_eq!(found, expected, "{}", all);
        }
    }
}

fn chosen(payloads: &[&str], columns_max: usize) -> Columns {
    let mut discovery = Discovery::new(100);
    payloads.iter().for_each(|payload| discovery.add(payload));
    Columns::choose(&discovery, columns_max)
}

fn list(columns: &Columns) -> Vec<&str> {
    columns.list().iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn the_columns_with_the_most_values_are_chosen_in_order_of_appearance() {
    let payloads = [r#"{"a":1,"b":{"c":1},"d":null}"#, r#"{"b":{"c":2,"e":1}}"#, r#"{"e":1,"b":{"e":2}}"#];
    let all = chosen(&payloads, 5);
    assert_eq!(list(&all), ["payload.a", "payload.b.c", "payload.d", "payload.b.e", "payload.e"]);
    assert_eq!(all.omitted(), Omitted::default());
    let few = chosen(&payloads, 3);
    assert_eq!(list(&few), ["payload.a", "payload.b.c", "payload.b.e"]);
    assert_eq!(few.omitted(), Omitted { known: 2, has_others: false });
    assert_eq!(list(&chosen(&payloads, 0)), [""; 0]);
}

#[test]
fn columns_say_why_they_have_json_texts_and_what_is_rounded() {
    let payloads = [
        r#"{"m":1,"a":[1],"f":9007199254740993,"i":9007199254740993}"#,
        r#"{"m":{"x":1},"a":[],"f":0.5,"i":1,"n":null}"#,
    ];
    let columns = chosen(&payloads, 100);
    let said: Vec<(&str, ColumnType, bool, bool)> = columns
        .list()
        .iter()
        .map(|column| (column.name.as_str(), column.column_type, column.is_mixed(), column.is_rounded))
        .collect();
    let expected = [
        ("payload.m", ColumnType::Json, true, false),
        ("payload.a", ColumnType::Json, false, false),
        ("payload.f", ColumnType::Float, false, true),
        ("payload.i", ColumnType::Integer, false, false),
        ("payload.n", ColumnType::Text, false, false),
    ];
    assert_eq!(said, expected);
    assert_eq!(columns.list().first().map(|column| column.kinds.names()).as_deref(), Some("integer,object"));
}

#[test]
fn of_several_members_with_one_name_the_last_one_counts() {
    let payloads = [
        r#"{"a":{"x":1,"y":2},"a":{"x":3},"b":1,"b":2,"c":1,"c":null}"#,
        r#"{"a":{"y":4}}"#,
        r#"{"a":{"x":1},"a":null,"c":5}"#,
    ];
    let mut cells = chosen(&payloads, 100).into_cells();
    assert_eq!(list(&cells.columns), ["payload.a.x", "payload.a.y", "payload.b", "payload.c"]);
    assert_eq!(cells.take(payloads[0]), [Some("3"), None, Some("2"), None]);
    assert_eq!(cells.take(payloads[1]), [None, Some("4"), None, None]);
    assert_eq!(cells.take(payloads[2]), [None, None, None, Some("5")]);
    // What was met in a row is not kept for the next ones.
    for _ in 0..3 {
        cells.take(payloads[1]);
    }
    assert!(cells.columns.paths.iter().all(|path| path.met.len() <= path.members.len()));
}

#[test]
fn names_are_paths_of_queries() {
    for name in ["", "a", "a.b", "[x]", "\\", "ü", "a=b"] {
        let path = argus_core::query::PayloadPath::parse(&escaped(name)).expect("it is escaped");
        assert_eq!(path.names().collect::<Vec<_>>(), [name]);
        assert_eq!(path.to_string(), escaped(name));
    }
}
