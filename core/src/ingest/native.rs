//! Reads native events: objects with the members that Argus defines.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use super::FaultCode;
use super::collector::{Collector, Last};
use super::field::{Field, read_id, read_string, read_time, read_type};
use super::pointer::write_token;
use crate::batch::NewEvent;
use crate::json::{RawString, Scanner, SyntaxError};

/// The detail of the fault for a sequence number. Events from an answer have one.
const SEQ_IS_ASSIGNED: &str = "seq is assigned by the repository; to store events of an answer again, add \
    ?type_from=/event_type&time_from=/timestamp&id_from=/id&payload_from=/payload";

impl Collector<'_, '_> {
    /// Parses the next value, an object, as a native event.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`].
    pub(super) fn read_native(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
        let mut event_type = Field::default();
        let mut timestamp = Field::default();
        let mut payload = Field::default();
        let mut id = Field::default();
        let faults_before = self.fault_count;
        scanner.object(|name, scanner| {
            let value = scanner.value()?;
            if name.equals("event_type") {
                event_type.set(value);
            } else if name.equals("timestamp") {
                timestamp.set(value);
            } else if name.equals("payload") {
                payload.set(value);
            } else if name.equals("id") {
                id.set(value);
            } else {
                self.unknown_field(name);
            }
            Ok(())
        })?;
        last.check(scanner)?;

        for (field, name, required) in [
            (&event_type, "event_type", true),
            (&timestamp, "timestamp", true),
            (&payload, "payload", true),
            (&id, "id", false),
        ] {
            if field.repeated {
                self.fault(
                    |out| write_token(name, out),
                    FaultCode::DuplicateField,
                    || format!("{name} is given more than once"),
                );
            } else if required && field.value.is_none() {
                self.fault(|out| write_token(name, out), FaultCode::MissingField, || format!("{name} is required"));
            }
        }

        let mut scratch = core::mem::take(&mut self.scratch);
        let event_type = event_type
            .once()
            .map(|span| read_string(span.raw, "event_type", &mut scratch.event_type).and_then(read_type));
        let timestamp = timestamp.once().map(|span| read_time(span.raw, &mut scratch.timestamp));
        let payload = payload.once().map(|span| self.read_payload(span, &mut scratch.payload));
        let id = id.once().map(|span| read_string(span.raw, "id", &mut scratch.id).and_then(read_id));
        let event_type = self.accept(event_type, |out| write_token("event_type", out));
        let timestamp = self.accept(timestamp, |out| write_token("timestamp", out));
        let payload = self.accept(payload, |out| write_token("payload", out));
        let id = self.accept(id, |out| write_token("id", out));
        if self.fault_count == faults_before
            && let (Some(event_type), Some(timestamp), Some(payload)) = (event_type, timestamp, payload)
        {
            self.push(NewEvent { event_type, timestamp, payload, id });
        }
        self.scratch = scratch;
        Ok(())
    }

    fn unknown_field(&mut self, name: RawString<'_>) {
        let bytes = name.bytes();
        let name = String::from_utf8_lossy(&bytes);
        // A name can be as long as the body. Its beginning is enough to find it.
        let shown: String = name.chars().take(100).collect();
        self.fault(
            |out| write_token(&shown, out),
            FaultCode::UnknownField,
            || match &*shown {
                "seq" => SEQ_IS_ASSIGNED.to_owned(),
                _ => format!("{shown:?} is not a field of an event; put free-form data into payload"),
            },
        );
    }
}
