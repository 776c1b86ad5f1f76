//! Where events are in their body.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::pointer::{Pointer, write_token};
use super::{EventFault, FaultCode};

/// Where an event is in its body, which has at most 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its index among all events of the body, including invalid ones.
    pub(super) index: u32,
    /// The index of its JSON text among the elements of the body, or among the lines that are not blank.
    pub(super) text: u32,
    /// The number of its line, from 1, if the body has lines.
    pub(super) line: Option<u32>,
    /// Its index in its array of records, if it is in one.
    pub(super) record: Option<u32>,
}

/// A step from a JSON text towards its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next token of the pointer to the records.
    Token,
    /// An element of an array that the pointer does not name, counted from 1: so a step has four bytes.
    Element(NonZeroU32),
}

/// Where the events of a batch are in their body. The batch lacks the invalid events of the body, so that the position
/// of an event in it says little about its place.
#[derive(Clone, Debug)]
pub struct Places {
    /// Whether the body is a list of JSON texts, so that pointers begin with an index.
    is_list: bool,
    /// The pointer to the records in each JSON text.
    records: Option<Pointer>,
    /// The first event of the batch, and each event that does not follow its predecessor in the body.
    runs: Vec<Run>,
    /// The steps of all runs.
    steps: Vec<Step>,
    /// The JSON text of the first event, and each one that is not on the line after its predecessor, with its line.
    /// Apart from the runs, since bodies with blank lines are common.
    lines: Vec<(u32, u32)>,
}

/// Events that follow each other in the body: one by one as JSON texts, or as records of one array. A body can have as
/// many runs as events, so they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The position of the first event in the batch.
    first: u32,
    index: u32,
    text: u32,
    /// The index in the array of records, if the pointer to them is given.
    record: u32,
    /// Where the steps to the array of records start. They end where those of the next other array start.
    steps: u32,
}

impl Places {
    /// No events yet. `is_list`: whether the body is a list of JSON texts.
    pub(super) fn new(is_list: bool, records: Option<&Pointer>) -> Self {
        Self { is_list, records: records.cloned(), runs: Vec::new(), steps: Vec::new(), lines: Vec::new() }
    }

    /// Records the place of the event at the next position in the batch.
    pub(super) fn push(&mut self, position: u32, place: Place, steps: &[Step]) {
        let Place { index, text, line, record } = place;
        let last = self.runs.last().copied();
        let known = last.map(|run| run.steps).filter(|&start| self.steps.get(start as usize..) == Some(steps));
        let run = Run { first: position, index, text, record: record.unwrap_or(0), steps: known.unwrap_or(0) };
        match (last, known) {
            (Some(last), Some(_)) if self.after(last, position) == run => {}
            (_, Some(_)) => self.runs.push(run),
            (_, None) => {
                self.runs.push(Run { steps: self.steps.len() as u32, ..run });
                self.steps.extend_from_slice(steps);
            }
        }
        let expected = self.lines.last().map(|&known| line_after(known, text));
        if let Some(line) = line.filter(|&line| expected != Some(line)) {
            self.lines.push((text, line));
        }
    }

    /// The most memory that another [`push`](Self::push) of these steps takes, in bytes.
    pub(super) fn work_bytes(&self, steps: &[Step]) -> usize {
        work_bytes(&self.runs, 1) + work_bytes(&self.steps, steps.len()) + work_bytes(&self.lines, 1)
    }

    /// The memory that it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        work_bytes(&self.runs, 0) + work_bytes(&self.steps, 0) + work_bytes(&self.lines, 0)
    }

    /// Returns the memory that it does not need.
    pub(super) fn shrink(&mut self) {
        self.runs.shrink_to_fit();
        self.steps.shrink_to_fit();
        self.lines.shrink_to_fit();
    }

    /// A fault of the event at this position in the batch, for example of one in a
    /// [`Surplus`](crate::repository::Surplus). `below` is the JSON pointer from the event to the fault, as a URI
    /// fragment without `#`: `/event_type`, or empty for the event as a whole.
    ///
    /// # Panics
    ///
    /// If the batch has no events.
    #[must_use]
    pub fn fault(&self, position: u32, below: &str, code: FaultCode, detail: String) -> EventFault {
        let after = self.runs.partition_point(|run| run.first <= position);
        let (earlier, later) = self.runs.split_at(after);
        let first = earlier.last().expect("the first event of a batch begins a run");
        let run = self.after(*first, position);
        let next = later.get(later.partition_point(|other| other.steps == run.steps));
        let end = next.map_or(self.steps.len(), |next| next.steps as usize);
        let steps = self.steps.get(run.steps as usize..end).expect("the steps of runs follow each other");
        let record = self.records.is_some().then_some(run.record);
        let place = Place { index: run.index, text: run.text, line: self.line(run.text), record };
        let pointer = self.pointer(place, steps) + below;
        EventFault { index: place.index as usize, line: place.line.map(|line| line as usize), pointer, code, detail }
    }

    /// The run from this position on, which is in the run that starts with `first` or is the next one.
    fn after(&self, first: Run, position: u32) -> Run {
        let events = position - first.first;
        let (texts, records) = if self.records.is_some() { (0, events) } else { (events, 0) };
        // A position beyond the batch must not overflow.
        let (index, text) = (first.index.saturating_add(events), first.text.saturating_add(texts));
        Run { first: position, index, text, record: first.record.saturating_add(records), ..first }
    }

    /// The line of a JSON text, if the body has lines.
    fn line(&self, text: u32) -> Option<u32> {
        let after = self.lines.partition_point(|&(first, _)| first <= text);
        let known = after.checked_sub(1).and_then(|last| self.lines.get(last));
        known.map(|&known| line_after(known, text))
    }

    /// The pointer to an event, or to where its array of records would be, as a URI fragment.
    pub(super) fn pointer(&self, place: Place, steps: &[Step]) -> String {
        let mut out = String::from("#");
        let write_index = |index: u32, out: &mut String| {
            out.push('/');
            out.push_str(&index.to_string());
        };
        if self.is_list {
            write_index(place.text, &mut out);
        }
        let mut tokens = self.records.iter().flat_map(Pointer::tokens);
        for step in steps {
            match step {
                Step::Token => tokens.next().into_iter().for_each(|token| write_token(token, &mut out)),
                Step::Element(number) => write_index(number.get() - 1, &mut out),
            }
        }
        if let Some(record) = place.record {
            write_index(record, &mut out);
        }
        out
    }
}

impl Step {
    /// The element at this index of an array.
    pub(super) fn element(index: u32) -> Self {
        Self::Element(NonZeroU32::MIN.saturating_add(index))
    }
}

/// The line of a JSON text, given an earlier one and its line, if no blank lines are in between.
fn line_after((earlier, line): (u32, u32), text: u32) -> u32 {
    line.saturating_add(text - earlier)
}

/// The most memory that a vector takes while it gets this many more elements, in bytes.
fn work_bytes<T>(elements: &Vec<T>, more: usize) -> usize {
    let (before, needed) = (elements.capacity(), elements.len() + more);
    // A full vector doubles, and the old one lives until its content is copied.
    let capacity = if needed <= before { before } else { before + needed.max(2 * before).max(4) };
    capacity * size_of::<T>()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::format;

    use super::*;

    fn shown(places: &Places, events: u32) -> Vec<String> {
        (0..events)
            .map(|position| {
                let fault = places.fault(position, "/t", FaultCode::TooManyTypes, String::new());
                format!("{} {:?} {}", fault.index, fault.line, fault.pointer)
            })
            .collect()
    }

    #[test]
    fn invalid_events_count_in_the_body_and_not_in_the_batch() {
        let mut places = Places::new(true, None);
        let body = [0, 3, 4, 5, 9, 10];
        for (position, index) in (0..).zip(body) {
            places.push(position, Place { index, text: index, ..Place::default() }, &[]);
        }
        assert_eq!(places.runs.len(), 3);
        assert_eq!(shown(&places, 6), body.map(|index| format!("{index} None #/{index}/t")));
    }

    #[test]
    fn blank_lines_count_as_lines_only() {
        let mut places = Places::new(true, None);
        for (index, line) in (0..).zip([1, 2, 5, 6]) {
            places.push(index, Place { index, text: index, line: Some(line), record: None }, &[]);
        }
        let expected = ["0 Some(1) #/0/t", "1 Some(2) #/1/t", "2 Some(5) #/2/t", "3 Some(6) #/3/t"];
        assert_eq!(shown(&places, 4), expected);
        assert_eq!((places.runs.len(), places.lines.len()), (1, 2));
    }

    #[test]
    fn records_have_the_pointer_to_their_array() {
        let pointer = Pointer::parse("/a b/c").unwrap();
        let place = |index, text, record| Place { index, text, line: Some(text + 1), record: Some(record) };
        for (is_list, prefix) in [(false, ""), (true, "/0")] {
            let mut places = Places::new(is_list, Some(&pointer));
            let array = |element| [Step::Token, Step::element(element), Step::Token];
            places.push(0, place(0, 0, 0), &array(0));
            places.push(1, place(1, 0, 1), &array(0));
            places.push(2, place(3, 0, 0), &array(2));
            assert_eq!(places.runs.len(), 2);
            let expected = ["0 Some(1)", "1 Some(1)", "3 Some(1)"]
                .iter()
                .zip(["0/c/0", "0/c/1", "2/c/0"])
                .map(|(start, end)| format!("{start} #{prefix}/a%20b/{end}/t"))
                .collect::<Vec<_>>();
            assert_eq!(shown(&places, 3), expected);
        }
    }
}
