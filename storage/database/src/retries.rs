//! Whether a write that has failed is tried again.

use std::thread;
use std::time::{Duration, Instant};

use crate::fault::Fault;

/// How often a write is tried again over a new connection.
const RECONNECTS_MAX: u32 = 3;

/// The pause between two attempts to find out whether a write was successful.
const SETTLING_PAUSE: Duration = Duration::from_millis(100);

/// The attempts of one write. Conflicts with other transactions are not among their reasons: each database has its own
/// way out of them.
#[derive(Debug)]
pub struct Retries {
    deadline: Instant,
    reconnects: u32,
}

impl Retries {
    /// Before the first attempt of a write that may take so long.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, reconnects: 0 }
    }

    /// Whether no time is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Waits until another attempt makes sense. An earlier attempt may have been successful if the write `is_in_doubt`.
    ///
    /// # Errors
    ///
    /// The fault, if no attempt makes sense.
    pub fn wait(&mut self, fault: Fault, is_in_doubt: bool) -> Result<(), Fault> {
        if self.is_over() {
            return Err(fault);
        }
        match fault {
            // The connection was idle, and the server may have closed it long ago.
            Fault::Lost(_) if self.reconnects < RECONNECTS_MAX => {
                self.reconnects += 1;
                Ok(())
            }
            // Until the server answers again, nobody knows the outcome.
            Fault::Lost(_) | Fault::Unavailable(_) if is_in_doubt => {
                thread::sleep(SETTLING_PAUSE);
                Ok(())
            }
            fault @ (Fault::Lost(_)
            | Fault::Unavailable(_)
            | Fault::Full(_)
            | Fault::Conflict(_)
            | Fault::Failed(_)) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Fault {
        Fault::Lost("reset".into())
    }

    #[test]
    fn a_lost_connection_is_replaced_a_few_times() {
        let mut retries = Retries::new(Duration::from_secs(3_600));
        for _ in 0..RECONNECTS_MAX {
            assert_eq!(retries.wait(lost(), false), Ok(()));
        }
        assert_eq!(retries.wait(lost(), false), Err(lost()));
    }

    #[test]
    fn an_outcome_in_doubt_is_asked_for_as_long_as_there_is_time() {
        let away = Fault::Unavailable("away".into());
        let mut retries = Retries::new(Duration::from_secs(3_600));
        assert_eq!(retries.wait(away.clone(), true), Ok(()));
        assert_eq!(retries.wait(away.clone(), false), Err(away.clone()));
        let mut over = Retries::new(Duration::ZERO);
        assert_eq!(over.wait(away.clone(), true), Err(away));
    }

    #[test]
    fn a_conflict_is_left_to_the_caller() {
        let conflict = Fault::Conflict("busy".into());
        assert_eq!(Retries::new(Duration::from_secs(3_600)).wait(conflict.clone(), true), Err(conflict));
    }
}
