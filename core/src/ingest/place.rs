//! Where events are in their body.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::pointer::{Pointer, write_token};
use super::{EventFault, FaultCode};

/// Where an event is in its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its index among all events of the body, including invalid ones.
    pub(super) index: usize,
    /// The index of its JSON text among the elements of the body, or among the lines that are not blank.
    pub(super) text: usize,
    /// The number of its line, from 1, if the body has lines.
    pub(super) line: Option<usize>,
    /// Its index in its array of records, if it is in one.
    pub(super) record: Option<usize>,
}

/// A step from a JSON text towards its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next token of the pointer to the records.
    Token,
    /// An element of an array that the pointer does not name.
    Element(usize),
}

/// Where the events of a batch are in their body. The invalid events of the body are not in the batch.
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
    /// The place after that of the last event.
    next: Place,
}

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The position of the first event in the batch.
    first: u32,
    place: Place,
    /// The range of the steps to the array of records.
    steps: (usize, usize),
}

impl Place {
    /// The place this many events later, if nothing else is in between.
    fn after(self, events: usize) -> Self {
        let Self { index, text, line, record } = self;
        match record {
            Some(record) => Self { index: index + events, record: Some(record + events), ..self },
            None => Self { index: index + events, text: text + events, line: line.map(|line| line + events), record },
        }
    }
}

impl Places {
    /// No events yet. `is_list`: whether the body is a list of JSON texts.
    pub(super) fn new(is_list: bool, records: Option<&Pointer>) -> Self {
        let (runs, steps) = (Vec::new(), Vec::new());
        Self { is_list, records: records.cloned(), runs, steps, next: Place::default() }
    }

    /// Records the place of the event at the next position in the batch.
    pub(super) fn push(&mut self, position: usize, place: Place, steps: &[Step]) {
        let last = self.runs.last().copied();
        let range = last.map(|run| run.steps).filter(|&(start, end)| self.steps.get(start..end) == Some(steps));
        if range.is_none() || place != self.next {
            let steps = range.unwrap_or_else(|| {
                let start = self.steps.len();
                self.steps.extend_from_slice(steps);
                (start, self.steps.len())
            });
            self.runs.push(Run { first: position as u32, place, steps });
        }
        self.next = place.after(1);
    }

    /// The most memory that another [`push`](Self::push) of these steps takes, in bytes.
    pub(super) fn work_bytes(&self, steps: &[Step]) -> usize {
        // A full vector doubles, and the old one lives until its content is copied.
        3 * ((self.runs.len() + 1) * size_of::<Run>() + (self.steps.len() + steps.len()) * size_of::<Step>())
    }

    /// A fault of the event at this position in the batch. `below` is the pointer from the event to the fault.
    pub(crate) fn fault(&self, position: u32, below: &str, code: FaultCode, detail: String) -> EventFault {
        let after = self.runs.partition_point(|run| run.first <= position);
        let run = after.checked_sub(1).and_then(|last| self.runs.get(last)).copied().unwrap_or_default();
        let place = run.place.after((position - run.first) as usize);
        let steps = self.steps.get(run.steps.0..run.steps.1).unwrap_or_default();
        let mut pointer = self.pointer(place, steps);
        pointer.push_str(below);
        EventFault { index: place.index, line: place.line, pointer, code, detail }
    }

    /// The pointer to an event, or to where its array of records would be, as a URI fragment.
    pub(super) fn pointer(&self, place: Place, steps: &[Step]) -> String {
        let mut out = String::from("#");
        let write_index = |index: usize, out: &mut String| {
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
                Step::Element(index) => write_index(*index, &mut out),
            }
        }
        if let Some(record) = place.record {
            write_index(record, &mut out);
        }
        out
    }
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
        for (position, index) in body.into_iter().enumerate() {
            places.push(position, Place { index, text: index, ..Place::default() }, &[]);
        }
        assert_eq!(places.runs.len(), 3);
        assert_eq!(shown(&places, 6), body.map(|index| format!("{index} None #/{index}/t")));
    }

    #[test]
    fn blank_lines_count_as_lines_only() {
        let mut places = Places::new(true, None);
        for (index, line) in [1, 2, 5].into_iter().enumerate() {
            places.push(index, Place { index, text: index, line: Some(line), record: None }, &[]);
        }
        assert_eq!(shown(&places, 3), ["0 Some(1) #/0/t", "1 Some(2) #/1/t", "2 Some(5) #/2/t"]);
    }

    #[test]
    fn records_have_the_pointer_to_their_array() {
        let pointer = Pointer::parse("/a b/c").unwrap();
        let place = |index, text, record| Place { index, text, line: Some(text + 1), record: Some(record) };
        for (is_list, prefix) in [(false, ""), (true, "/0")] {
            let mut places = Places::new(is_list, Some(&pointer));
            let array = |element| [Step::Token, Step::Element(element), Step::Token];
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
