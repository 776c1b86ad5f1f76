//! What a server can do.

use crate::fault::fault_of;
use crate::migration::SchemaError;
use crate::session::Session;

/// The oldest version that the tests run with: 15.0.
const VERSION_MIN: i32 = 150_000;

/// What was found out about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whether what it has committed survives a loss of power.
    pub(crate) is_durable: bool,
}

impl Server {
    /// Asks the server what it is.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Server`] if it cannot be used.
    pub(crate) fn ask(session: &mut Session) -> Result<Self, SchemaError> {
        let query = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
                     current_setting('server_encoding'), current_setting('fsync')";
        let row = session.run(async |client| client.query_typed_one(query, &[]).await)?;
        let broken = |error| SchemaError::Fault(fault_of(&error));
        let (number, version): (i32, &str) = (row.try_get(0).map_err(broken)?, row.try_get(1).map_err(broken)?);
        if number < VERSION_MIN {
            return Err(SchemaError::Server(format!("the server has version {version}; at least 15 is needed")));
        }
        let encoding: &str = row.try_get(2).map_err(broken)?;
        if encoding != "UTF8" {
            return Err(SchemaError::Server(format!(
                "the database has the encoding {encoding}; create one with ENCODING 'UTF8'"
            )));
        }
        let fsync: &str = row.try_get(3).map_err(broken)?;
        Ok(Self { is_durable: fsync == "on" })
    }
}
