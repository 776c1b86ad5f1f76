//! Adds the valid events of a body to a batch, and lists the faults of the others.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::fault::{number_too_long, payload_too_deep, too_many_types, type_not_permitted};
use super::field::FieldFault;
use super::place::{Place, Step};
use super::{EventFault, FAULTS_LISTED_MAX, FaultCode, IngestError, ParseOptions, Parsed, Places};
use crate::batch::{BatchBuilder, NewEvent};
use crate::event::{Payload, Timestamp, TypeTest};
use crate::json::{self, Scanner, Span, SyntaxError};
use crate::room::Room;

/// Collects events, or their faults.
#[derive(Debug)]
pub(super) struct Collector<'m, 'r> {
    pub(super) options: &'m ParseOptions,
    /// The time of arrival.
    pub(super) arrival: Timestamp,
    /// Whether the body is a single event.
    pub(super) is_single: bool,
    batch: BatchBuilder,
    places: Places,
    room: Room<'r>,
    /// Why no more events can be added. The events so far have been dropped.
    full: Option<IngestError>,
    /// The place of the current event.
    pub(super) place: Place,
    /// The steps from the JSON text to the array of the current record.
    pub(super) steps: Vec<Step>,
    /// Invalid events so far.
    rejected: usize,
    /// Faults so far, listed or not.
    pub(super) fault_count: usize,
    pub(super) listed: Vec<EventFault>,
    pub(super) scratch: Scratch,
}

/// Buffers that all events share, so that most need no allocation.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) payload: String,
    pub(super) event_type: Vec<u8>,
    pub(super) timestamp: Vec<u8>,
    pub(super) id: Vec<u8>,
    pub(super) id_part: Vec<u8>,
}

/// Whether a JSON text is the last one of its document or line, so that only white space may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Yes,
    No,
}

impl<'m, 'r> Collector<'m, 'r> {
    /// A collector for a body of this length. `is_list`: whether it is a list of JSON texts.
    pub(super) fn new(
        options: &'m ParseOptions,
        is_list: bool,
        body_bytes: usize,
        arrival: Timestamp,
        mut room: Room<'r>,
    ) -> Self {
        let is_single = !is_list && options.records.is_none();
        // A batch is seldom larger than the body. For a single event, the batch allocates what it needs.
        let text_bytes = if is_single { 0 } else { body_bytes };
        let full = room.need(text_bytes).err().map(IngestError::from);
        let batch = BatchBuilder::with_text_capacity(if full.is_none() { text_bytes } else { 0 });
        Self {
            options,
            arrival,
            is_single,
            batch,
            places: Places::new(is_list, options.records.as_ref()),
            room,
            full,
            place: Place::default(),
            steps: Vec::new(),
            rejected: 0,
            fault_count: 0,
            listed: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Adds a fault for a line that is not JSON.
    pub(super) fn reject_line(&mut self, detail: impl FnOnce() -> String) {
        self.reject(|_| {}, FaultCode::InvalidJson, detail);
        self.place.text += 1;
    }

    /// Adds an event that is only a fault.
    pub(super) fn reject(
        &mut self,
        write_pointer: impl FnOnce(&mut String),
        code: FaultCode,
        detail: impl FnOnce() -> String,
    ) {
        let faults_before = self.fault_count;
        self.fault(write_pointer, code, detail);
        self.count_event(faults_before);
    }

    pub(super) fn finish(mut self) -> Result<Parsed, IngestError> {
        match self.full {
            Some(full) => Err(full),
            None if self.is_single => Ok(Parsed::One(self.batch.finish())),
            None => {
                let batch = self.batch.finish().handled(self.options.handling);
                // The caller keeps the places after it has given back the memory for parsing.
                self.places.shrink();
                let (rejected, rejected_count) = (self.listed, self.rejected);
                Ok(Parsed::Many { batch, places: self.places, rejected, rejected_count })
            }
        }
    }

    /// Ends an event. `faults_before` is the number of faults before it.
    pub(super) fn count_event(&mut self, faults_before: usize) {
        self.rejected += usize::from(self.fault_count > faults_before);
        self.place.index += 1;
    }

    /// Makes a payload compact, and checks its length, its depth and its numbers.
    pub(super) fn read_payload<'a>(&self, span: Span<'a>, scratch: &'a mut String) -> Result<Payload<'a>, FieldFault> {
        if span.depth() > self.options.depth_max {
            return Err((FaultCode::PayloadTooDeep, payload_too_deep(span.depth(), self.options.depth_max)));
        }
        if span.has_long_number() {
            return Err((FaultCode::NumberTooLong, number_too_long()));
        }
        let text = if span.has_white_space() {
            scratch.clear();
            json::compact(span.raw, scratch);
            &*scratch
        } else {
            span.raw
        };
        let limit = self.options.payload_bytes_max;
        if text.len() > limit {
            let detail = format!("the payload has {} bytes, more than {limit} (--max-payload-bytes)", text.len());
            return Err((FaultCode::PayloadTooLarge, detail));
        }
        Ok(Payload::from_validated(text))
    }

    /// The value of a field. Adds a fault if it is invalid.
    pub(super) fn accept<T>(
        &mut self,
        read: Option<Result<T, FieldFault>>,
        write_pointer: impl FnOnce(&mut String),
    ) -> Option<T> {
        match read? {
            Ok(value) => Some(value),
            Err((code, detail)) => {
                self.fault(write_pointer, code, || detail);
                None
            }
        }
    }

    /// Adds a fault of the current event. `write_pointer` appends the pointer from the event to the fault.
    pub(super) fn fault(
        &mut self,
        write_pointer: impl FnOnce(&mut String),
        code: FaultCode,
        detail: impl FnOnce() -> String,
    ) {
        self.fault_count += 1;
        if self.listed.len() >= FAULTS_LISTED_MAX {
            return;
        }
        let mut pointer = self.places.pointer(self.place, &self.steps);
        write_pointer(&mut pointer);
        let (index, line) = (self.place.index as usize, self.place.line.map(|line| line as usize));
        self.listed.push(EventFault { index, pointer, line, code, detail: detail() });
    }

    /// Adds a valid event, or a fault if its type is not permitted or exceeds the limit.
    pub(super) fn push(&mut self, event: NewEvent<'_>) {
        let ParseOptions { types_max, dialect, permitted, .. } = self.options;
        let matches = |test: &TypeTest| test.matches(event.event_type.as_str().as_bytes());
        if permitted.as_ref().is_some_and(|permitted| !permitted.iter().any(matches)) {
            return self.fault(|out| dialect.write_type_pointer(out), FaultCode::TypeNotPermitted, type_not_permitted);
        }
        if self.batch.type_count() >= *types_max && !self.batch.has_type(event.event_type) {
            let detail = || too_many_types(*types_max as u64);
            return self.fault(|out| dialect.write_type_pointer(out), FaultCode::TooManyTypes, detail);
        }
        if self.full.is_some() {
            return;
        }
        let bytes = self.batch.work_bytes(&event).saturating_add(self.places.work_bytes(&self.steps));
        let room = self.room.need(bytes).map_err(IngestError::from);
        let position = self.batch.len();
        let pushed = room.and_then(|()| self.batch.push(event).map_err(IngestError::from));
        match pushed {
            Ok(()) if self.is_single => {}
            Ok(()) => self.places.push(position as u32, self.place, &self.steps),
            Err(error) => {
                self.full = Some(error);
                self.batch = BatchBuilder::new();
            }
        }
    }
}

impl Last {
    pub(super) fn check(self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        match self {
            Self::Yes => scanner.end(),
            Self::No => Ok(()),
        }
    }
}
