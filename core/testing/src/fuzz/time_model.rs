//! The meaning of timestamps, from the documents and in the simplest way.

use std::cmp::Ordering;

use super::super::decimal;

/// Nanoseconds since the Unix epoch of a text; `None` if it is no valid time.
pub(super) fn text(text: &str) -> Option<i64> {
    date_and_time(text).or_else(|| number(text))
}

/// Nanoseconds since the Unix epoch of a number; `None` if the text is none, or if it is too large or too fine.
pub(super) fn number(text: &str) -> Option<i64> {
    if !decimal::is_number(text) {
        return None;
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_below = |limit: &str| decimal::compare(unsigned, limit) == Ordering::Less;
    let shift = match () {
        () if is_below("1e11") => 9,
        () if is_below("1e14") => 6,
        () if is_below("1e17") => 3,
        () => 0,
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let furthest = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let exponent: i64 = exponent.parse().unwrap_or(furthest).clamp(i64::MIN / 2, i64::MAX / 2);
    let zeros = count(digits) - count(significant);
    // The value in nanoseconds is significant × 10^power.
    let power = exponent - count(fraction) + zeros + shift;
    if power < 0 || power + count(significant) > 20 {
        return None;
    }
    let zeros = "0".repeat(usize::try_from(power).expect("from 0 to 20"));
    let sign = if text.starts_with('-') { "-" } else { "" };
    format!("{sign}{significant}{zeros}").parse().ok()
}

/// As [`text`], for a date and a time.
fn date_and_time(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (local, rest) = text.split_at_checked(19)?;
    let is_punctuation = |at: usize, allowed: &str| local.get(at..=at).is_some_and(|sign| allowed.contains(sign));
    if !(is_punctuation(4, "-") && is_punctuation(7, "-") && is_punctuation(10, "Tt ")) {
        return None;
    }
    if !(is_punctuation(13, ":") && is_punctuation(16, ":")) {
        return None;
    }
    let field = |from: usize, to: usize| local.get(from..to).and_then(digits);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let (nanos, rest) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
            let (fraction, rest) = rest.split_at(end);
            let exact = fraction.trim_end_matches('0');
            if fraction.is_empty() || exact.len() > 9 {
                return None;
            }
            (digits(&format!("{exact:0<9}"))?, rest)
        }
    };
    let east = offset(rest.strip_prefix(' ').unwrap_or(rest))?;
    let in_range = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    // Years outside of these cannot be stored.
    if !in_range || hour > 23 || minute > 59 || second > 60 || !(1677..=2262).contains(&year) {
        return None;
    }
    let years: i64 =
        if year >= 1970 { (1970..year).map(days_in_year).sum() } else { -(year..1970).map(days_in_year).sum::<i64>() };
    let days = years + (1..month).map(|month| days_in_month(year, month)).sum::<i64>() + day - 1;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - east;
    if second == 60 && seconds.rem_euclid(86_400) != 0 {
        return None;
    }
    i64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)).ok()
}

/// Seconds east of UTC; `None` if the text is no offset.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let (hour, minute) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at(2),
        5 => rest.split_once(':').filter(|(hour, _)| hour.len() == 2)?,
        _ => return None,
    };
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3_600 + minute * 60))
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn count(text: &str) -> i64 {
    i64::try_from(text.len()).expect("a length has at most 63 bits")
}
