//! Every format, read back by the crates that others read it with.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "shared/repository.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod repository;

use std::fs::{self, File};
use std::path::Path;

use argus_core::query::Filter;
use argus_export::{Export, Format, Omitted};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use repository::{EVENTS, Repository};

/// A table: the names, and the cells of each row as text.
#[derive(Debug, PartialEq)]
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// The columns of the events that every test of kinds stores, with their types, and their cells by time. The scalars,
/// and the events with odd names, have none of them.
const KINDS: [(&str, DataType, [Option<&str>; 5]); 13] = {
    use DataType::{Boolean, Float64, Int64, Utf8};
    const MIN: &str = "-9223372036854775808";
    const MAX: &str = "9223372036854775807";
    [
        ("integer", Int64, [Some(MIN), Some("1"), Some(MAX), None, None]),
        ("float", Float64, [Some("2.5"), Some("1"), Some("-1.7976931348623157e308"), Some("5e-324"), Some("100")]),
        (
            "text",
            Utf8,
            [Some("quote \" comma , line\r\nend ü 😀 A/\\"), Some("x"), Some(""), Some("null"), Some("=1+1")],
        ),
        ("boolean", Boolean, [Some("false"), Some("true"), None, None, None]),
        ("null", Utf8, [None; 5]),
        ("mixed", Utf8, [Some("\"text\""), Some("1"), Some(r#"{"deep":[{}]}"#), Some("[1]"), Some("true")]),
        ("object.x", Int64, [None, Some("1"), None, Some("9007199254740993"), None]),
        ("object.y.z", Utf8, [None, Some("deep"), None, None, Some("é")]),
        ("array", Utf8, [Some("[]"), Some(r#"[1,"a",{"k":null},[1.50]]"#), Some("[[[]]]"), None, None]),
        ("empty", Utf8, [Some("{}"), Some("{}"), None, None, None]),
        ("long", Float64, [Some("0"), Some("18446744073709552000"), None, None, Some("1.2345678901234568e29")]),
        ("huge", Utf8, [Some("0.1"), Some("1e400"), None, None, None]),
        ("half", Utf8, [Some("\"not an object\""), Some(r#"{"a":1}"#), None, None, None]),
    ]
};

fn stored() -> Repository {
    let mut repository = Repository::new();
    repository.store(EVENTS);
    repository
}

fn batches(format: Format, path: &Path) -> (Schema, Vec<RecordBatch>) {
    let file = File::open(path).unwrap();
    match format {
        Format::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            (builder.schema().as_ref().clone(), builder.build().unwrap().map(Result::unwrap).collect())
        }
        Format::Arrow => {
            let reader = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
            (reader.schema().as_ref().clone(), reader.map(Result::unwrap).collect())
        }
        Format::Csv | Format::Ndjson => unreachable!("it has no batches"),
    }
}

/// A cell as text. Floats in the shortest form that reads back as the same.
fn cell(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = batch.column(column);
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) => {
            format!("{} {zone}", array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        other => panic!("no column has the type {other}"),
    })
}

fn columnar_table(format: Format, path: &Path) -> Table {
    let (schema, batches) = batches(format, path);
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| cell(batch, column, row)).collect())
    });
    Table { names: schema.fields().iter().map(|field| field.name().clone()).collect(), rows: rows.collect() }
}

fn csv_table(path: &Path) -> Table {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|record| record.unwrap().iter().map(|text| Some(text.to_owned())).collect());
    Table { names, rows: rows.collect() }
}

/// The payloads in a file of lines, which are the last member of each.
fn payloads(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_once(",\"payload\":").unwrap().1.strip_suffix('}').unwrap());
    lines.map(str::to_owned).collect()
}

/// Whether a text is the number that another text is.
fn is_same_number(text: &str, other: &str) -> bool {
    matches!((text.parse::<f64>(), other.parse::<f64>()), (Ok(one), Ok(two)) if one.to_bits() == two.to_bits())
}

#[test]
fn columnar_files_have_the_types_and_values_of_the_payloads() {
    let repository = stored();
    let (lines, _) = repository.export(Format::Ndjson);
    let mut tables = Vec::new();
    for format in [Format::Parquet, Format::Arrow] {
        let (path, written) = repository.export(format);
        assert_eq!((written.events, written.last_seq, written.omitted), (13, 13, Omitted::default()));
        let (schema, _) = batches(format, &path);
        let table = columnar_table(format, &path);
        assert_eq!(table.names[..5], ["id", "seq", "event_type", "timestamp", "payload"]);
        let column = |name: &str| {
            let at = table.names.iter().position(|other| other == name).unwrap();
            table.rows.iter().map(|row| row[at].as_deref()).collect::<Vec<_>>()
        };
        assert_eq!(
            column("seq"),
            [6, 10, 8, 9, 13, 12, 11, 2, 1, 3, 4, 5, 7]
                .map(|seq: u64| seq.to_string())
                .each_ref()
                .map(|seq| Some(&**seq))
        );
        assert_eq!(column("id")[8], Some("all"));
        assert_eq!(column("event_type")[0], Some("names, \"odd\""));
        assert_eq!(column("timestamp")[12], Some("9223372036854775805 UTC"));
        assert_eq!(column("timestamp")[1], Some("-500000000 UTC"));
        assert_eq!(column("timestamp")[9], Some("1714564800000000001 UTC"));
        assert_eq!(column("payload").into_iter().flatten().collect::<Vec<_>>(), payloads(&lines));
        for (name, data_type, cells) in KINDS {
            let name = format!("payload.{name}");
            assert_eq!(schema.field_with_name(&name).unwrap().data_type(), &data_type, "{name}");
            let found = &column(&name)[7..12];
            let is_number = data_type == DataType::Float64;
            for (found, expected) in found.iter().zip(cells) {
                let is_equal = match (found, expected) {
                    (Some(found), Some(expected)) if is_number => is_same_number(found, expected),
                    (found, expected) => *found == expected,
                };
                assert!(is_equal, "{name}: {found:?} is not {expected:?}");
            }
            assert!(
                column(&name).iter().enumerate().all(|(at, cell)| (7..12).contains(&at) || cell.is_none()),
                "{name}"
            );
        }
        for (name, row, expected) in [
            (r"payload.a\.b", 0, "1"),
            (r"payload.\[x\]", 0, "2"),
            ("payload.", 0, "3"),
            (r"payload.back\\slash", 0, "4"),
            ("payload.line\nend", 0, "5"),
            ("payload.ünï", 0, "6"),
            (r"payload.deep..a\.b.c", 0, "7"),
            ("payload.a.b", 12, "not a.b"),
            ("payload.twice", 12, "2"),
            ("payload.no text", 12, r#"{"n\ud800":1}"#),
            ("payload.plan", 12, "a"),
            ("payload.Plan", 12, "2"),
        ] {
            assert_eq!(column(name)[row], Some(expected), "{name}");
        }
        assert_eq!(column("payload.lone")[12], Some("x\u{fffd}\u{fffd}\u{fffd}y"));
        assert_eq!(table.names.len(), 5 + KINDS.len() + 15, "{:?}", table.names);
        tables.push(table);
    }
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn columnar_files_say_what_is_special_about_columns() {
    let repository = stored();
    for format in [Format::Parquet, Format::Arrow] {
        let (path, _) = repository.export(format);
        let (schema, _) = batches(format, &path);
        assert_eq!(schema.metadata().get("argus.last_seq").map(String::as_str), Some("13"));
        assert_eq!(schema.metadata().get("argus.omitted_paths").map(String::as_str), Some("0"));
        for (name, key, value) in [
            ("payload.mixed", "argus.mixed", Some("integer,boolean,string,array,object")),
            ("payload.mixed", "argus.json", Some("true")),
            ("payload.half", "argus.mixed", Some("string,object")),
            ("payload.huge", "argus.mixed", Some("float,unrepresentable number")),
            ("payload.array", "argus.json", Some("true")),
            ("payload.array", "argus.mixed", None),
            ("payload.empty", "argus.json", Some("true")),
            ("payload.long", "argus.rounded", Some("true")),
            ("payload.float", "argus.rounded", None),
            ("payload.text", "argus.json", None),
        ] {
            let metadata = schema.field_with_name(name).unwrap().metadata();
            assert_eq!(metadata.get(key).map(String::as_str), value, "{name} {key}");
        }
    }
}

#[test]
fn parquet_is_compressed_and_has_dictionaries_and_statistics() {
    let mut repository = Repository::new();
    let line = |at: u32| {
        let payload = format!(r#"{{"n":{at},"plan":"plan-{}"}}"#, at % 3);
        format!(r#"{{"event_type":"t","timestamp":{},"payload":{payload}}}"#, 1_700_000_000 + at)
    };
    repository.store(&(0..5_000).map(line).collect::<Vec<_>>().join("\n"));
    let (path, _) = repository.export(Format::Parquet);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let file = builder.metadata().file_metadata();
    let pairs = file.key_value_metadata().unwrap();
    assert!(pairs.iter().any(|pair| pair.key == "argus.last_seq" && pair.value.as_deref() == Some("5000")));
    assert_eq!(builder.metadata().num_row_groups(), 1);
    let group = builder.metadata().row_group(0);
    for column in group.columns() {
        assert_eq!(column.compression(), Compression::SNAPPY);
        assert!(column.statistics().is_some(), "{}", column.column_path());
        // Pages have none, so that memory does not grow with their number.
        assert!(column.column_index_offset().is_none() && column.offset_index_offset().is_none());
        let has_dictionary = column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
        let path = column.column_path().string();
        assert_eq!(has_dictionary, ["event_type", "payload.n", "payload.plan"].contains(&path.as_str()), "{path}");
    }
}

#[test]
fn long_tables_come_in_several_batches() {
    let mut repository = Repository::new();
    let line = |at: u32| format!(r#"{{"event_type":"t","timestamp":{at},"payload":{{"n":{at}}}}}"#);
    repository.store(&(0..20_000).map(line).collect::<Vec<_>>().join("\n"));
    for format in [Format::Parquet, Format::Arrow] {
        let (path, written) = repository.export(format);
        assert_eq!(written.events, 20_000);
        let (_, batches) = batches(format, &path);
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.num_rows() <= 8192));
        let table = columnar_table(format, &path);
        assert!(table.rows.iter().zip(0_u32..).all(|(row, at)| row[5] == Some(at.to_string())));
        assert_eq!(table.rows.len(), 20_000);
    }
}

#[test]
fn csv_has_the_same_cells() {
    let repository = stored();
    let (parquet, _) = repository.export(Format::Parquet);
    let (path, written) = repository.export(Format::Csv);
    assert_eq!(written.events, 13);
    let (schema, _) = batches(Format::Parquet, &parquet);
    let (expected, found) = (columnar_table(Format::Parquet, &parquet), csv_table(&path));
    assert_eq!(found.names, expected.names);
    assert_eq!(found.rows.len(), expected.rows.len());
    for (row, expected) in found.rows.iter().zip(&expected.rows) {
        for ((field, found), expected) in schema.fields().iter().zip(row).zip(expected) {
            let found = found.as_deref().unwrap();
            let is_equal = match (field.data_type(), expected.as_deref()) {
                (_, None) => found.is_empty(),
                (DataType::Float64, Some(expected)) => is_same_number(found, expected),
                // The spelling of the payload may be `-0`.
                (DataType::Int64, Some(expected)) => found.parse::<i64>() == expected.parse(),
                (DataType::Timestamp(..), Some(expected)) => {
                    let nanos = argus_core::event::Timestamp::parse(found).unwrap().as_nanos();
                    expected == format!("{nanos} UTC")
                }
                (_, Some(expected)) => found == expected,
            };
            assert!(is_equal, "{}: {found:?} is not {expected:?}", field.name());
        }
    }
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("id,seq,event_type,timestamp,payload,") && text.ends_with("\r\n"));
}

#[test]
fn exported_lines_can_be_stored_again() {
    let repository = stored();
    let (path, written) = repository.export(Format::Ndjson);
    assert_eq!((written.events, written.columns), (13, 0));
    let text = fs::read_to_string(path).unwrap();
    let mut copy = Repository::new();
    copy.store_exported(&text);
    let (path, _) = copy.export(Format::Ndjson);
    let without_seq = |line: &str| {
        let (before, after) = line.split_once(",\"seq\":").unwrap();
        format!("{before},{}", after.split_once(',').unwrap().1)
    };
    let again = fs::read_to_string(path).unwrap();
    assert_eq!(again.lines().map(without_seq).collect::<Vec<_>>(), text.lines().map(without_seq).collect::<Vec<_>>());
}

#[test]
fn paths_beyond_the_limit_are_in_the_payload_alone() {
    let repository = stored();
    for format in [Format::Parquet, Format::Arrow] {
        let output = repository.folder().join(format!("few.{format}"));
        let export = Export { format, filter: Filter::default(), columns_max: 2, output };
        let (path, written) = repository.export_of(export);
        assert_eq!((written.columns, written.omitted), (2, Omitted { known: 26, has_others: false }));
        let (schema, _) = batches(format, &path);
        assert_eq!(schema.metadata().get("argus.omitted_paths").map(String::as_str), Some("26"));
        let table = columnar_table(format, &path);
        assert_eq!(table.names[5..], ["payload.float", "payload.text"]);
    }
}

#[test]
fn an_empty_repository_gives_a_file_without_rows() {
    let repository = Repository::new();
    for format in Format::ALL {
        let (path, written) = repository.export(format);
        assert_eq!((written.events, written.columns, written.last_seq), (0, 0, 0));
        match format {
            Format::Parquet | Format::Arrow => assert_eq!(columnar_table(format, &path).rows.len(), 0),
            Format::Csv => assert_eq!(fs::read(path).unwrap(), b"id,seq,event_type,timestamp,payload\r\n"),
            Format::Ndjson => assert_eq!(fs::read(path).unwrap(), b""),
        }
    }
}
