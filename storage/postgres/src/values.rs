//! How values are sent to a server and read back.

use std::error::Error;

use argus_core::event::Timestamp;
use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Microseconds from the Unix epoch to 2000-01-01, from which PostgreSQL counts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Microseconds since the Unix epoch: the precision of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) i64);

/// A time as two columns: whole microseconds, and the nanoseconds beyond them.
pub(crate) fn split(time: Timestamp) -> (Micros, i16) {
    let nanos = time.as_nanos();
    (Micros(nanos.div_euclid(1_000)), i16::try_from(nanos.rem_euclid(1_000)).expect("it is below 1,000"))
}

/// The time that [`split`] has made two columns of; `None` if there is none.
pub(crate) fn join(micros: Micros, nanos: i16) -> Option<Timestamp> {
    let is_fraction = (0..1_000).contains(&nanos);
    let nanos = i128::from(micros.0) * 1_000 + i128::from(nanos);
    i64::try_from(nanos).ok().filter(|_| is_fraction).map(Timestamp::from_nanos)
}

/// Whether PostgreSQL can have a text. No stored text has U+0000.
pub(crate) fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

impl ToSql for Micros {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0.checked_sub(EPOCH_MICROS).ok_or("a time out of range")?);
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl FromSql<'_> for Micros {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.checked_add(EPOCH_MICROS).ok_or("a time out of range")?))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_it_was_split() {
        for nanos in [0, 1, -1, 999, 1_000, -1_000, 1_700_000_000_123_456_789, i64::MIN, i64::MAX] {
            let (micros, rest) = split(Timestamp::from_nanos(nanos));
            assert_eq!(join(micros, rest), Some(Timestamp::from_nanos(nanos)), "{nanos}");
        }
        assert_eq!(split(Timestamp::from_nanos(-1)), (Micros(-1), 999));
        assert_eq!(join(Micros(0), 1_000), None);
        assert_eq!(join(Micros(0), -1), None);
        assert_eq!(join(Micros(i64::MAX), 0), None);
    }
}
