//! Answers [`Fields`](super::Fields).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::key;
use super::limits::{AnalysisLimits, Excess, Rows};
use super::question::{EXAMPLE_BYTES_MAX, EXAMPLES_MAX, FIELDS_SAMPLE};
use super::slots::{Interner, index};
use crate::event::Event;
use crate::json::{MemberVisitor, RawString, Value, visit_members, write_string, write_u64};
use crate::query::{PAYLOAD_PATH_BYTES_MAX, PayloadPath};
use crate::sketch::Distinct;

/// The number of the path to the payload itself, which has no name.
const ROOT: u32 = u32::MAX;

/// How many bytes of a payload cost as much as an event of a scan.
const BYTES_PER_UNIT: usize = 16;

/// The kinds of values, in the order of [`PathStats::kinds`].
const KINDS: [&str; 6] = ["string", "number", "boolean", "null", "object", "array"];

/// What is known about each path.
#[derive(Debug)]
pub(super) struct FieldsFold {
    limits: AnalysisLimits,
    /// How many events were looked at.
    events: u32,
    /// Whether there are more.
    is_sampled: bool,
    paths: PathTree,
    /// Buffers for the key of a value, and for unescaped strings.
    key: Vec<u8>,
    text: Vec<u8>,
}

#[derive(Debug)]
struct PathTree {
    /// Numbers the paths. The text of a path is the number of the path before its last name, and that name.
    numbers: Interner,
    stats: Vec<PathStats>,
    /// Memory of the statistics beyond themselves.
    heap_bytes: usize,
}

#[derive(Debug, Default)]
struct PathStats {
    /// How many values of each of [`KINDS`].
    kinds: [u64; 6],
    /// The strings, numbers and booleans.
    distinct: Distinct,
    /// The keys of some of them.
    examples: Vec<Box<[u8]>>,
}

/// The paths, in the order of their names.
#[derive(Debug)]
pub(super) struct FieldList {
    paths: PathTree,
    order: Vec<u32>,
    is_sampled: bool,
}

/// Visits a payload.
struct Visit<'f> {
    fold: &'f mut FieldsFold,
    /// The paths of the members around the current value.
    around: Vec<u32>,
    /// The path of the current value.
    path: u32,
}

impl FieldsFold {
    pub(super) fn new(limits: AnalysisLimits, seed: u64) -> Self {
        let paths = PathTree { numbers: Interner::new(seed), stats: Vec::new(), heap_bytes: 0 };
        Self { limits, events: 0, is_sampled: false, paths, key: Vec::new(), text: Vec::new() }
    }

    /// Whether the sample is full, and it is known whether there are more events.
    pub(super) fn is_complete(&self) -> bool {
        self.is_sampled
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        if self.events == FIELDS_SAMPLE {
            self.is_sampled = true;
            return Ok(0);
        }
        self.events += 1;
        let payload = event.payload.as_str();
        visit_members(payload, &mut Visit { fold: self, around: Vec::new(), path: ROOT });
        self.check()?;
        Ok(payload.len() / BYTES_PER_UNIT)
    }

    /// Adds the sample of another one to this. The sample may then have more than [`FIELDS_SAMPLE`] events.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Excess> {
        let mut numbers = Vec::with_capacity(other.paths.stats.len());
        for (other_number, stats) in (0..).zip(&other.paths.stats) {
            let (before, name) = other.paths.split(other_number);
            let before = if before == ROOT { ROOT } else { numbers.get(index(before)).copied().unwrap_or(ROOT) };
            let number = self.paths.number(before, name);
            numbers.push(number);
            self.paths.change(number, |own| own.merge(stats));
            self.check()?;
        }
        self.events = self.events.saturating_add(other.events);
        self.is_sampled |= other.is_sampled;
        Ok(())
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.paths.held_bytes() + self.key.capacity() + self.text.capacity()
    }

    pub(super) fn finish(self) -> FieldList {
        let Self { paths, is_sampled, .. } = self;
        FieldList { order: paths.in_order(), paths, is_sampled }
    }

    fn check(&self) -> Result<(), Excess> {
        let AnalysisLimits { groups_max, bytes_max } = self.limits;
        if self.paths.stats.len() > groups_max {
            return Err(Excess::Groups { of: Rows::Paths, max: groups_max });
        }
        if self.held_bytes() > bytes_max {
            return Err(Excess::Memory { of: Rows::Paths, max: bytes_max });
        }
        Ok(())
    }
}

impl PathTree {
    /// The number of the path that leads from another one to the member of this name.
    fn number(&mut self, before: u32, name: &[u8]) -> u32 {
        let text = [&before.to_be_bytes(), name].concat();
        let number = self.numbers.number(&text);
        if index(number) == self.stats.len() {
            self.stats.push(PathStats::default());
        }
        number
    }

    /// The path before the last name of a path, and that name.
    fn split(&self, number: u32) -> (u32, &[u8]) {
        match self.numbers.text(number).split_first_chunk() {
            Some((before, name)) => (u32::from_be_bytes(*before), name),
            None => (ROOT, &[]),
        }
    }

    /// All paths in the order of their names: each before those that lead on from it. Without those that have a name
    /// with a lone surrogate, or are too long, since a query string cannot have them.
    ///
    /// The texts of all paths together may be much longer than their names, so they are not kept.
    fn in_order(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..).take(self.stats.len()).collect();
        numbers.sort_unstable_by_key(|number| self.split(*number));
        let after = |before: u32| {
            let start = numbers.partition_point(|number| self.split(*number).0 < before);
            let after = numbers.get(start..).unwrap_or_default();
            after.iter().copied().take_while(move |number| self.split(*number).0 == before)
        };
        let mut order = Vec::with_capacity(numbers.len());
        // The names around, with the bytes of the path up to there.
        let mut open = Vec::from([(after(ROOT), 0)]);
        while let Some((next, before)) = open.last_mut().map(|(names, bytes)| (names.next(), *bytes)) {
            let bytes = next.map_or(0, |number| before + usize::from(before > 0) + escaped_len(self.split(number).1));
            match next {
                Some(number)
                    if bytes <= PAYLOAD_PATH_BYTES_MAX && core::str::from_utf8(self.split(number).1).is_ok() =>
                {
                    order.push(number);
                    open.push((after(number), bytes));
                }
                Some(_) => {}
                None => drop(open.pop()),
            }
        }
        order
    }

    /// A path as in a query string.
    fn text(&self, number: u32) -> String {
        let (mut names, mut number) = (Vec::new(), number);
        while number != ROOT {
            let (before, name) = self.split(number);
            names.push(core::str::from_utf8(name).unwrap_or_default());
            number = before;
        }
        alloc::format!("{}", PayloadPath::of(names.into_iter().rev()))
    }

    fn change(&mut self, number: u32, change: impl FnOnce(&mut PathStats)) {
        let Some(stats) = self.stats.get_mut(index(number)) else { return };
        let before = stats.heap_bytes();
        change(stats);
        self.heap_bytes = self.heap_bytes.saturating_sub(before).saturating_add(stats.heap_bytes());
    }

    fn held_bytes(&self) -> usize {
        self.numbers.held_bytes() + self.stats.capacity() * size_of::<PathStats>() + self.heap_bytes
    }
}

/// The length of a name in a path, as [`PayloadPath`] writes it.
fn escaped_len(name: &[u8]) -> usize {
    name.len() + name.iter().filter(|byte| matches!(byte, b'.' | b'[' | b']' | b'\\')).count()
}

impl PathStats {
    fn merge(&mut self, other: &Self) {
        for (own, more) in self.kinds.iter_mut().zip(other.kinds) {
            *own += more;
        }
        self.distinct.merge(&other.distinct);
        other.examples.iter().for_each(|key| self.add_example(key));
    }

    fn add_example(&mut self, key: &[u8]) {
        if self.examples.len() < EXAMPLES_MAX && !self.examples.iter().any(|other| **other == *key) {
            self.examples.push(key.into());
        }
    }

    fn heap_bytes(&self) -> usize {
        let examples: usize = self.examples.iter().map(|key| key.len()).sum();
        let list = self.examples.capacity() * size_of::<Box<[u8]>>();
        examples + list + self.distinct.memory_bytes().saturating_sub(size_of::<Distinct>())
    }
}

impl<'a> MemberVisitor<'a> for Visit<'_> {
    fn enter(&mut self, name: RawString<'a>) {
        self.around.push(self.path);
        let name = name.bytes_in(&mut self.fold.text);
        self.path = self.fold.paths.number(self.path, name);
    }

    fn leave(&mut self) {
        self.path = self.around.pop().unwrap_or(ROOT);
    }

    fn value(&mut self, value: Value<'a>, raw: &'a str) {
        if self.path == ROOT {
            return;
        }
        let FieldsFold { paths, key, text, .. } = &mut *self.fold;
        let (kind, is_single) = match value {
            Value::String(_) => (0, true),
            Value::Number(_) => (1, true),
            Value::Bool(_) => (2, true),
            Value::Null => (3, false),
            Value::Object => (4, false),
            Value::Array => (5, false),
        };
        if is_single {
            key.clear();
            key::write(value, raw, text, key);
        }
        paths.change(self.path, |stats| {
            if let Some(count) = stats.kinds.get_mut(kind) {
                *count += 1;
            }
            if is_single {
                stats.distinct.add_hash(key::hash(key));
                if raw.len() <= EXAMPLE_BYTES_MAX {
                    stats.add_example(key);
                }
            }
        });
    }
}

impl FieldList {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn write_row(&self, row: usize, out: &mut Vec<u8>) {
        let Some(number) = self.order.get(row) else { return };
        let Some(stats) = self.paths.stats.get(index(*number)) else { return };
        out.extend_from_slice(b"{\"path\":");
        write_string(&self.paths.text(*number), out);
        out.extend_from_slice(b",\"kinds\":{");
        let kinds = KINDS.iter().zip(stats.kinds).filter(|(_, count)| *count > 0);
        for (at, (kind, count)) in kinds.enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            write_string(kind, out);
            out.push(b':');
            write_u64(count, out);
        }
        out.extend_from_slice(b"},\"unique\":");
        write_u64(stats.distinct.estimate(), out);
        out.extend_from_slice(b",\"examples\":[");
        for (at, mut key) in stats.examples.iter().map(|key| &**key).enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            key::decode(&mut key).write_json(out);
        }
        out.push(b']');
        if self.is_sampled {
            out.extend_from_slice(b",\"sampled\":true");
        }
        out.push(b'}');
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.paths.held_bytes() + self.order.capacity() * size_of::<u32>()
    }
}
