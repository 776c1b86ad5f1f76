//! Finds the records in an envelope: a JSON text that contains them in an array.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;

use super::FaultCode;
use super::collector::{Collector, Last};
use super::field::type_name;
use super::place::Step;
use super::pointer::{Pointer, array_index, write_token};
use crate::json::{Scanner, SyntaxError};

impl Collector<'_, '_> {
    /// Parses the next JSON text of the body: an event, or an envelope if there is a pointer to records.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`]. No event and no fault was added.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>, last: Last) -> Result<(), SyntaxError> {
        match &self.options.records {
            Some(records) => self.read_envelope(scanner, last, records)?,
            None => self.read_event(scanner, last)?,
        }
        self.place.text += 1;
        Ok(())
    }

    /// Parses the next JSON text as an envelope. An envelope without the array of records is one invalid event.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`]. No event and no fault was added.
    fn read_envelope(&mut self, scanner: &mut Scanner<'_>, last: Last, records: &Pointer) -> Result<(), SyntaxError> {
        // The whole text first: an envelope that breaks off must add no events.
        let whole = scanner.value()?;
        last.check(scanner)?;
        self.enter(&mut Scanner::new(whole.raw), records.tokens())
    }

    /// Reads the next value, and the records that the tokens lead to in it. Takes stack for each token, of which a
    /// pointer has few.
    fn enter(&mut self, scanner: &mut Scanner<'_>, tokens: &[Box<str>]) -> Result<(), SyntaxError> {
        let Some((token, rest)) = tokens.split_first() else { return self.read_records(scanner) };
        match scanner.peek() {
            Some(b'{') => self.enter_member(scanner, token, rest),
            Some(b'[') => match array_index(token) {
                Some(index) => self.enter_element(scanner, index, token, rest),
                None => self.enter_elements(scanner, tokens),
            },
            _ => {
                scanner.value()?;
                self.lacks(token);
                Ok(())
            }
        }
    }

    fn enter_member(&mut self, scanner: &mut Scanner<'_>, token: &str, rest: &[Box<str>]) -> Result<(), SyntaxError> {
        let mut found = 0_usize;
        scanner.object(|name, scanner| {
            if !name.equals(token) {
                return scanner.value().map(drop);
            }
            found += 1;
            if found == 1 {
                self.step(Step::Token, |this| this.enter(scanner, rest))
            } else {
                scanner.value().map(drop)
            }
        })?;
        match found {
            0 => self.lacks(token),
            1 => {}
            _ => self.reject(
                |out| write_token(token, out),
                FaultCode::DuplicateField,
                || "there is more than one member with this name".to_owned(),
            ),
        }
        Ok(())
    }

    fn enter_element(
        &mut self,
        scanner: &mut Scanner<'_>,
        wanted: usize,
        token: &str,
        rest: &[Box<str>],
    ) -> Result<(), SyntaxError> {
        let mut index = 0_usize;
        scanner.array(|scanner| {
            index += 1;
            if index - 1 == wanted {
                self.step(Step::Token, |this| this.enter(scanner, rest))
            } else {
                scanner.value().map(drop)
            }
        })?;
        if index <= wanted {
            self.lacks(token);
        }
        Ok(())
    }

    /// Enters each element with the same tokens. An array in an array has no members, so it is not entered.
    fn enter_elements(&mut self, scanner: &mut Scanner<'_>, tokens: &[Box<str>]) -> Result<(), SyntaxError> {
        let mut index = 0_u32;
        scanner.array(|scanner| {
            let step = Step::element(index);
            index += 1;
            self.step(step, |this| match (scanner.peek(), tokens.split_first()) {
                (Some(b'{'), Some((token, rest))) => this.enter_member(scanner, token, rest),
                (_, first) => {
                    scanner.value()?;
                    first.into_iter().for_each(|(token, _)| this.lacks(token));
                    Ok(())
                }
            })
        })
    }

    fn read_records(&mut self, scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
        if scanner.peek() != Some(b'[') {
            let raw = scanner.value()?.raw;
            let detail = || format!("the records are an array, not {}", type_name(raw));
            self.reject(|_| {}, FaultCode::WrongType, detail);
            return Ok(());
        }
        let mut index = 0_u32;
        let read = scanner.array(|scanner| {
            self.place.record = Some(index);
            index += 1;
            self.read_event(scanner, Last::No)
        });
        self.place.record = None;
        read
    }

    fn step<T>(&mut self, step: Step, enter: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let entered = enter(self);
        self.steps.pop();
        entered
    }

    /// Adds a fault for an envelope without what a token names.
    fn lacks(&mut self, token: &str) {
        let detail = || "there is no value here; an array of records is required".to_owned();
        self.reject(|out| write_token(token, out), FaultCode::MissingField, detail);
    }
}
