//! The formats of files.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// The file format of Apache Arrow IPC, also known as Feather version 2, not compressed.
    Arrow,
    /// Comma-separated values (RFC 4180) in UTF-8, with a line of names.
    Csv,
    /// An event a line, as `GET /events` gives it.
    Ndjson,
}

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// No format has this name.
    #[error("the formats are parquet, arrow, csv and ndjson")]
    Unknown,
    /// This program cannot write it.
    #[error(
        "this program was built without the feature `export`, and writes csv and ndjson alone; build it with \
         `--features export` for {0}"
    )]
    NotBuilt(Format),
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Parquet, Self::Arrow, Self::Csv, Self::Ndjson];

    /// Whether this program can write it: Parquet and Arrow need the feature `columnar` of this crate.
    #[must_use]
    pub fn is_built(self) -> bool {
        match self {
            Self::Parquet | Self::Arrow => cfg!(feature = "columnar"),
            Self::Csv | Self::Ndjson => true,
        }
    }

    /// Whether it has columns for the paths of payloads.
    #[must_use]
    pub fn has_columns(self) -> bool {
        match self {
            Self::Parquet | Self::Arrow | Self::Csv => true,
            Self::Ndjson => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let format = Self::ALL.into_iter().find(|format| format.name() == text).ok_or(FormatError::Unknown)?;
        if format.is_built() { Ok(format) } else { Err(FormatError::NotBuilt(format)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_names() {
        for format in Format::ALL {
            let expected = if format.is_built() { Ok(format) } else { Err(FormatError::NotBuilt(format)) };
            assert_eq!(format.to_string().parse(), expected);
        }
        for text in ["", "CSV", "json", "feather"] {
            assert_eq!(text.parse::<Format>(), Err(FormatError::Unknown), "{text}");
        }
    }
}
