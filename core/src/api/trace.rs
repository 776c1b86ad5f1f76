//! The trace that a request belongs to: the field `traceparent` of W3C Trace Context.
//!
//! A caller that traces its requests sends the id of the trace and of its own span. The server logs both, and answers
//! with a `traceparent` that names the same trace and the server's span, so that a log line is found from the trace and
//! the trace from a log line. A request without a trace gets none: nobody would look for it. `tracestate` belongs to
//! the tracing systems of others; the server calls no further services, so there is nobody to pass it on to.

use alloc::format;
use alloc::string::String;
use core::num::{NonZeroU64, NonZeroU128};

use super::RequestHead;
use super::fields::{trim, values};
use crate::hex;

/// The length of a field of version 00, and the least length of one of a later version.
const LENGTH: usize = 55;

/// Sampled, and random trace id (level 2). Other bits are reserved: they are zero in what is sent.
const KNOWN_FLAGS: u8 = 0b11;

/// The trace of a request, as its caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    parent_id: NonZeroU64,
    flags: u8,
}

impl TraceContext {
    /// The trace that the caller names. An invalid field, or more than one, is as good as none (Trace Context, section
    /// 3.2.2.5): a request is never refused for it.
    ///
    /// A later version than 00 is read as far as version 00 defines it (section 3.2.4).
    #[must_use]
    pub fn of(head: &RequestHead<'_>) -> Option<Self> {
        let mut fields = values(head, "traceparent");
        match (fields.next(), fields.next()) {
            (Some(field), None) => Self::parse(trim(field)),
            (_, _) => None,
        }
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (known, further) = field.split_at_checked(LENGTH)?;
        let mut parts = known.split(|&byte| byte == b'-');
        let version = number(parts.next()?, 2)?;
        let (trace_id, parent_id) = (number(parts.next()?, 32)?, number(parts.next()?, 16)?);
        let flags = number(parts.next()?, 2)?;
        let is_whole = match version {
            0 => further.is_empty(),
            0xff => false,
            _ => matches!(further.first(), None | Some(b'-')),
        };
        Some(Self {
            trace_id: NonZeroU128::new(trace_id)?,
            parent_id: NonZeroU64::new(u64::try_from(parent_id).ok()?)?,
            flags: u8::try_from(flags).ok()? & KNOWN_FLAGS,
        })
        .filter(|_| is_whole && parts.next().is_none())
    }

    /// The 32 hexadecimal digits of the trace.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The 16 hexadecimal digits of the caller's span.
    #[must_use]
    pub fn parent_id(&self) -> String {
        hex::digits(self.parent_id.get())
    }

    /// The field `traceparent` of the answer: the same trace, and the server's span.
    #[must_use]
    pub fn answer(&self, span_id: NonZeroU64) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, span_id, self.flags)
    }
}

/// The number that exactly this many hexadecimal digits in lower case are.
fn number(digits: &[u8], count: usize) -> Option<u128> {
    let is_lower = |byte: &u8| !byte.is_ascii_uppercase();
    if digits.len() != count || !digits.iter().all(is_lower) {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| Some(number << 4 | u128::from(hex::value(digit)?)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn parsed(field: &str) -> Option<TraceContext> {
        let headers = [("traceparent", field.as_bytes())];
        TraceContext::of(&RequestHead { headers: &headers, ..RequestHead::default() })
    }

    #[test]
    fn a_valid_field_is_answered_with_the_same_trace_and_another_span() {
        for (flags, answered) in [("00", "00"), ("01", "01"), ("03", "03"), ("fd", "01")] {
            let trace = parsed(&format!("00-{TRACE}-{PARENT}-{flags}")).unwrap();
            assert_eq!((trace.trace_id().as_str(), trace.parent_id().as_str()), (TRACE, PARENT));
            let span = NonZeroU64::new(0xabc).unwrap();
            assert_eq!(trace.answer(span), format!("00-{TRACE}-0000000000000abc-{answered}"));
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for further in ["", "-", "-what the future brings"] {
            assert!(parsed(&format!("cc-{TRACE}-{PARENT}-01{further}")).is_some(), "{further}");
        }
        assert_eq!(parsed(&format!("cc-{TRACE}-{PARENT}-01.")), None);
        assert_eq!(parsed(&format!("ff-{TRACE}-{PARENT}-01")), None);
    }

    #[test]
    fn invalid_fields_are_ignored() {
        let (zeros, upper) = ("0".repeat(32), TRACE.to_ascii_uppercase());
        for field in [
            "",
            "-",
            "00",
            &format!("00-{TRACE}-{PARENT}"),
            &format!("00-{TRACE}-{PARENT}-1"),
            &format!("00-{TRACE}-{PARENT}-001"),
            &format!("00-{TRACE}-{PARENT}-01-"),
            &format!("00-{TRACE}-{PARENT}-01-more"),
            &format!("00-{zeros}-{PARENT}-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{upper}-{PARENT}-01"),
            &format!("00-{TRACE}-{PARENT}-0g"),
            &format!("00-{TRACE}-{PARENT}-+1"),
            &format!("00_{TRACE}_{PARENT}_01"),
            &format!("000-{}-{PARENT}-01", TRACE.split_at(31).0),
            &format!("0x-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(parsed(field), None, "{field}");
        }
        let field = format!("00-{TRACE}-{PARENT}-01");
        let headers = [("traceparent", field.as_bytes()), ("traceparent", field.as_bytes())];
        assert_eq!(TraceContext::of(&RequestHead { headers: &headers, ..RequestHead::default() }), None);
        assert!(parsed(&format!(" \t{field} ")).is_some());
    }
}
