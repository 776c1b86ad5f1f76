//! Parses the file of keys: TOML, one `[[key]]` entry for each.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::likeness::looks_like_key;
use super::{Access, Key, KeyFileError, KeyFileFault, KeyHash, KeyName, Scope, Scopes, parse_pattern};
use crate::event::Timestamp;
use crate::limit::{Quota, Quotas, Rate, RateError, parse_amount, parse_size};

const FIELDS: [&str; 9] =
    ["name", "sha256", "scopes", "types", "expires", "rate", "burst", "rate_bytes", "burst_bytes"];

type Value<'i> = Spanned<DeValue<'i>>;

/// Parses the text of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Key>, KeyFileError> {
    let lines = Lines(text);
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let fault = match lines.text(at) {
            text if looks_like_key(text) => KeyFileFault::Secret,
            _ => KeyFileFault::Syntax(error.message().trim().to_owned()),
        };
        lines.error(at, None, None, fault)
    })?;
    let mut keys = Vec::new();
    // Where each name and each hash stands: files may have thousands of keys.
    let (mut names, mut hashes) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in root.get_ref() {
        let at = name.span().start;
        let (true, DeValue::Array(entries)) = (name.get_ref() == "key", value.get_ref()) else {
            let is_secret = looks_like_key(name.get_ref());
            let fault = if is_secret { KeyFileFault::Secret } else { KeyFileFault::TopLevel };
            return Err(lines.error(at, None, None, fault));
        };
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else {
                return Err(lines.error(entry.span().start, None, None, KeyFileFault::Type("[[key]]")));
            };
            let entry = Entry::new(&lines, table, entry.span());
            let key = entry.key()?;
            if let Some(earlier) = names.insert(key.name.clone(), entry.span.start) {
                return Err(entry.error("name", KeyFileFault::SameName(lines.number(earlier))));
            }
            if let Some(earlier) = hashes.insert(key.hash.to_string(), entry.span.start) {
                return Err(entry.error("sha256", KeyFileFault::SameHash(lines.number(earlier))));
            }
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Err(lines.error(0, None, None, KeyFileFault::Empty));
    }
    Ok(keys)
}

/// The text, to find the lines of errors.
struct Lines<'t>(&'t str);

impl<'t> Lines<'t> {
    /// The number of the line at an offset, from 1.
    fn number(&self, at: usize) -> usize {
        1 + self.0.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// The line at an offset.
    fn text(&self, at: usize) -> &'t str {
        self.0.lines().nth(self.number(at) - 1).unwrap_or_default()
    }

    fn error(
        &self,
        at: usize,
        name: Option<&KeyName>,
        field: Option<&'static str>,
        fault: KeyFileFault,
    ) -> KeyFileError {
        KeyFileError { line: self.number(at), name: name.map(|name| name.as_str().to_owned()), field, fault }
    }
}

/// A `[[key]]` entry.
struct Entry<'a> {
    lines: &'a Lines<'a>,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    /// The name, if it is valid.
    name: Option<KeyName>,
}

impl<'a> Entry<'a> {
    fn new(lines: &'a Lines<'a>, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let name = table.get("name").and_then(|name| KeyName::parse(name.get_ref().as_str()?).ok());
        Self { lines, table, span, name }
    }

    /// An error of a field, at its value or at the start of the entry.
    fn error(&self, field: &'static str, fault: impl Into<KeyFileFault>) -> KeyFileError {
        let at = self.table.get(field).map_or(self.span.start, |value| value.span().start);
        self.lines.error(at, self.name.as_ref(), Some(field), fault.into())
    }

    /// An error of one item in the list of a field.
    fn item_error(&self, field: &'static str, item: &Value<'_>, fault: impl Into<KeyFileFault>) -> KeyFileError {
        self.lines.error(item.span().start, self.name.as_ref(), Some(field), fault.into())
    }

    fn key(&self) -> Result<Key, KeyFileError> {
        for name in self.table.keys() {
            if !FIELDS.contains(&name.get_ref().as_ref()) {
                let fault =
                    if looks_like_key(name.get_ref()) { KeyFileFault::Secret } else { KeyFileFault::UnknownField };
                return Err(self.lines.error(name.span().start, self.name.as_ref(), None, fault));
            }
        }
        let name = self.required("name", self.text("name")?)?;
        if looks_like_key(name) {
            return Err(self.error("name", KeyFileFault::Secret));
        }
        let name = KeyName::parse(name).map_err(|error| self.error("name", error))?;
        let hash = self.required("sha256", self.text("sha256")?)?;
        let hash = KeyHash::parse(hash).ok_or_else(|| {
            self.error("sha256", if looks_like_key(hash) { KeyFileFault::Secret } else { KeyFileFault::Hash })
        })?;
        let quotas = Quotas {
            requests: self.quota("rate", Rate::parse_requests, "burst", parse_amount)?,
            bytes: self.quota("rate_bytes", Rate::parse_bytes, "burst_bytes", parse_size)?,
        };
        Ok(Key { name, hash, scopes: self.scopes()?, access: self.access()?, expires: self.expires()?, quotas })
    }

    fn scopes(&self) -> Result<Scopes, KeyFileError> {
        let field = "scopes";
        let mut scopes = Scopes::default();
        for (item, text) in self.required(field, self.list(field)?)? {
            let scope = Scope::named(text).ok_or_else(|| self.item_error(field, item, KeyFileFault::Scope))?;
            if !scopes.insert(scope) {
                return Err(self.item_error(field, item, KeyFileFault::Repeated));
            }
        }
        if scopes == Scopes::default() {
            return Err(self.error(field, KeyFileFault::NoItems("a key without a scope is of no use")));
        }
        Ok(scopes)
    }

    fn access(&self) -> Result<Access, KeyFileError> {
        let field = "types";
        let Some(list) = self.list(field)? else { return Ok(Access::default()) };
        let mut types = Vec::new();
        for (item, text) in list {
            let test = parse_pattern(text).map_err(|error| self.item_error(field, item, error))?;
            if types.contains(&test) {
                return Err(self.item_error(field, item, KeyFileFault::Repeated));
            }
            types.push(test);
        }
        if types.is_empty() {
            return Err(self.error(field, KeyFileFault::NoItems("leave it out to permit all event types")));
        }
        Ok(Access::to_types(Arc::from(types)))
    }

    fn expires(&self) -> Result<Option<Timestamp>, KeyFileError> {
        let field = "expires";
        let Some(value) = self.table.get(field) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err(self.error(field, KeyFileFault::Time));
            }
        };
        // A bare number of seconds would be a timestamp too, but an unlikely one here.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let time = Timestamp::parse(&text).ok().filter(|_| !is_number);
        time.map(Some).ok_or_else(|| self.error(field, KeyFileFault::Time))
    }

    fn quota(
        &self,
        rate_field: &'static str,
        parse_rate: impl FnOnce(&str) -> Result<Rate, RateError>,
        burst_field: &'static str,
        parse_burst: impl FnOnce(&str) -> Result<NonZeroU64, RateError>,
    ) -> Result<Option<Quota>, KeyFileError> {
        let rate = self.text(rate_field)?.map(parse_rate).transpose();
        let rate = rate.map_err(|error| self.error(rate_field, error))?;
        let burst = self.amount(burst_field)?.map(|text| parse_burst(&text)).transpose();
        let burst = burst.map_err(|error| self.error(burst_field, error))?;
        match (rate, burst) {
            (Some(rate), burst) => Ok(Some(Quota::new(rate, burst))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.error(burst_field, KeyFileFault::BurstAlone(rate_field))),
        }
    }

    fn required<T>(&self, field: &'static str, value: Option<T>) -> Result<T, KeyFileError> {
        value.ok_or_else(|| self.error(field, KeyFileFault::Missing))
    }

    fn text(&self, field: &'static str) -> Result<Option<&'a str>, KeyFileError> {
        let Some(value) = self.table.get(field) else { return Ok(None) };
        let text = value.get_ref().as_str();
        text.map(Some).ok_or_else(|| self.error(field, KeyFileFault::Type("a text in quotes")))
    }

    /// A whole number, or a text.
    fn amount(&self, field: &'static str) -> Result<Option<String>, KeyFileError> {
        let Some(value) = self.table.get(field) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Ok(Some(number.as_str().to_owned())),
            DeValue::String(text) => Ok(Some(text.clone().into_owned())),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err(self.error(field, KeyFileFault::Type("a whole number"))),
        }
    }

    /// A list of texts.
    fn list(&self, field: &'static str) -> Result<Option<Vec<(&'a Value<'a>, &'a str)>>, KeyFileError> {
        let expected = || KeyFileFault::Type("a list of texts in quotes, as in [\"a\", \"b\"]");
        let Some(value) = self.table.get(field) else { return Ok(None) };
        let DeValue::Array(items) = value.get_ref() else { return Err(self.error(field, expected())) };
        let texts = items.iter().map(|item| match item.get_ref().as_str() {
            Some(text) => Ok((item, text)),
            None => Err(self.item_error(field, item, expected())),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests;
