//! Where the database is, and how to log in.

use std::fmt;
use std::str::FromStr;

use mongodb::options::ConnectionString;
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The database, unless the URL names one.
const DATABASE: &str = "argus";

/// The longest name of a database that MongoDB takes, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The address of a repository: `mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE`, or `mongodb+srv://`.
///
/// The form is that of [MongoDB's drivers](https://www.mongodb.com/docs/manual/reference/connection-string/), with
/// several hosts separated by commas. The database is `argus` unless the URL names one. Options for reading and
/// writing, such as `readPreference` and `w`, have no effect: the repository needs certain ones.
///
/// Neither [`Display`](fmt::Display) nor [`Debug`] shows the password.
#[derive(Clone, PartialEq)]
pub struct Address {
    options: ConnectionString,
    database: String,
    /// The URL without secrets.
    shown: String,
}

/// A text that is no [`Address`]. No message quotes the text, which may have a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It is no URL of MongoDB.
    #[error("no URL of MongoDB ({0}); expected `mongodb://USER:PASSWORD@HOST/DATABASE`")]
    Url(String),
    /// The database has an impossible name.
    #[error("'{0}' is no name of a database: 1 to {NAME_BYTES_MAX} bytes without any of /\\. \"$*<>:|?")]
    Database(String),
}

impl Address {
    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The options of the URL.
    pub(crate) fn options(&self) -> ConnectionString {
        self.options.clone()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(text).ok_or_else(|| AddressError::Url("it begins with neither form".to_owned()))?;
        let parsed = ConnectionString::parse(text);
        let options = parsed.map_err(|error| AddressError::Url(parts.without_secrets(&error.to_string())))?;
        let database = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let is_forbidden = |byte: u8| b"/\\. \"$*<>:|?\0".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&database.len()) || database.bytes().any(is_forbidden) {
            return Err(AddressError::Database(database));
        }
        let user = parts.user.map(|user| format!("{user}@")).unwrap_or_default();
        let shown = format!("{}{user}{}/{database}", parts.scheme, parts.hosts);
        Ok(Self { options, database, shown })
    }
}

/// The parts of a URL that are shown, or must not be.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    hosts: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_at_checked(url.find("://")? + "://".len())?;
        if !matches!(scheme, "mongodb://" | "mongodb+srv://") {
            return None;
        }
        // A password may have these characters by mistake, and must not be shown even then.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let hosts = rest.split(['/', '?']).next().unwrap_or_default();
        let (user, password) = match login {
            Some(login) => login.split_once(':').map_or((Some(login), None), |(user, word)| (Some(user), Some(word))),
            None => (None, None),
        };
        Some(Self { scheme, user, password, hosts })
    }

    /// A message of the driver, unless it has the password or a part of it.
    fn without_secrets(&self, message: &str) -> String {
        let Some(password) = self.password else { return message.to_owned() };
        let decoded = percent_decode_str(password).decode_utf8_lossy();
        let mut words = password.split(['/', '?', '@', ':']).chain([&*decoded]).filter(|word| !word.is_empty());
        if words.any(|word| message.contains(word)) {
            return "it cannot be parsed; is each special character of the password percent-encoded?".to_owned();
        }
        message.to_owned()
    }
}

/// The URL without password and options.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

impl Eq for Address {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn no_text_shows_the_password() {
        for (url, shown) in [
            ("mongodb://ann:secret@db/shop", "mongodb://ann@db/shop"),
            ("mongodb://ann:secret@a:1,b:2/?replicaSet=rs0", "mongodb://ann@a:1,b:2/argus"),
            ("mongodb://db:7", "mongodb://db:7/argus"),
            ("mongodb+srv://ann:s%65cret@db.example/shop?tls=true", "mongodb+srv://ann@db.example/shop"),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
        for url in [
            "mongodb://ann:secret@db:port/shop",
            "mongodb://ann:sec/secret@db/shop",
            "mongodb://ann:secret@secret@db/shop",
            "mongodb://ann:secret@db/shop?tls=secret",
            "mongodb://ann:secret@db/a.b",
            "postgres://ann:secret@db/shop",
            "ann:secret",
        ] {
            let error = url.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn the_database_is_that_of_the_path() {
        assert_eq!("mongodb://db/shop".parse::<Address>().unwrap().database(), "shop");
        assert_eq!("mongodb://db".parse::<Address>().unwrap().database(), "argus");
        let error = format!("mongodb://db/{}", "x".repeat(64)).parse::<Address>().unwrap_err();
        assert!(matches!(error, AddressError::Database(_)), "{error}");
    }
}
