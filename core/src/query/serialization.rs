//! Serializes paths and operands as text, in the form that they have in a query string.

use alloc::string::String;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

use super::{Operand, PayloadPath};

impl Serialize for PayloadPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PayloadPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Operand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Operand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::ToString as _;
    use alloc::vec;
    use core::num::NonZeroU32;

    use super::*;
    use crate::event::Timestamp;
    use crate::query::{Filter, Order, PayloadFilter, Position, Scan, Test, TypeTest};

    #[test]
    fn scans_round_trip_through_json() {
        let at = |nanos| Some(Timestamp::from_nanos(nanos));
        let test = |path: &str, test| PayloadFilter { path: PayloadPath::parse(path).unwrap(), test };
        let scan = Scan {
            filter: Filter {
                types: Some(vec![TypeTest::Eq("a".into()), TypeTest::Prefix("b.".into())]),
                ids: None,
                start: at(0),
                end: at(1),
                payload: vec![
                    test(r"a\.b.c", Test::Gte(Operand::new("1e3"))),
                    test("d", Test::Exists(false)),
                    test("", Test::Contains("x".into())),
                ],
                after_seq: Some(7),
            },
            order: Order::Sequence,
            from: Some(Position { timestamp: Timestamp::from_nanos(0), seq: 9 }),
            limit: NonZeroU32::new(10),
            to: None,
            up_to_seq: Some(11),
        };
        let text = concat!(
            r#"{"filter":{"types":[{"eq":"a"},{"prefix":"b."}],"ids":null,"#,
            r#""start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:00.000000001Z","#,
            r#""payload":[{"path":"a\\.b.c","test":{"gte":"1e3"}},{"path":"d","test":{"exists":false}},"#,
            r#"{"path":"","test":{"contains":"x"}}],"after_seq":7},"order":"sequence","#,
            r#""from":{"timestamp":"1970-01-01T00:00:00Z","seq":9},"limit":10,"to":null,"up_to_seq":11}"#
        );
        assert_eq!(serde_json::to_string(&scan).unwrap(), text);
        assert_eq!(serde_json::from_str::<Scan>(text).unwrap(), scan);
        assert_eq!(serde_json::from_str::<Scan>("{}").unwrap(), Scan::default());
    }

    #[test]
    fn invalid_scans_are_refused() {
        for (text, reason) in [
            (r#"{"filter":{"start":"yesterday"}}"#, "not RFC 3339"),
            (r#"{"filter":{"payload":[{"path":"a\\b","test":{"eq":"1"}}]}}"#, "must be followed by"),
            (r#"{"filter":{"types":["a"]}}"#, "unknown variant `a`"),
            (r#"{"filter":{"type":["a"]}}"#, "unknown field `type`"),
            (r#"{"limit":0}"#, "nonzero"),
            (r#"{"order":"desc"}"#, "unknown variant `desc`"),
        ] {
            let error = serde_json::from_str::<Scan>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}, not {reason}");
        }
    }
}
