//! Reads an event in the format of its body.

use alloc::format;

use super::collector::{Collector, Last};
use super::{Dialect, FaultCode, Framing, ParseOptions};
use crate::json::{Scanner, SyntaxError};

impl Collector<'_, '_> {
    /// Parses the next value as an event.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`]. No event and no fault was added.
    pub(super) fn read_event(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
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

    fn read_other(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
        let is_array = scanner.value()?.raw.starts_with('[');
        last.check(scanner)?;
        let ParseOptions { framing, records, .. } = self.options;
        let is_list = is_array && *framing == Framing::Lines && records.is_none();
        let hint = if is_list { "; send an array of events as content-type application/json" } else { "" };
        self.fault(|_| {}, FaultCode::NotAnObject, || format!("an event is a JSON object{hint}"));
        Ok(())
    }
}
