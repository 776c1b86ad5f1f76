//! Numbers and times as MongoDB has them.

use argus_core::event::Timestamp;
use mongodb::bson::{Bson, DateTime, Uuid};

/// The nanoseconds of a millisecond.
const NANOS: i64 = 1_000_000;

/// A time as two fields: a date in whole milliseconds, and the nanoseconds beyond them.
pub(crate) fn split(time: Timestamp) -> (DateTime, i32) {
    let nanos = time.as_nanos();
    let beyond = i32::try_from(nanos.rem_euclid(NANOS)).expect("it is below a million");
    (DateTime::from_millis(nanos.div_euclid(NANOS)), beyond)
}

/// The time that [`split`] has made two fields of; `None` if there is none.
pub(crate) fn join(date: DateTime, beyond: i32) -> Option<Timestamp> {
    let is_fraction = (0..NANOS).contains(&i64::from(beyond));
    let nanos = i128::from(date.timestamp_millis()) * i128::from(NANOS) + i128::from(beyond);
    i64::try_from(nanos).ok().filter(|_| is_fraction).map(Timestamp::from_nanos)
}

/// A sequence number for MongoDB. Higher ones than it knows do not occur.
pub(crate) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A number of things in the head as one in memory.
pub(crate) fn count(number: i64) -> usize {
    usize::try_from(number).expect("a head with a negative number is not read, and larger ones do not occur")
}

/// The id in a value; `None` if it is something else.
pub(crate) fn uuid(value: &Bson) -> Option<Uuid> {
    let Bson::Binary(binary) = value else { return None };
    binary.to_uuid().ok()
}

/// A number of things in memory as a number of MongoDB.
pub(crate) fn count_of(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_it_was_split() {
        for nanos in [0, 1, -1, 999_999, 1_000_000, -1_000_000, 1_700_000_000_123_456_789, i64::MIN, i64::MAX] {
            let (date, beyond) = split(Timestamp::from_nanos(nanos));
            assert_eq!(join(date, beyond), Some(Timestamp::from_nanos(nanos)), "{nanos}");
        }
        assert_eq!(split(Timestamp::from_nanos(-1)), (DateTime::from_millis(-1), 999_999));
        assert_eq!(join(DateTime::from_millis(0), 1_000_000), None);
        assert_eq!(join(DateTime::from_millis(0), -1), None);
        assert_eq!(join(DateTime::from_millis(i64::MAX), 0), None);
    }
}
