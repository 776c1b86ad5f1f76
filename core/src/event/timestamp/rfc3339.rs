//! Parses and formats `date-time` of RFC 3339, section 5.6, and parses the variants of it that other products write.
//! Written by hand, since general date parsers accept more and are slower.

use super::calendar::Date;
use super::{NANOS_PER_SECOND, SECONDS_PER_DAY, Timestamp, TimestampError};

/// Longest text of [`format`], in bytes.
const TEXT_BYTES_MAX: usize = 30;
/// Length of date and time without fraction and offset, in bytes.
const LOCAL_BYTES: usize = 19;

pub(super) fn parse(text: &str) -> Result<Timestamp, TimestampError> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    let year = reader.digits::<4>("expected a digit of the year")?;
    reader.byte(b"-", "expected '-' after the year")?;
    let month = reader.digits::<2>("expected a digit of the month")?;
    reader.byte(b"-", "expected '-' after the month")?;
    let day = reader.digits::<2>("expected a digit of the day")?;
    reader.byte(b"Tt ", "expected 'T' and a time such as 12:00:00Z")?;
    let hour = reader.digits::<2>("expected a digit of the hour")?;
    reader.byte(b":", "expected ':' after the hour")?;
    let minute = reader.digits::<2>("expected a digit of the minute")?;
    reader.byte(b":", "expected ':' after the minute")?;
    let second = reader.digits::<2>("expected a digit of the second")?;
    let nanos = reader.fraction()?;
    let offset = reader.offset()?;
    if reader.peek().is_some() {
        return Err(reader.error("expected the end"));
    }

    let date = Date { year, month, day };
    in_range(month, 1, 12, "month")?;
    in_range(day, 1, date.days_in_month(), "day")?;
    in_range(hour, 0, 23, "hour")?;
    in_range(minute, 0, 59, "minute")?;
    in_range(second, 0, 60, "second")?;
    let Some(offset_seconds) = offset else {
        let local = text.get(..LOCAL_BYTES).unwrap_or(text).replace(' ', "T");
        return Err(TimestampError::NoOffset { local: local.into() });
    };
    let seconds = date.to_days() * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset_seconds;
    // The sum counts 23:59:60 as 00:00:00 of the next day.
    if second == 60 && seconds.rem_euclid(SECONDS_PER_DAY) != 0 {
        return Err(TimestampError::Field { field: "second" });
    }
    // Errors of the grammar take precedence over a fraction that is too fine.
    let nanos = nanos.ok_or(TimestampError::TooFine)?;
    // In 128 bits: at the start of the range, the whole seconds do not fit into 64 bits, but the sum does.
    let total = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    i64::try_from(total).map(Timestamp).map_err(|_| TimestampError::OutOfRange)
}

/// The text of a timestamp.
pub(super) struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    pub(super) fn as_bytes(&self) -> &[u8] {
        let (text, _) = self.bytes.split_at(self.len);
        text
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("digits and punctuation are ASCII")
    }
}

pub(super) fn format(timestamp: Timestamp) -> Text {
    let seconds = timestamp.0.div_euclid(NANOS_PER_SECOND);
    let nanos = timestamp.0.rem_euclid(NANOS_PER_SECOND);
    let Date { year, month, day } = Date::from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);

    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    [text[0], text[1]] = two_digits(year / 100);
    [text[2], text[3]] = two_digits(year % 100);
    [text[5], text[6]] = two_digits(month);
    [text[8], text[9]] = two_digits(day);
    [text[11], text[12]] = two_digits(second_of_day / 3_600);
    [text[14], text[15]] = two_digits(second_of_day / 60 % 60);
    [text[17], text[18]] = two_digits(second_of_day % 60);
    if nanos == 0 {
        text[19] = b'Z';
        return Text { bytes: text, len: 20 };
    }
    [text[20], text[21]] = two_digits(nanos / 10_000_000);
    [text[22], text[23]] = two_digits(nanos / 100_000 % 100);
    [text[24], text[25]] = two_digits(nanos / 1_000 % 100);
    [text[26], text[27]] = two_digits(nanos / 10 % 100);
    [_, text[28]] = two_digits(nanos % 10);
    if nanos % 1_000_000 == 0 {
        text[23] = b'Z';
        Text { bytes: text, len: 24 }
    } else if nanos % 1_000 == 0 {
        text[26] = b'Z';
        Text { bytes: text, len: 27 }
    } else {
        Text { bytes: text, len: TEXT_BYTES_MAX }
    }
}

/// Reads a text from its start.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, reason: &'static str) -> TimestampError {
        TimestampError::Grammar { reason, at: self.at }
    }

    /// Reads exactly `N` digits.
    fn digits<const N: usize>(&mut self, reason: &'static str) -> Result<i64, TimestampError> {
        let chunk = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        if let Some(digits) = chunk.filter(|chunk| chunk.iter().all(u8::is_ascii_digit)) {
            self.at += N;
            return Ok(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Err(self.error(reason))
    }

    fn byte(&mut self, allowed: &[u8], reason: &'static str) -> Result<u8, TimestampError> {
        match self.peek() {
            Some(byte) if allowed.contains(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            _ => Err(self.error(reason)),
        }
    }

    /// Reads an optional fraction in nanoseconds; `None` if it is finer than a nanosecond.
    fn fraction(&mut self) -> Result<Option<i64>, TimestampError> {
        if self.peek() != Some(b'.') {
            return Ok(Some(0));
        }
        self.at += 1;
        let mut nanos = self.digits::<1>("expected a digit of the fraction")? * (NANOS_PER_SECOND / 10);
        let mut unit = NANOS_PER_SECOND / 100;
        let mut exact = true;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            nanos += i64::from(digit - b'0') * unit;
            exact &= unit > 0 || digit == b'0';
            unit /= 10;
            self.at += 1;
        }
        Ok(exact.then_some(nanos))
    }

    /// Reads the offset in seconds east of UTC; `None` if there is none.
    fn offset(&mut self) -> Result<Option<i64>, TimestampError> {
        match self.peek() {
            None => return Ok(None),
            Some(b' ') => self.at += 1,
            Some(_) => {}
        }
        if self.bytes.get(self.at..) == Some(b"UTC") {
            self.at += b"UTC".len();
            return Ok(Some(0));
        }
        let sign = match self.byte(b"Zz+-", "expected 'Z', '+' or '-'")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(Some(0)),
        };
        let hour = self.digits::<2>("expected a digit of the offset's hour")?;
        let minute = match self.peek() {
            None => 0,
            Some(byte) => {
                self.at += usize::from(byte == b':');
                self.digits::<2>("expected a digit of the offset's minute")?
            }
        };
        in_range(hour, 0, 23, "offset hour")?;
        in_range(minute, 0, 59, "offset minute")?;
        Ok(Some(sign * (hour * 3_600 + minute * 60)))
    }
}

fn in_range(value: i64, low: i64, high: i64, field: &'static str) -> Result<(), TimestampError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(TimestampError::Field { field }) }
}

/// The decimal digits of a number below 100.
const fn two_digits(value: i64) -> [u8; 2] {
    [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    fn nanos(text: &str) -> Result<i64, TimestampError> {
        parse(text).map(Timestamp::as_nanos)
    }

    #[test]
    fn the_examples_of_the_rfc_are_parsed() {
        for (text, shown) in [
            ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520Z"),
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
            ("1990-12-31T23:59:60Z", "1991-01-01T00:00:00Z"),
            ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00Z"),
            ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870Z"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()), Ok(shown.to_string()), "{text}");
        }
    }

    #[test]
    fn variants_of_the_separator_and_the_offset_are_parsed() {
        for (text, shown) in [
            ("2015-02-03T04:05:06+0130", "2015-02-03T02:35:06Z"),
            ("2015-02-03T04:05:06-0330", "2015-02-03T07:35:06Z"),
            ("2015-02-03T04:05:06+01", "2015-02-03T03:05:06Z"),
            ("2015-02-03T04:05:06.5-03", "2015-02-03T07:05:06.500Z"),
            ("2015-02-03T04:05:06-00", "2015-02-03T04:05:06Z"),
            ("2015-02-03T04:05:06-0000", "2015-02-03T04:05:06Z"),
            ("2015-02-03 04:05:06Z", "2015-02-03T04:05:06Z"),
            ("2015-02-03 04:05:06.25+00", "2015-02-03T04:05:06.250Z"),
            ("2015-02-03 04:05:06 +0200", "2015-02-03T02:05:06Z"),
            ("2015-02-03 04:05:06 z", "2015-02-03T04:05:06Z"),
            ("2015-02-03T04:05:06 -02:00", "2015-02-03T06:05:06Z"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()), Ok(shown.to_string()), "{text}");
        }
    }

    #[test]
    fn the_error_about_a_missing_offset_has_the_time_with_one() {
        for (text, example) in [
            ("2015-02-03T04:05:06", "2015-02-03T04:05:06Z"),
            ("2015-02-03 04:05:06", "2015-02-03T04:05:06Z"),
            ("2015-02-03t04:05:06.1234567890123", "2015-02-03t04:05:06Z"),
        ] {
            let error = parse(text).map_err(|error| error.to_string());
            let expected = format!("a time needs an offset: 'Z' for UTC, as in {example}, or one such as -05:00");
            assert_eq!(error, Err(expected), "{text}");
            assert!(parse(example).is_ok());
        }
    }

    #[test]
    fn errors_of_the_grammar_have_the_offset() {
        for (text, at) in [
            ("", 0),
            ("2015", 4),
            ("2015-02-03", 10),
            ("2015-02-03  04:05:06Z", 11),
            ("2015-02-03T 04:05:06Z", 11),
            ("2015-02-03T04:05Z", 16),
            ("2015-02-03T04:05:06 ", 20),
            ("2015-02-03T04:05:06  Z", 20),
            ("2015-02-03T04:05:06 01:00", 20),
            ("2015-02-03T04:05:06+", 20),
            ("2015-02-03T04:05:06+1", 21),
            ("2015-02-03T04:05:06+01:", 23),
            ("2015-02-03T04:05:06+010", 23),
            ("2015-02-03T04:05:06+01:000", 25),
            ("2015-02-03T04:05:06+01Z", 22),
            ("2015-02-03T04:05:06.Z", 20),
            ("2015-02-03T04:05:06,5Z", 19),
            ("2015-02-03T04:05:06Z ", 20),
            (" 2015-02-03T04:05:06Z", 0),
            ("2015-2-03T04:05:06Z", 6),
            ("+2015-02-03T04:05:06Z", 0),
            ("-2015-02-03T04:05:06Z", 0),
            ("2015-02-03T04:05:06\u{2212}01:00", 19),
            ("２015-02-03T04:05:06Z", 0),
        ] {
            let found = match nanos(text) {
                Err(TimestampError::Grammar { at, .. }) => Some(at),
                _ => None,
            };
            assert_eq!(found, Some(at), "{text}");
        }
        assert_eq!(nanos("1970-01-01t00:00:01z"), Ok(NANOS_PER_SECOND));
        assert_eq!(nanos("1970-01-01T00:00:01-00:00"), Ok(NANOS_PER_SECOND));
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        for (text, field) in [
            ("2015-00-03T04:05:06Z", "month"),
            ("2015-13-03T04:05:06Z", "month"),
            ("2015-02-00T04:05:06Z", "day"),
            ("2015-02-29T04:05:06Z", "day"),
            ("1900-02-29T04:05:06Z", "day"),
            ("2015-04-31T04:05:06Z", "day"),
            ("2015-02-03T24:00:00Z", "hour"),
            ("2015-02-03T04:60:06Z", "minute"),
            ("2015-02-03T04:05:61Z", "second"),
            ("2015-02-03T04:05:60Z", "second"),
            ("2015-06-30T23:59:60+01:00", "second"),
            ("2015-02-03T04:05:06+24:00", "offset hour"),
            ("2015-02-03T04:05:06-24", "offset hour"),
            ("2015-02-03T04:05:06+0160", "offset minute"),
            ("2015-13-03T04:05:06", "month"),
            ("2015-02-03T04:05:06+01:60", "offset minute"),
        ] {
            assert_eq!(nanos(text), Err(TimestampError::Field { field }), "{text}");
        }
        assert!(nanos("2000-02-29T23:59:59.999999999+23:59").is_ok());
    }

    #[test]
    fn fractions_are_exact_to_the_nanosecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.1Z", Ok(100_000_000)),
            ("1970-01-01T00:00:00.123456789Z", Ok(123_456_789)),
            ("1970-01-01T00:00:00.12345678900000000000000000Z", Ok(123_456_789)),
            ("1969-12-31T23:59:59.999999999Z", Ok(-1)),
            ("1970-01-01T00:00:00.1234567891Z", Err(TimestampError::TooFine)),
            ("1970-01-01T00:00:00.12345678900000000000000001Z", Err(TimestampError::TooFine)),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn times_beyond_64_bits_are_refused() {
        for (text, expected) in [
            ("1677-09-21T00:12:43.145224192Z", Ok(i64::MIN)),
            ("1677-09-21T00:12:43.145224191Z", Err(TimestampError::OutOfRange)),
            ("2262-04-11T23:47:16.854775807Z", Ok(i64::MAX)),
            ("2262-04-11T23:47:16.854775808Z", Err(TimestampError::OutOfRange)),
            ("0000-01-01T00:00:00Z", Err(TimestampError::OutOfRange)),
            ("9999-12-31T23:59:59Z", Err(TimestampError::OutOfRange)),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
            if let Ok(nanos) = expected {
                assert_eq!(Timestamp(nanos).to_string(), text);
            }
        }
    }

    #[test]
    fn only_the_needed_fraction_digits_are_written() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_000_000, "1970-01-01T00:00:00.001Z"),
            (1_000, "1970-01-01T00:00:00.000001Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1_000, "1969-12-31T23:59:59.999999Z"),
            (1_425_168_000_120_000_000, "2015-03-01T00:00:00.120Z"),
        ] {
            assert_eq!(Timestamp(nanos).to_string(), text);
        }
    }
}
