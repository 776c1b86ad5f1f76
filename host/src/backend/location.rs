//! Where events are kept, as given on the command line.

use std::fmt;
use std::path::{self, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Where events are kept.
///
/// A path is made absolute when it is read, so that messages name the same folder from everywhere.
///
/// ```
/// use argus_host::backend::{Location, UnknownLocation};
///
/// assert_eq!("memory".parse(), Ok(Location::Memory));
/// assert_eq!("/var/lib/argus".parse(), Ok(Location::Disk("/var/lib/argus".into())));
/// assert_eq!("disk:/var/lib/argus".parse(), Ok(Location::Disk("/var/lib/argus".into())));
/// assert!("s3://bucket".parse::<Location>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `memory` or `memory:`: in this process; they are lost when it ends.
    Memory,
    /// `PATH` or `disk:PATH`: in a folder, which is created if it does not exist.
    Disk(PathBuf),
    /// `postgres://USER@HOST/DATABASE`: in a PostgreSQL database.
    Postgres(DatabaseUrl),
    /// `mongodb://HOST/DATABASE` or `mongodb+srv://…`: in a MongoDB database.
    Mongodb(DatabaseUrl),
}

/// The URL of a database. Only [`expose`](Self::expose) shows all of it, since it may have a password. So it is taken
/// as it is here, and the backend says what is wrong with it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Box<str>);

/// A text that names no place for events.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownLocation {
    /// It is a URL of no known kind of repository.
    #[error(
        "unknown kind of repository '{0}:'; expected `disk:PATH` or PATH (a folder), \
         `postgres://USER@HOST/DATABASE`, `mongodb://HOST/DATABASE`, or `memory:` (events are lost when the process \
         ends)"
    )]
    Kind(String),
    /// It has a colon, as a URL does, but may be meant as the name of a folder.
    #[error(
        "`disk:` and `memory:` are the kinds of repository, and '{0}' has another word before the colon; write \
         `./{0}` for a folder of that name"
    )]
    Colon(String),
    /// It names no folder.
    #[error("expected `disk:PATH` or PATH (a folder), or `memory:` (events are lost when the process ends)")]
    NoFolder,
    /// The path is relative, and the working directory is unknown.
    #[error("the working directory is unknown ({0}); give an absolute path")]
    WorkingDirectory(String),
}

impl Location {
    /// The kind of repository, for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk(_) => "disk",
            Self::Postgres(_) => "postgres",
            Self::Mongodb(_) => "mongodb",
        }
    }
}

impl DatabaseUrl {
    /// The whole URL, perhaps with a password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The URL without password and parameters, but with the schema, since one database may have several repositories.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("//").unwrap_or(("", &self.0));
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let until_colon = |text: &str| text.split_once(':').map_or(text, |(start, _)| start).to_owned();
        if parameters.contains('@') {
            // Perhaps the `?` belongs to a password that was not escaped.
            return write!(f, "{scheme}//{}", until_colon(place));
        }
        // The last one: a password that was not escaped may have others.
        match place.rsplit_once('@') {
            Some((user, place)) => write!(f, "{scheme}//{}@{place}", until_colon(user))?,
            None => write!(f, "{scheme}//{place}")?,
        }
        match parameters.split('&').find(|parameter| parameter.starts_with("schema=")) {
            Some(schema) => write!(f, "?{schema}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl fmt::Display for Location {
    /// The URL, without the password of a database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Disk(path) => write!(f, "disk:{}", path.display()),
            Self::Postgres(url) | Self::Mongodb(url) => url.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = UnknownLocation;

    fn from_str(text: &str) -> Result<Self, UnknownLocation> {
        if matches!(text, "memory" | "memory:") {
            return Ok(Self::Memory);
        }
        let path = match scheme(text) {
            None => text,
            Some(("disk", path)) => path,
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                return Ok(Self::Postgres(DatabaseUrl(text.into())));
            }
            Some(("mongodb" | "mongodb+srv", rest)) if rest.starts_with("//") => {
                return Ok(Self::Mongodb(DatabaseUrl(text.into())));
            }
            Some((kind, rest)) if rest.starts_with("//") => return Err(UnknownLocation::Kind(kind.to_owned())),
            Some(_) => return Err(UnknownLocation::Colon(text.to_owned())),
        };
        if path.is_empty() {
            return Err(UnknownLocation::NoFolder);
        }
        let path = path::absolute(path).map_err(|error| UnknownLocation::WorkingDirectory(error.to_string()))?;
        Ok(Self::Disk(path))
    }
}

/// The scheme of a URL, and what follows its colon. A scheme has at least two characters (RFC 3986 has the set).
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn locations_are_paths_or_urls_and_written_as_urls() {
        let here = std::env::current_dir().unwrap();
        let here = here.display();
        for (text, url) in [
            ("memory:", "memory:".to_owned()),
            ("memory", "memory:".to_owned()),
            ("disk:/a", "disk:/a".to_owned()),
            ("/a b/c", "disk:/a b/c".to_owned()),
            ("a", format!("disk:{here}/a")),
            ("disk:a", format!("disk:{here}/a")),
            ("disk:memory", format!("disk:{here}/memory")),
            ("./memory", format!("disk:{here}/memory")),
            ("./s3:a", format!("disk:{here}/s3:a")),
            ("../a", format!("disk:{here}/../a")),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), url, "{text}");
            assert_eq!(url.parse(), Ok(location), "{text}");
        }
    }

    #[test]
    fn no_text_shows_the_password_of_a_database() {
        for (url, shown) in [
            ("mongodb+srv://ann:secret@db/shop?tls=true", "mongodb+srv://ann@db/shop"),
            ("mongodb://ann:secret@a:1,b:2", "mongodb://ann@a:1,b:2"),
            ("postgres://db", "postgres://db"),
            ("postgres://ann@db:5432/shop", "postgres://ann@db:5432/shop"),
            ("postgresql://ann:secret@a,b/shop?password=secret", "postgresql://ann@a,b/shop"),
            ("postgres://ann:sec@ret:/@db/shop", "postgres://ann@db/shop"),
            ("postgres://ann:secret@db/shop?password=secret&schema=two", "postgres://ann@db/shop?schema=two"),
            ("postgres://ann:s?schema=secret@db/shop", "postgres://ann"),
            ("postgres://ann:s@ec?schema=secret@db/shop", "postgres://ann"),
        ] {
            let location: Location = url.parse().unwrap();
            let kind = if url.starts_with("mongodb") { "mongodb" } else { "postgres" };
            assert_eq!((location.kind(), location.to_string()), (kind, shown.to_owned()));
            assert!(!format!("{location:?}").contains("sec"), "{location:?}");
        }
    }

    #[test]
    fn urls_of_other_kinds_and_empty_texts_are_refused() {
        for (text, kind) in
            [("s3://bucket", "s3"), ("file:///a", "file"), ("git+ssh://a", "git+ssh"), ("memory://", "memory")]
        {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error, UnknownLocation::Kind(kind.to_owned()));
            let message = error.to_string();
            assert!(["disk:PATH", "memory:", kind].iter().all(|words| message.contains(words)), "{message}");
        }
        let here = std::env::current_dir().unwrap();
        for text in ["backup-12:30", "data:2024", "s3:bucket", "memory:a"] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error, UnknownLocation::Colon(text.to_owned()));
            let message = error.to_string();
            let way_out = format!("./{text}");
            assert!(message.contains(&format!("write `{way_out}` for a folder of that name")), "{message}");
            assert_eq!(way_out.parse(), Ok(Location::Disk(here.join(text))));
        }
        for text in ["", "disk:"] {
            assert_eq!(text.parse::<Location>(), Err(UnknownLocation::NoFolder), "{text:?}");
        }
    }
}
