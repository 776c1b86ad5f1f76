//! Where the database is, and how to log in.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::password::PasswordFile;
use crate::schema::{SchemaName, SchemaNameError};
use crate::tls::{Tls, TlsError, Verification};

/// The longest time to reach one server, unless the URL has `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The port of a server, unless the URL has one.
const PORT: u16 = 5432;

/// The address of a repository: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE`.
///
/// The form is that of [libpq](https://www.postgresql.org/docs/current/libpq-connect.html), with several hosts
/// separated by commas. Beside libpq's parameters that [`tokio_postgres::Config`] knows, there are `sslmode` with all
/// of libpq's values, `sslrootcert`, and `schema`, the schema that has the tables.
///
/// A password that the URL lacks is that of `PGPASSWORD`, or of the file `PGPASSFILE`, by default `~/.pgpass`. Neither
/// [`Display`](fmt::Display) nor [`Debug`] shows one.
#[derive(Clone)]
pub struct Address {
    config: Config,
    schema: SchemaName,
    verification: Option<Verification>,
    root_certificates: Option<PathBuf>,
    /// The URL without secrets.
    shown: String,
}

/// A text that is no [`Address`]. No message quotes the text, which may have a password.
#[derive(Debug, Error)]
pub enum AddressError {
    /// It is no URL of PostgreSQL.
    #[error("no URL of PostgreSQL ({0}); expected `postgres://USER@HOST/DATABASE`")]
    Url(String),
    /// The schema has an impossible name.
    #[error(transparent)]
    Schema(#[from] SchemaNameError),
    /// `sslmode` has an unknown value.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    SslMode,
}

/// Drives a connection until it ends.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Why no connection was made.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Server(#[from] Error),
}

impl Address {
    /// The schema that has the tables.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.schema
    }

    /// Connects to the first server that accepts writes.
    pub(crate) async fn connect(&self) -> Result<(Client, Driver), ConnectError> {
        let mut config = self.config.clone();
        if config.get_password().is_none()
            && let Some(password) = self.password()
        {
            config.password(password);
        }
        let Some(verification) = self.verification else {
            let (client, connection) = config.connect(NoTls).await?;
            return Ok((client, Box::pin(connection)));
        };
        let tls = Tls::new(verification, self.root_certificates.as_deref())?;
        let (client, connection) = config.connect(tls.connector()).await?;
        Ok((client, Box::pin(connection)))
    }

    /// The password from the environment or the password file. Read for each connection, since it may change.
    fn password(&self) -> Option<String> {
        if let Ok(password) = env::var("PGPASSWORD") {
            return Some(password);
        }
        let host = match self.config.get_hosts().first()? {
            Host::Tcp(host) => host.clone(),
            // As libpq: sockets of the system belong to this machine.
            Host::Unix(_) => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(PORT);
        let user = self.config.get_user()?;
        let database = self.config.get_dbname().unwrap_or(user);
        PasswordFile::read()?.find(&host, port, database, user)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut schema, mut root_certificates) = (SchemaName::default(), None);
        let (mut mode, mut verification) = (SslMode::Prefer, Some(Verification::None));
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("schema", name)) => schema = name.parse()?,
                Some(("sslrootcert", path)) => {
                    root_certificates = Some(PathBuf::from(&*percent_decode_str(path).decode_utf8_lossy()));
                }
                Some(("sslmode", value)) => (mode, verification) = ssl_mode(value)?,
                Some(_) | None => others.push(pair),
            }
        }
        let url = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        let mut config: Config = url.parse().map_err(|error: Error| AddressError::Url(error.to_string()))?;
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(AddressError::Url("it names no user".to_owned()));
        }
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("argus");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // Of several servers, the one that accepts writes: the primary.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let shown = shown(&config, &schema);
        Ok(Self { config, schema, verification, root_certificates, shown })
    }
}

/// Whether TLS is used, and how the server is verified.
fn ssl_mode(value: &str) -> Result<(SslMode, Option<Verification>), AddressError> {
    Ok(match value {
        "disable" => (SslMode::Disable, None),
        "prefer" => (SslMode::Prefer, Some(Verification::None)),
        "require" => (SslMode::Require, Some(Verification::None)),
        "verify-ca" => (SslMode::Require, Some(Verification::Chain)),
        "verify-full" => (SslMode::Require, Some(Verification::ChainAndName)),
        _ => return Err(AddressError::SslMode),
    })
}

/// The URL without password and parameters.
fn shown(config: &Config, schema: &SchemaName) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let ports = config.get_ports();
        let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(PORT);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let schema = schema.to_string();
    format!("postgres://{user}@{}/{database}?schema={}", hosts.join(","), schema.trim_matches('"'))
}

/// The URL without password and most parameters.
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

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        let Self { config, schema, verification, root_certificates, shown: _ } = self;
        *config == other.config
            && *schema == other.schema
            && *verification == other.verification
            && *root_certificates == other.root_certificates
    }
}

impl Eq for Address {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn no_text_shows_the_password() {
        for (url, shown) in [
            ("postgres://ann:secret@db/shop", "postgres://ann@db:5432/shop?schema=argus"),
            ("postgresql://ann:secret@a:1,b:2/shop?schema=x", "postgres://ann@a:1,b:2/shop?schema=x"),
            ("postgres://ann:secret@db?sslmode=require", "postgres://ann@db:5432/ann?schema=argus"),
        ] {
            let address = address(url);
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
        for url in ["postgres://ann:secret@db:port/shop", "postgres://ann:secret@db/shop?no=1", "postgres://:secret@db"]
        {
            let error = url.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn parameters_of_ours_are_understood() {
        let plain = address("postgres://a@db/x?sslmode=disable");
        assert_eq!((plain.verification, plain.config.get_ssl_mode()), (None, SslMode::Disable));
        let full = address("postgres://a@db/x?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fa%20b.pem&schema=s");
        assert_eq!(full.verification, Some(Verification::ChainAndName));
        assert_eq!(full.root_certificates, Some(PathBuf::from("/a b.pem")));
        assert_eq!(full.schema.to_string(), "\"s\"");
        assert_eq!(full.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(address("postgres://a@db/x").verification, Some(Verification::None), "TLS if the server has it");
        assert!(matches!("postgres://a@db?sslmode=on".parse::<Address>(), Err(AddressError::SslMode)));
        assert!(matches!("postgres://a@db?schema=A".parse::<Address>(), Err(AddressError::Schema(_))));
    }
}
