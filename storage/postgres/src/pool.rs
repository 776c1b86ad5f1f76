//! The connections that reads share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_database::Fault;
use tokio_postgres::{Client, Error, Row};

use crate::address::Address;
use crate::fault::while_running;
use crate::select::Select;
use crate::session::Session;

/// Connections for reading. A read takes one for the time of one statement, so no slow client holds one.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Address,
    patience: Duration,
    /// The most connections.
    max: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Those that nobody uses; the one that was used last comes last.
    idle: Vec<Session>,
    /// How many are idle, in use or being opened.
    open: usize,
}

impl Pool {
    /// No connections yet.
    pub(crate) fn new(address: Address, patience: Duration, max: usize) -> Self {
        Self { address, patience, max: max.max(1), state: Mutex::default(), returned: Condvar::new() }
    }

    /// Asks the server. If a connection that was idle turns out to be gone, asks again over a new one.
    ///
    /// # Errors
    ///
    /// A [`Fault`], also if all connections are in use for too long.
    pub(crate) fn ask<T>(&self, ask: &impl AsyncFn(&Client) -> Result<T, Error>) -> Result<T, Fault> {
        self.ask_and(ask, |_, _| ())
    }

    /// The first rows of a statement, and whether there are more, because these have `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub(crate) fn first_rows(&self, select: &Select, bytes_max: usize) -> Result<(Vec<Row>, bool), Fault> {
        let ask = async |client: &Client| select.first_rows(client, bytes_max).await;
        self.ask_and(&ask, |session, (_, is_cut)| {
            if *is_cut {
                // The server would send the rest before it answers anything else.
                session.abandon();
            }
        })
    }

    /// Asks the server, and looks at the answer before anybody else gets the connection.
    fn ask_and<T>(
        &self,
        ask: &impl AsyncFn(&Client) -> Result<T, Error>,
        look: impl FnOnce(&mut Session, &T),
    ) -> Result<T, Fault> {
        let (mut session, was_idle) = self.take()?;
        let mut answered = session.run(ask);
        if was_idle && answered.as_ref().is_err_and(Fault::is_lost) {
            // The others are as old.
            self.discard_idle();
            drop(session);
            session = self.replaced()?;
            answered = session.run(ask);
        }
        if let Ok(answer) = &answered {
            look(&mut session, answer);
        }
        self.put(session);
        answered
    }

    /// A connection, and whether it was used before.
    fn take(&self) -> Result<(Session, bool), Fault> {
        let deadline = Instant::now() + self.patience;
        let mut state = self.lock();
        loop {
            if let Some(session) = state.idle.pop() {
                return Ok((session, true));
            }
            if state.open < self.max {
                state.open += 1;
                drop(state);
                return Ok((self.replaced()?, false));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let busy = format!("all {} connections for reading have been in use for {:?}", self.max, self.patience);
                return Err(Fault::Unavailable(busy.into()));
            }
            (state, _) = self.returned.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A new connection instead of one that is counted.
    fn replaced(&self) -> Result<Session, Fault> {
        let opened = Session::open(&self.address, self.patience).map_err(while_running);
        if opened.is_err() {
            self.lock().open -= 1;
            self.returned.notify_one();
        }
        opened
    }

    fn put(&self, session: Session) {
        let mut state = self.lock();
        if session.is_lost() {
            state.open -= 1;
        } else {
            state.idle.push(session);
        }
        drop(state);
        self.returned.notify_one();
    }

    fn discard_idle(&self) {
        let mut state = self.lock();
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        drop(state);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
