//! One connection to a server.

use std::fmt;
use std::time::Duration;

use argus_database::Fault;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

use crate::address::{Address, ConnectError};
use crate::fault::{fault_of, fault_of_connecting, silent};

/// A connection, with the runtime that drives it while somebody waits for an answer.
///
/// Nothing runs in the background: the thread that asks also reads and writes the socket. So there is no thread to
/// die, and it does not matter which executor the host uses.
pub(crate) struct Session {
    /// Taken when the session is dropped.
    runtime: Option<Runtime>,
    client: Client,
    /// Reads and writes the socket. Ends when the connection does.
    driver: JoinHandle<Result<(), Error>>,
    /// The longest time that a call waits for the server.
    patience: Duration,
    is_lost: bool,
}

impl Session {
    /// Connects to the first server that is suitable.
    ///
    /// # Errors
    ///
    /// [`Fault::Unavailable`] if none is, or if it does not answer within `patience`.
    pub(crate) fn open(address: &Address, patience: Duration) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Unavailable(error.to_string().into()))?;
        let connecting = async {
            let (client, connection) = address.connect().await?;
            let driver = tokio::spawn(connection);
            // What nobody waits for any more must not go on.
            client.batch_execute(&format!("SET statement_timeout = {}", patience.as_millis())).await?;
            Ok::<_, ConnectError>((client, driver))
        };
        let connected = runtime.block_on(async { tokio::time::timeout(patience, connecting).await });
        match connected {
            Ok(Ok((client, driver))) => Ok(Self { runtime: Some(runtime), client, driver, patience, is_lost: false }),
            Ok(Err(ConnectError::Server(error))) => Err(fault_of_connecting(&error)),
            Ok(Err(ConnectError::Tls(error))) => Err(Fault::Failed(error.to_string().into())),
            Err(_) => Err(Fault::Unavailable(silent(patience).into_cause())),
        }
    }

    /// Asks the server, and waits for its answer.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. After [`Fault::Lost`], the session [is lost](Self::is_lost), and what the server has done is
    /// unknown.
    pub(crate) fn run<T>(&mut self, ask: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, Fault> {
        let Self { runtime, client, patience, .. } = self;
        let runtime = runtime.as_ref().expect("it is there until the session is dropped");
        let answered = runtime.block_on(async { tokio::time::timeout(*patience, ask(client)).await });
        let fault = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => fault_of(&error),
            Err(_) => silent(*patience),
        };
        self.is_lost |= fault.is_lost() || self.driver.is_finished();
        Err(fault)
    }

    /// Whether the connection is gone, so that the session is of no use any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Gives the connection up, because the rest of an answer is not wanted.
    pub(crate) fn abandon(&mut self) {
        self.is_lost = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A runtime that is dropped otherwise waits for its threads, and must not be on the thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}
