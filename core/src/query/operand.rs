//! What values of payloads are compared with.

use alloc::boxed::Box;
use core::cmp::Ordering;

use super::candidate::Candidate;
use crate::json::{Decimal, Scanner, Value, Wanted, WantedStrings, number_bounds};

/// A text that values of payloads are compared with. How it is written says what it means:
///
/// - A JSON string with its quotes (`"500"`) is compared with strings, by bytes.
/// - A number is compared with numbers, by value. A string equals it if it has the bytes of the text; a string that is
///   a number too is greater or less by value. A number has digits, and may have a sign, leading zeros, a fraction and
///   an exponent.
/// - `true`, `false` and `null` equal the literal of this text, and the string of these bytes. Nothing is greater or
///   less.
/// - Any other text is compared with strings, by bytes.
///
/// What equals an operand is also neither greater nor less: `gte` and `lte` match it. Objects and arrays never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    text: Box<str>,
    meaning: Meaning,
}

/// What the text of an operand means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The bytes of the string between the quotes, without escapes.
    Quoted(Box<[u8]>),
    Number(Number),
    /// `true`, `false` or `null`.
    Literal,
    /// A string without quotes.
    Plain,
}

/// A [`Decimal`] that owns its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: Box<str>,
    scale: i64,
}

impl Operand {
    /// Creates an operand from its text.
    ///
    /// ```
    /// use argus_core::query::Operand;
    ///
    /// assert_eq!(Operand::new("1e3").as_str(), "1e3");
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        let meaning = match text {
            "true" | "false" | "null" => Meaning::Literal,
            _ => match (unquoted(text), Decimal::parse_text(text.as_bytes())) {
                (Some(string), _) => Meaning::Quoted(string),
                (None, Some(number)) => Meaning::Number(Number::of(number)),
                (None, None) => Meaning::Plain,
            },
        };
        Self { text: text.into(), meaning }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The only string that equals the operand: its bytes, without escapes. Numbers and literals may equal it, too.
    ///
    /// ```
    /// use argus_core::query::Operand;
    ///
    /// assert_eq!(Operand::new("500").string(), b"500");
    /// assert_eq!(Operand::new(r#""5\u0030\u0030""#).string(), b"500");
    /// ```
    ///
    /// A lone surrogate has the bytes that [`RawString::bytes`](crate::json::RawString::bytes) gives it.
    #[must_use]
    pub fn string(&self) -> &[u8] {
        match &self.meaning {
            Meaning::Quoted(own) => own,
            Meaning::Number(_) | Meaning::Literal | Meaning::Plain => self.text.as_bytes(),
        }
    }

    pub(super) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Whether a value equals the operand.
    pub(super) fn equals(&self, value: Candidate<'_>) -> bool {
        match (value, &self.meaning) {
            (Candidate::String(string), _) => string == self.string(),
            (Candidate::Number(number), Meaning::Number(own)) => number == own.decimal(),
            (Candidate::Literal(literal), Meaning::Literal) => literal == &*self.text,
            (Candidate::Number(_), Meaning::Quoted(_) | Meaning::Literal | Meaning::Plain)
            | (Candidate::Literal(_), Meaning::Quoted(_) | Meaning::Number(_) | Meaning::Plain)
            | (Candidate::Container, _) => false,
        }
    }

    /// All scalar values that may be equal to the operand, or also those that may be less, or greater.
    pub(super) fn wanted(&self, ordering: Ordering) -> Wanted {
        let text = || WantedStrings::One(self.text.as_bytes().into());
        let strings_in_order = |one: WantedStrings| if ordering.is_eq() { one } else { WantedStrings::All };
        match &self.meaning {
            Meaning::Quoted(own) => {
                let strings = strings_in_order(WantedStrings::One(own.clone()));
                Wanted { strings, numbers: None, literals: false }
            }
            Meaning::Plain => Wanted { strings: strings_in_order(text()), numbers: None, literals: false },
            Meaning::Literal => Wanted { strings: text(), numbers: None, literals: true },
            Meaning::Number(_) => {
                // Without bounds, any number is wanted.
                let (low, high) = number_bounds(&self.text).unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
                let numbers = match ordering {
                    Ordering::Less => (f64::NEG_INFINITY, high),
                    Ordering::Equal => (low, high),
                    Ordering::Greater => (low, f64::INFINITY),
                };
                // Strings that are numbers compare by value.
                Wanted { strings: strings_in_order(text()), numbers: Some(numbers), literals: false }
            }
        }
    }

    /// How a value compares with the operand; `None` if it does not.
    pub(super) fn order(&self, value: Candidate<'_>) -> Option<Ordering> {
        match (value, &self.meaning) {
            (Candidate::String(string), Meaning::Quoted(own)) => Some(string.cmp(own)),
            (Candidate::String(string), Meaning::Number(own)) => {
                Decimal::parse_text(string).map(|number| number.cmp(&own.decimal()))
            }
            (Candidate::String(string), Meaning::Plain) => Some(string.cmp(self.text.as_bytes())),
            (Candidate::Number(number), Meaning::Number(own)) => Some(number.cmp(&own.decimal())),
            (Candidate::String(_) | Candidate::Literal(_), Meaning::Literal) => {
                self.equals(value).then_some(Ordering::Equal)
            }
            (Candidate::Number(_), Meaning::Quoted(_) | Meaning::Literal | Meaning::Plain)
            | (Candidate::Literal(_), Meaning::Quoted(_) | Meaning::Number(_) | Meaning::Plain)
            | (Candidate::Container, _) => None,
        }
    }
}

impl Number {
    fn of(decimal: Decimal<'_>) -> Self {
        Self { negative: decimal.is_negative(), digits: decimal.digits().into(), scale: decimal.scale() }
    }

    fn decimal(&self) -> Decimal<'_> {
        Decimal::from_parts(self.negative, &self.digits, self.scale)
    }
}

/// The bytes of a JSON string without quotes and escapes; `None` if the text is anything else.
fn unquoted(text: &str) -> Option<Box<[u8]>> {
    // The scanner would skip white space around the string.
    if !text.starts_with('"') || !text.ends_with('"') {
        return None;
    }
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|_| scanner.end()).ok()?;
    match Value::of(text) {
        Value::String(string) => Some(string.bytes().into()),
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}
