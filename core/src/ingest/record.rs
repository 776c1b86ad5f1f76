//! One event of a body: found, checked and handed to the batch, or its faults noted.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::fault::too_many_types;
use super::pointer::{Pointer, Target, write_token};
use super::{
    Dialect, EventFault, FAULTS_LISTED_MAX, FaultCode, Indexes, IngestError, Mapping, ParseOptions, Parsed, TypeSource,
};
use crate::batch::{BatchBuilder, NewEvent};
use crate::event::{ClientId, EventType, Payload, Timestamp};
use crate::json::{self, LoneSurrogate, RawString, Scanner, Span, SyntaxError, Value};
use crate::room::Room;

/// Takes events one after the other.
#[derive(Debug)]
pub(super) struct Collector<'m, 'r> {
    options: &'m ParseOptions,
    /// A single object: pointers have no index.
    alone: bool,
    batch: BatchBuilder,
    indexes: Indexes,
    room: Room<'r>,
    /// Why the batch takes no more; what it had is dropped.
    full: Option<IngestError>,
    /// Events so far, the faulty ones included.
    pub(super) index: usize,
    /// Events with a fault.
    rejected: usize,
    /// Faults, listed or not.
    pub(super) fault_count: usize,
    pub(super) listed: Vec<EventFault>,
    scratch: Scratch,
}

/// Buffers that serve event after event, so that most events need no allocation.
#[derive(Debug, Default)]
struct Scratch {
    payload: String,
    event_type: Vec<u8>,
    timestamp: Vec<u8>,
    id: Vec<u8>,
}

/// Whether something may follow an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Yes,
    No,
}

/// A member that is there at most once.
#[derive(Clone, Copy, Debug, Default)]
struct Field<'a> {
    value: Option<Span<'a>>,
    repeated: bool,
}

/// What is wrong with a field.
type Flaw = (FaultCode, String);

impl<'m, 'r> Collector<'m, 'r> {
    /// For the events of a body of so many bytes.
    pub(super) fn new(options: &'m ParseOptions, alone: bool, body_bytes: usize, mut room: Room<'r>) -> Self {
        // What comes of a body is seldom longer than the body. A single event is allocated for as it is.
        let text_bytes = if alone { 0 } else { body_bytes };
        let full = room.need(text_bytes).err().map(IngestError::from);
        let batch = BatchBuilder::with_text_capacity(if full.is_none() { text_bytes } else { 0 });
        Self {
            options,
            alone,
            batch,
            indexes: Indexes::default(),
            room,
            full,
            index: 0,
            rejected: 0,
            fault_count: 0,
            listed: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Reads the next value of the body as an event. If it is the `last` one, nothing but white space may follow.
    ///
    /// After an error it is as if the event had not been begun.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
        let (faults_before, listed_before) = (self.fault_count, self.listed.len());
        let read = if scanner.peek() == Some(b'{') {
            match &self.options.dialect {
                Dialect::Native => self.read_native(scanner, last),
                Dialect::Foreign(mapping) => self.read_foreign(scanner, last, mapping),
            }
        } else {
            self.read_other(scanner, last)
        };
        match read {
            Ok(()) => self.count_event(faults_before),
            Err(_) => {
                self.fault_count = faults_before;
                self.listed.truncate(listed_before);
            }
        }
        read
    }

    /// Counts an event that is not even JSON.
    pub(super) fn reject(&mut self, detail: impl FnOnce() -> String) {
        let faults_before = self.fault_count;
        self.fault(|_| {}, FaultCode::InvalidJson, detail);
        self.count_event(faults_before);
    }

    pub(super) fn finish(self) -> Result<Parsed, IngestError> {
        match self.full {
            Some(full) => Err(full),
            None if self.alone => Ok(Parsed::One(self.batch.finish())),
            None => Ok(Parsed::Many {
                batch: self.batch.finish().handled(self.options.handling),
                indexes: self.indexes,
                rejected: self.listed,
                rejected_count: self.rejected,
            }),
        }
    }

    fn count_event(&mut self, faults_before: usize) {
        self.rejected += usize::from(self.fault_count > faults_before);
        self.index += 1;
    }

    fn read_other(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
        scanner.value()?;
        last.check(scanner)?;
        self.fault(|_| {}, FaultCode::NotAnObject, || "an event is a JSON object".to_owned());
        Ok(())
    }

    fn read_native(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
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
            (event_type, "event_type", true),
            (timestamp, "timestamp", true),
            (payload, "payload", true),
            (id, "id", false),
        ] {
            if field.repeated {
                self.fault(
                    |out| write_token(name, out),
                    FaultCode::DuplicateField,
                    || format!("{name} is there more than once"),
                );
            } else if required && field.value.is_none() {
                self.fault(|out| write_token(name, out), FaultCode::MissingField, || format!("{name} is required"));
            }
        }

        let mut scratch = core::mem::take(&mut self.scratch);
        let event_type =
            event_type.once().map(|raw| read_string(raw, "event_type", &mut scratch.event_type).and_then(read_type));
        let timestamp = timestamp.once().map(|raw| read_time(raw, &mut scratch.timestamp));
        let payload =
            payload.value.filter(|_| !payload.repeated).map(|span| self.read_payload(span, &mut scratch.payload));
        let id = id.once().map(|raw| read_string(raw, "id", &mut scratch.id).and_then(read_id));
        let event_type = self.sound(event_type, |out| write_token("event_type", out));
        let timestamp = self.sound(timestamp, |out| write_token("timestamp", out));
        let payload = self.sound(payload, |out| write_token("payload", out));
        let id = self.sound(id, |out| write_token("id", out));
        if self.fault_count == faults_before
            && let (Some(event_type), Some(timestamp), Some(payload)) = (event_type, timestamp, payload)
        {
            self.push(NewEvent { event_type, timestamp, payload, id });
        }
        self.scratch = scratch;
        Ok(())
    }

    fn read_foreign(&mut self, scanner: &mut Scanner<'_>, last: Last, mapping: &Mapping) -> Result<(), SyntaxError> {
        let mut members = Vec::new();
        let faults_before = self.fault_count;
        let whole = scanner.span(|scanner| {
            scanner.object(|name, scanner| {
                members.push((name, scanner.value()?));
                Ok(())
            })
        })?;
        last.check(scanner)?;

        let mut scratch = core::mem::take(&mut self.scratch);
        let event_type = match &mapping.event_type {
            TypeSource::Literal(literal) => self.sound(Some(read_type(literal)), |_| {}),
            TypeSource::Pointer(pointer) => self.follow(pointer, &members).and_then(|raw| {
                let read = read_name(raw, "the type", &mut scratch.event_type).and_then(read_type);
                self.sound(Some(read), |out| pointer.write_fragment(out))
            }),
        };
        let timestamp = self.follow(&mapping.timestamp, &members).and_then(|raw| {
            let read = read_time(raw, &mut scratch.timestamp);
            self.sound(Some(read), |out| mapping.timestamp.write_fragment(out))
        });
        let id = mapping.id.as_ref().and_then(|pointer| {
            let raw = self.follow(pointer, &members)?;
            let read = read_name(raw, "the id", &mut scratch.id).and_then(read_id);
            self.sound(Some(read), |out| pointer.write_fragment(out))
        });
        let payload = Some(self.read_payload(whole, &mut scratch.payload));
        let payload = self.sound(payload, |_| {});
        if self.fault_count == faults_before
            && let (Some(event_type), Some(timestamp), Some(payload)) = (event_type, timestamp, payload)
        {
            self.push(NewEvent { event_type, timestamp, payload, id });
        }
        self.scratch = scratch;
        Ok(())
    }

    /// The value that a pointer leads to; where it leads nowhere, that is noted.
    fn follow<'a>(&mut self, pointer: &Pointer, members: &[(RawString<'a>, Span<'a>)]) -> Option<&'a str> {
        let (code, detail) = match pointer.find(members) {
            Target::Found(raw) => return Some(raw),
            Target::Missing => (FaultCode::MissingField, "there is nothing at this place"),
            Target::Ambiguous => (FaultCode::DuplicateField, "there is more than one member of this name"),
        };
        self.fault(|out| pointer.write_fragment(out), code, || detail.to_owned());
        None
    }

    fn read_payload<'a>(&self, span: Span<'a>, scratch: &'a mut String) -> Result<Payload<'a>, Flaw> {
        let text = if span.spaced {
            scratch.clear();
            json::compact(span.raw, scratch);
            &*scratch
        } else {
            span.raw
        };
        let limit = self.options.payload_bytes_max;
        if text.len() > limit {
            let detail = format!("the payload has {} bytes, more than {limit}", text.len());
            return Err((FaultCode::PayloadTooLarge, detail));
        }
        Ok(Payload::from_validated(text))
    }

    /// What was read, or `None` after its flaw was noted.
    fn sound<T>(&mut self, read: Option<Result<T, Flaw>>, place: impl FnOnce(&mut String)) -> Option<T> {
        match read? {
            Ok(value) => Some(value),
            Err((code, detail)) => {
                self.fault(place, code, || detail);
                None
            }
        }
    }

    fn unknown_field(&mut self, name: RawString<'_>) {
        let bytes = name.bytes();
        let name = String::from_utf8_lossy(&bytes);
        // A name may be as long as the body; nobody needs all of it to find it.
        let shown: String = name.chars().take(100).collect();
        self.fault(
            |out| write_token(&shown, out),
            FaultCode::UnknownField,
            || format!("{shown:?} is no field of an event; free-form data goes into payload"),
        );
    }

    /// Notes a fault of the event being read. `place` appends the part of the pointer behind the event.
    fn fault(&mut self, place: impl FnOnce(&mut String), code: FaultCode, detail: impl FnOnce() -> String) {
        self.fault_count += 1;
        if self.listed.len() >= FAULTS_LISTED_MAX {
            return;
        }
        let mut pointer = "#".to_owned();
        if !self.alone {
            pointer.push('/');
            pointer.push_str(&self.index.to_string());
        }
        place(&mut pointer);
        self.listed.push(EventFault { index: self.index, pointer, code, detail: detail() });
    }

    /// Takes an event that is in order, unless its type is one too many.
    fn push(&mut self, event: NewEvent<'_>) {
        let ParseOptions { types_max, dialect, .. } = self.options;
        if self.batch.type_count() >= *types_max && !self.batch.has_type(event.event_type) {
            let detail = || too_many_types(*types_max as u64);
            return self.fault(|out| dialect.write_type_place(out), FaultCode::TooManyTypes, detail);
        }
        if self.full.is_some() {
            return;
        }
        let room = self.room.need(self.batch.work_bytes(&event)).map_err(IngestError::from);
        self.indexes.note(self.batch.len(), self.index);
        let pushed = room.and_then(|()| self.batch.push(event).map_err(IngestError::from));
        if let Err(error) = pushed {
            self.full = Some(error);
            self.batch = BatchBuilder::new();
        }
    }
}

impl Last {
    fn check(self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        match self {
            Self::Yes => scanner.end(),
            Self::No => Ok(()),
        }
    }
}

impl<'a> Field<'a> {
    fn set(&mut self, value: Span<'a>) {
        self.repeated |= self.value.is_some();
        self.value = Some(value);
    }

    /// The value's text, if there is exactly one.
    fn once(&self) -> Option<&'a str> {
        self.value.filter(|_| !self.repeated).map(|span| span.raw)
    }
}

/// Reads a string.
fn read_string<'s, 'a: 's>(raw: &'a str, what: &str, scratch: &'s mut Vec<u8>) -> Result<&'s str, Flaw> {
    match Value::of(raw) {
        Value::String(string) => {
            string.text(scratch).map_err(|LoneSurrogate| (FaultCode::WrongType, format!("{what} {LoneSurrogate}")))
        }
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            Err((FaultCode::WrongType, format!("{what} is a string, not {}", type_name(raw))))
        }
    }
}

/// Reads a string, or takes a number's token.
fn read_name<'s, 'a: 's>(raw: &'a str, what: &str, scratch: &'s mut Vec<u8>) -> Result<&'s str, Flaw> {
    match Value::of(raw) {
        Value::Number(token) => Ok(token),
        Value::String(_) => read_string(raw, what, scratch),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            Err((FaultCode::WrongType, format!("{what} is a string or a number, not {}", type_name(raw))))
        }
    }
}

fn read_type(text: &str) -> Result<EventType<'_>, Flaw> {
    EventType::parse(text).map_err(|error| (FaultCode::InvalidEventType, error.to_string()))
}

fn read_id(text: &str) -> Result<ClientId<'_>, Flaw> {
    ClientId::parse(text).map_err(|error| (FaultCode::InvalidId, error.to_string()))
}

fn read_time(raw: &str, scratch: &mut Vec<u8>) -> Result<Timestamp, Flaw> {
    let read = match Value::of(raw) {
        Value::Number(token) => Timestamp::parse_number(token),
        Value::String(_) => Timestamp::parse_rfc3339(read_string(raw, "the timestamp", scratch)?),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            let detail = format!("a timestamp is a string or a number, not {}", type_name(raw));
            return Err((FaultCode::WrongType, detail));
        }
    };
    read.map_err(|error| (FaultCode::InvalidTimestamp, error.to_string()))
}

fn type_name(raw: &str) -> &'static str {
    match Value::of(raw) {
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Null => "null",
        Value::Object => "an object",
        Value::Array => "an array",
    }
}
