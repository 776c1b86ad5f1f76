//! The kinds of values at a path.

use argus_core::json::Value;

/// A kind of value. `null` is none: it is an absent value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number without fraction and exponent that fits into `i64`.
    Integer,
    /// Any other number that a `f64` can have, at least nearly.
    Float,
    /// A number that is too large for a `f64`, or so small that it would become zero.
    Unrepresentable,
    /// `true` or `false`.
    Boolean,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

/// Integers up to this size are exact in a `f64`.
const EXACT_MAX: u128 = 1 << f64::MANTISSA_DIGITS;

/// Integers up to this size are compared with what a `f64` makes of them: above it, the conversion back may saturate.
const COMPARED_MAX: u128 = 1 << 126;

impl Kind {
    const ALL: [Self; 7] =
        [Self::Integer, Self::Float, Self::Unrepresentable, Self::Boolean, Self::String, Self::Array, Self::Object];

    /// The kind of a JSON text; `None` for `null`.
    pub(crate) fn of(text: &str) -> Option<Self> {
        match Value::of(text) {
            Value::Number(token) => Some(Self::of_number(token)),
            Value::Bool(_) => Some(Self::Boolean),
            Value::String(_) => Some(Self::String),
            Value::Array => Some(Self::Array),
            Value::Object => Some(Self::Object),
            Value::Null => None,
        }
    }

    fn of_number(token: &str) -> Self {
        if token.parse::<i64>().is_ok() {
            return Self::Integer;
        }
        let mantissa = token.split(['e', 'E']).next().unwrap_or_default();
        let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
        match token.parse::<f64>() {
            Ok(value) if value.is_finite() && (value != 0.0 || is_zero) => Self::Float,
            Ok(_) | Err(_) => Self::Unrepresentable,
        }
    }

    /// The name in the metadata of a file.
    fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Unrepresentable => "unrepresentable number",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Kinds {
    /// The set of these kinds.
    pub(crate) fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | kind.bit()))
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        self.0 |= kind.bit();
    }

    /// Whether there is no kind that is not among these.
    pub(crate) fn are_among(self, kinds: &[Kind]) -> bool {
        self.0 & !Self::of(kinds).0 == 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether there are several.
    pub(crate) fn are_several(self) -> bool {
        self.0.count_ones() > 1
    }

    /// The names, between commas.
    pub(crate) fn names(self) -> String {
        let names = Kind::ALL.iter().filter(|kind| self.0 & kind.bit() != 0).map(|kind| kind.name());
        names.collect::<Vec<_>>().join(",")
    }
}

/// Whether an integer token, of any length, has a value that a `f64` cannot have. False for other tokens.
pub(crate) fn is_rounded_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    match token.parse::<i128>() {
        Ok(value) if value.unsigned_abs() <= EXACT_MAX => false,
        Ok(value) if value.unsigned_abs() <= COMPARED_MAX => value as f64 as i128 != value,
        // To call a longer one rounded is on the safe side.
        Ok(_) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_kinds() {
        for (text, kind) in [
            ("0", Some(Kind::Integer)),
            ("-9223372036854775808", Some(Kind::Integer)),
            ("9223372036854775807", Some(Kind::Integer)),
            ("9223372036854775808", Some(Kind::Float)),
            ("1.0", Some(Kind::Float)),
            ("1e2", Some(Kind::Float)),
            ("-0.0", Some(Kind::Float)),
            ("0e999", Some(Kind::Float)),
            ("1.7976931348623157e308", Some(Kind::Float)),
            ("5e-324", Some(Kind::Float)),
            ("1e400", Some(Kind::Unrepresentable)),
            ("-1e400", Some(Kind::Unrepresentable)),
            ("1e-400", Some(Kind::Unrepresentable)),
            ("true", Some(Kind::Boolean)),
            (r#""1""#, Some(Kind::String)),
            ("[]", Some(Kind::Array)),
            ("{}", Some(Kind::Object)),
            ("null", None),
        ] {
            assert_eq!(Kind::of(text), kind, "{text}");
        }
    }

    #[test]
    fn a_set_has_what_was_added() {
        let mut kinds = Kinds::default();
        assert!(kinds.is_empty() && kinds.are_among(&[]) && !kinds.are_several());
        for kind in Kind::ALL {
            kinds.add(kind);
            kinds.add(kind);
        }
        assert_eq!(kinds, Kinds::of(&Kind::ALL));
        assert_eq!(kinds.names(), "integer,float,unrepresentable number,boolean,string,array,object");
        assert!(!kinds.are_among(&[Kind::Integer, Kind::Array]) && kinds.are_several());
        assert!(Kinds::of(&[Kind::Array]).are_among(&[Kind::Integer, Kind::Array]));
    }

    #[test]
    fn integers_are_known_to_be_rounded() {
        for (token, is_rounded) in [
            ("9007199254740992", false),
            ("9007199254740993", true),
            ("-9007199254740993", true),
            ("9223372036854775808", false),
            ("18446744073709551615", true),
            ("18446744073709551616", false),
            ("170141183460469231731687303715884105727", true),
            ("0.1", false),
            ("1e300", false),
        ] {
            assert_eq!(is_rounded_integer(token), is_rounded, "{token}");
        }
    }
}
