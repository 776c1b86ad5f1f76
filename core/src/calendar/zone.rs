//! Time zones.

use alloc::string::String;
use core::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;

/// A time zone: which offset from UTC its clocks have at each instant. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text does not name a time zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{name}' is not a time zone: give UTC or a name of the IANA database such as Europe/Berlin")]
pub struct UnknownZone {
    /// The text, shortened to [`NAME_CHARS_MAX`](Self::NAME_CHARS_MAX) characters.
    pub name: String,
}

impl UnknownZone {
    /// How many characters of the text the error keeps. The longest name of a zone has 32.
    pub const NAME_CHARS_MAX: usize = 64;
}

impl Zone {
    /// Coordinated Universal Time.
    #[must_use]
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone with this name in the IANA Time Zone Database, or `UTC`. Case does not matter.
    ///
    /// ```
    /// use argus_core::calendar::Zone;
    ///
    /// assert_eq!(Zone::parse("europe/berlin").map(|zone| zone.name().to_owned()), Ok("Europe/Berlin".to_owned()));
    /// assert_eq!(
    ///     Zone::parse("Berlin").unwrap_err().to_string(),
    ///     "'Berlin' is not a time zone: give UTC or a name of the IANA database such as Europe/Berlin",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`UnknownZone`] for any other text. An offset such as `+01:00` is not a zone.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone { name: name.chars().take(UnknownZone::NAME_CHARS_MAX).collect() };
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?;
        // The database has an entry for "no zone is known".
        if zone.is_unknown() { Err(unknown()) } else { Ok(Self(zone)) }
    }

    /// The zone's name, as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("a zone is UTC or comes from the database, where every zone has a name")
    }

    /// Whether this is UTC, under this name or another (`Etc/UTC`, `Zulu`, `GMT`).
    pub(super) fn is_utc(&self) -> bool {
        matches!(self.0.primary_iana_name(), Some("UTC" | "Etc/UTC"))
    }

    pub(super) const fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl fmt::Debug for Zone {
    /// The name alone: the rules fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_zone_of_the_database_is_found_by_its_name() {
        let names: alloc::vec::Vec<_> =
            TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_string()).collect();
        assert!(names.len() > 590, "the database is bundled");
        for name in &names {
            assert_eq!(Zone::parse(name).map(|zone| zone.name().to_string()), Ok(name.clone()));
        }
    }

    #[test]
    fn utc_has_several_names() {
        for name in ["UTC", "utc", "Etc/UTC", "Zulu", "Etc/Zulu", "UCT", "Universal", "GMT"] {
            assert!(Zone::parse(name).is_ok_and(|zone| zone.is_utc()), "{name}");
        }
        for name in ["Europe/London", "Africa/Abidjan"] {
            assert!(Zone::parse(name).is_ok_and(|zone| !zone.is_utc()), "{name}");
        }
        assert!(Zone::utc().is_utc());
        assert_eq!(Zone::parse("utc"), Ok(Zone::utc()));
    }

    #[test]
    fn other_texts_are_refused() {
        let long = "x".repeat(1_000);
        for name in ["", " ", "+01:00", "CEST", "Europe", "Europe/", "Europe/Berlin ", "Etc/Unknown", "\0", "é", &long]
        {
            let error = Zone::parse(name).expect_err("it is not a zone");
            assert!(name.starts_with(&error.name) && error.to_string().len() < 200, "{error}");
        }
    }
}
