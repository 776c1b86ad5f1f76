//! Buckets of time in UTC.

use argus_core::event::Timestamp;

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400;

/// The first second of the bucket of a time, by the text of the interval.
pub(super) fn start_of(interval: &str, time: Timestamp) -> i128 {
    let second = i128::from(time.as_nanos()).div_euclid(SECOND);
    let day = second.div_euclid(DAY);
    let month_start = |months: i128| {
        let (year, month) = month_of(day);
        let first = (month - 1) / months * months + 1;
        day_of(year, first) * DAY
    };
    match interval {
        "1d" => day * DAY,
        // 1970-01-01 was a Thursday.
        "1w" => ((day + 3).div_euclid(7) * 7 - 3) * DAY,
        "1mo" => month_start(1),
        "1q" => month_start(3),
        "1y" => month_start(12),
        other => {
            let (number, unit) = other.split_at(other.len() - 1);
            let number: i128 = number.parse().expect("an interval begins with a number");
            let seconds = match unit {
                "s" => number,
                "m" => number * 60,
                _ => number * 3_600,
            };
            second.div_euclid(seconds) * seconds
        }
    }
}

/// The start of the next bucket.
pub(super) fn after(interval: &str, start: i128) -> i128 {
    let step = match interval.trim_start_matches(|character: char| character.is_ascii_digit()) {
        "s" => 1,
        "m" | "h" => 60,
        _ => DAY,
    };
    let mut next = start;
    loop {
        next += step;
        let Ok(nanos) = i64::try_from(next * SECOND) else { return next };
        let bucket = start_of(interval, Timestamp::from_nanos(nanos));
        if bucket > start {
            return bucket;
        }
    }
}

/// The start of a bucket as RFC 3339.
pub(super) fn text(start: i128) -> String {
    let (day, second) = (start.div_euclid(DAY), start.rem_euclid(DAY));
    let (year, month) = month_of(day);
    let date = day - day_of(year, month) + 1;
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// The year and month of a day since 1970-01-01.
fn month_of(day: i128) -> (i128, i128) {
    let mut year = 1970 + day.div_euclid(366);
    while day_of(year + 1, 1) <= day {
        year += 1;
    }
    while day_of(year, 1) > day {
        year -= 1;
    }
    let month = (1..=12).rev().find(|month| day_of(year, *month) <= day).expect("January begins with the year");
    (year, month)
}

/// The day since 1970-01-01 on which a month begins.
fn day_of(year: i128, month: i128) -> i128 {
    let leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = year - 1;
    let since_year_1 = before * 365 + before / 4 - before / 100 + before / 400;
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months: i128 = lengths.iter().take(usize::try_from(month - 1).expect("months begin with 1")).sum();
    since_year_1 + months - 719_162
}
