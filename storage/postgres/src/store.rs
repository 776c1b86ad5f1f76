//! What reading and writing share.

use argus_database::Fault;

use crate::address::Address;
use crate::head::Head;
use crate::pool::Pool;

/// The database, as reads use it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    /// The limit on different event types.
    pub(crate) types_max: usize,
}

impl Store {
    /// Reads the head.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn head(&self) -> Result<Head, Fault> {
        self.pool.ask(&async |client| Head::read(client, self.address.schema()).await)
    }
}
