//! Timestamps: any text, against naive rules.

use argus_core::event::Timestamp;

use super::super::{Target, time_model};

pub(super) const TARGET: Target = Target {
    name: "time",
    about: "times and numbers are read as naive rules say, and written so that they are read again",
    run: time,
    seeds,
    words: &["T", "t", "Z", "z", "UTC", "+00:00", "-0330", "+14", ".000000001", ":60", "e-9", "E3", "1e11", "23:59:60"],
    smoke_runs: 3_000,
};

/// # Panics
///
/// If a text is read as another time than the model says, or is not written as it can be read.
fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Timestamp::parse(text).ok();
    assert_eq!(read.map(Timestamp::as_nanos), time_model::text(text), "{text:?}");
    // A JSON number is a time by itself; other texts of numbers need quotes.
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|json| json.get() == text);
    let is_number = is_json && text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let number = Timestamp::parse_number(text).ok();
    assert_eq!(number, read.filter(|_| is_number), "{text:?} as a number");
    if let Some(time) = read {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time), "{text:?} is written as {time}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "2026-03-07T12:00:00Z",
        "2026-03-07 12:00:00.123456789 +0530",
        "1677-09-21T00:12:43.145224192Z",
        "2262-04-11T23:47:16.854775807Z",
        "2016-12-31T23:59:60Z",
        "2000-02-29t23:59:59.999-23:59",
        "1772884800",
        "-1772884800.123456789",
        "99999999999.9999999990",
        "100000000000000000",
        "1772884800123e-3",
        "+007",
        "9223372036854775807",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
