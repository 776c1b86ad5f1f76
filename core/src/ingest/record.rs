//! Reads foreign records: objects in which the pointers of a mapping locate the fields of an event.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::collector::{Collector, Last};
use super::field::{read_id, read_id_part, read_name, read_time, read_type};
use super::pointer::{Pointer, Resolution};
use super::{FaultCode, Mapping, TimeSource, TypeSource};
use crate::batch::NewEvent;
use crate::event::{CLIENT_ID_BYTES_MAX, ClientId, EventType, Payload, Timestamp};
use crate::json::{RawString, Scanner, Span, SyntaxError, write_string};

/// What a pointer has located in the members of a record so far; `None` if no name matched its first token.
type Slot<'a> = Option<Resolution<'a>>;

/// A slot for each pointer of a mapping.
struct Fields<'a> {
    event_type: Slot<'a>,
    timestamp: Vec<Slot<'a>>,
    id: Vec<Slot<'a>>,
    payload: Slot<'a>,
}

impl<'a> Fields<'a> {
    /// Nothing found yet.
    fn new(mapping: &Mapping) -> Self {
        let (timestamp, id) = (vec![None; mapping.timestamp.from.len()], vec![None; mapping.id.len()]);
        Self { event_type: None, timestamp, id, payload: None }
    }

    /// Follows all pointers into the next member.
    fn follow(&mut self, mapping: &Mapping, name: RawString<'a>, value: Span<'a>) {
        if let TypeSource::Pointer(pointer) = &mapping.event_type {
            pointer.follow(name, value, &mut self.event_type);
        }
        for (pointer, slot) in mapping.timestamp.from.iter().zip(&mut self.timestamp) {
            pointer.follow(name, value, slot);
        }
        for (pointer, slot) in mapping.id.iter().zip(&mut self.id) {
            pointer.follow(name, value, slot);
        }
        if let Some(pointer) = &mapping.payload {
            pointer.follow(name, value, &mut self.payload);
        }
    }
}

impl Collector<'_, '_> {
    /// Parses the next value, an object, as a foreign record.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`].
    pub(super) fn read_foreign(
        &mut self,
        scanner: &mut Scanner<'_>,
        last: Last,
        mapping: &Mapping,
    ) -> Result<(), SyntaxError> {
        let mut fields = Fields::new(mapping);
        let whole = scanner.members(|name, value| fields.follow(mapping, name, value))?;
        last.check(scanner)?;

        let faults_before = self.fault_count;
        let mut scratch = core::mem::take(&mut self.scratch);
        let event_type = self.foreign_type(&mapping.event_type, fields.event_type, &mut scratch.event_type);
        let timestamp = self.foreign_time(&mapping.timestamp, &fields.timestamp, &mut scratch.timestamp);
        let id = self.foreign_id(&mapping.id, &fields.id, &mut scratch.id, &mut scratch.id_part);
        let payload = self.foreign_payload(mapping.payload.as_ref(), fields.payload, whole, &mut scratch.payload);
        if self.fault_count == faults_before
            && let (Some(event_type), Some(timestamp), Some(payload)) = (event_type, timestamp, payload)
        {
            self.push(NewEvent { event_type, timestamp, payload, id });
        }
        self.scratch = scratch;
        Ok(())
    }

    fn foreign_type<'s, 'a: 's>(
        &mut self,
        source: &'s TypeSource,
        slot: Slot<'a>,
        scratch: &'s mut Vec<u8>,
    ) -> Option<EventType<'s>> {
        match source {
            TypeSource::Literal(literal) => self.accept(Some(read_type(literal)), |_| {}),
            TypeSource::Pointer(pointer) => {
                let raw = self.required(pointer, slot)?.raw;
                let read = read_name(raw, "the type", scratch).and_then(read_type);
                self.accept(Some(read), |out| pointer.write_fragment(out))
            }
        }
    }

    fn foreign_time(&mut self, source: &TimeSource, slots: &[Slot<'_>], scratch: &mut Vec<u8>) -> Option<Timestamp> {
        let faults_before = self.fault_count;
        for (pointer, slot) in source.from.iter().zip(slots) {
            if let Some(value) = self.optional(pointer, *slot) {
                return self.accept(Some(read_time(value.raw, scratch)), |out| pointer.write_fragment(out));
            }
            if self.fault_count > faults_before {
                return None;
            }
        }
        if source.or_arrival {
            return Some(self.arrival);
        }
        self.fault(
            |out| source.from.iter().take(1).for_each(|first| first.write_fragment(out)),
            FaultCode::MissingField,
            || format!("there is no time at {}; add time=now to take the time of arrival", listed(&source.from)),
        );
        None
    }

    /// The id. It is `None` without a fault if a value is absent or null: other events may have the same other values.
    fn foreign_id<'s, 'a: 's>(
        &mut self,
        pointers: &[Pointer],
        slots: &[Slot<'a>],
        scratch: &'s mut Vec<u8>,
        part_scratch: &mut Vec<u8>,
    ) -> Option<ClientId<'s>> {
        if let ([pointer], [slot]) = (pointers, slots) {
            let raw = self.optional(pointer, *slot)?.raw;
            let read = read_name(raw, "the id", scratch).and_then(read_id);
            return self.accept(Some(read), |out| pointer.write_fragment(out));
        }
        scratch.clear();
        let (mut is_complete, mut is_long) = (!pointers.is_empty(), false);
        for (pointer, slot) in pointers.iter().zip(slots) {
            let part = self.optional(pointer, *slot).and_then(|value| {
                let read = read_name(value.raw, "a part of the id", part_scratch).and_then(read_id_part);
                let read = read.map(|text| (value.raw, text));
                self.accept(Some(read), |out| pointer.write_fragment(out))
            });
            let Some((raw, text)) = part else {
                is_complete = false;
                continue;
            };
            // A longer id is a fault anyway, and should not take more memory.
            is_long |= scratch.len().saturating_add(text.len()) > CLIENT_ID_BYTES_MAX;
            if !is_long {
                scratch.push(if scratch.is_empty() { b'[' } else { b',' });
                if raw.starts_with('"') {
                    write_string(text, scratch);
                } else {
                    scratch.extend_from_slice(text.as_bytes());
                }
            }
        }
        if !is_complete {
            return None;
        }
        scratch.push(b']');
        let text = core::str::from_utf8(scratch).expect("it consists of strings and ASCII");
        let read = if is_long || text.len() > CLIENT_ID_BYTES_MAX {
            let detail = format!("the id from {} has more than {CLIENT_ID_BYTES_MAX} bytes", listed(pointers));
            Err((FaultCode::InvalidId, detail))
        } else {
            read_id(text)
        };
        self.accept(Some(read), |_| {})
    }

    fn foreign_payload<'s, 'a: 's>(
        &mut self,
        pointer: Option<&Pointer>,
        slot: Slot<'a>,
        whole: Span<'a>,
        scratch: &'s mut String,
    ) -> Option<Payload<'s>> {
        let Some(pointer) = pointer.filter(|pointer| !pointer.is_whole()) else {
            let read = self.read_payload(whole, scratch);
            return self.accept(Some(read), |_| {});
        };
        let value = self.required(pointer, slot)?;
        let read = self.read_payload(value, scratch);
        self.accept(Some(read), |out| pointer.write_fragment(out))
    }

    /// The value that a pointer locates. Adds a fault if there is none, or more than one.
    fn required<'a>(&mut self, pointer: &Pointer, slot: Slot<'a>) -> Option<Span<'a>> {
        let (code, detail) = match slot {
            Some(Resolution::Found(value)) => return Some(value),
            None | Some(Resolution::Missing) => (FaultCode::MissingField, "there is no value here"),
            Some(Resolution::Ambiguous) => (FaultCode::DuplicateField, "there is more than one member with this name"),
        };
        self.fault(|out| pointer.write_fragment(out), code, || detail.to_owned());
        None
    }

    /// Like [`required`](Self::required), but without a fault if there is no value, or null.
    fn optional<'a>(&mut self, pointer: &Pointer, slot: Slot<'a>) -> Option<Span<'a>> {
        match slot {
            None | Some(Resolution::Missing) => None,
            Some(Resolution::Found(_) | Resolution::Ambiguous) => {
                self.required(pointer, slot).filter(|value| value.raw != "null")
            }
        }
    }
}

/// The pointers as a text: `'/a', '/b'`.
fn listed(pointers: &[Pointer]) -> String {
    let mut text = String::new();
    for (index, pointer) in pointers.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        write!(text, "{separator}'{pointer}'").expect("a String takes whatever is written to it");
    }
    text
}
