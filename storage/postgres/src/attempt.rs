//! A transaction that can be tried again until its outcome is known.

use argus_database::{Fault, TypeCache};

use crate::writer::Writer;

/// A transaction that stores events. If the connection broke at its end, the next attempt finds out whether it was
/// successful.
pub(crate) trait Attempt {
    /// What is known once it was successful.
    type Done;

    /// Runs the transaction once. If an earlier attempt was successful, returns its outcome.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. The transaction may still be open.
    fn transact(&mut self, writer: &mut Writer, types: &mut TypeCache, types_max: usize) -> Result<Self::Done, Fault>;

    /// Whether the events may be stored although no attempt has succeeded.
    fn is_in_doubt(&self) -> bool;

    /// As [`transact`](Self::transact); afterwards, no transaction is open.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. [`is_in_doubt`](Self::is_in_doubt) tells whether the events may be stored.
    fn attempt(&mut self, writer: &mut Writer, types: &mut TypeCache, types_max: usize) -> Result<Self::Done, Fault> {
        let attempted = self.transact(writer, types, types_max);
        if attempted.is_err() && !writer.session.is_lost() {
            // Ends what the failed statement has left.
            writer.session.run(async |client| client.batch_execute("ROLLBACK").await)?;
        }
        attempted
    }
}
