//! Waits for other writers, and ends the transactions of those that are gone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use argus_database::Fault;
use mongodb::bson::{DateTime, Uuid, doc};

use crate::collections::writers;
use crate::pause::pause;
use crate::session::{BEAT, kill};
use crate::store::Store;
use crate::values::uuid;

/// The first pause before a try, and the longest one.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long a writer lets others go first after it has kept them waiting for several transactions. All of them look
/// within this time.
pub(crate) const TURN: Duration = PAUSE_MAX.saturating_mul(2);

/// How long another writer may be in the way before its signs of life are watched.
const TOLERANCE: Duration = Duration::from_secs(1);

/// A session without a sign of life for so long is gone.
const SILENCE: Duration = Duration::from_secs(3 * BEAT.as_secs());

/// One attempt after the other meets a transaction of somebody else.
#[derive(Debug)]
pub(crate) struct Standoff {
    began: Instant,
    pause: Duration,
    /// When signs of life were first looked at, and what they were then.
    seen: Option<(Instant, Signs)>,
}

/// When each session gave its last sign of life, by the server's clock.
type Signs = BTreeMap<Uuid, DateTime>;

impl Standoff {
    /// Before the first conflict.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), pause: PAUSE, seen: None }
    }

    /// Waits a moment after a conflict. If the conflicts have lasted for some seconds, ends the transactions of
    /// sessions that gave no sign of life meanwhile, except `own`.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn wait(&mut self, store: &Store, own: Option<Uuid>) -> Result<(), Fault> {
        // Whoever waits for the same time as another one meets it again.
        let half = self.pause / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        pause(half + Duration::from_nanos(RandomState::new().build_hasher().finish() % nanos));
        self.pause = (self.pause * 3 / 2).min(PAUSE_MAX);
        match &self.seen {
            None if self.began.elapsed() < TOLERANCE => {}
            None => self.seen = Some((Instant::now(), signs(store)?)),
            Some((at, _)) if at.elapsed() < SILENCE => {}
            Some((_, before)) => {
                let now = signs(store)?;
                let silent = now.into_iter().filter(|(id, seen)| before.get(id) == Some(seen) && Some(*id) != own);
                let ids: Vec<Uuid> = silent.map(|(id, _)| id).collect();
                if !ids.is_empty() {
                    kill(store, ids)?;
                }
                self.seen = None;
                self.began = Instant::now();
            }
        }
        Ok(())
    }
}

/// The last sign of life of each session.
fn signs(store: &Store) -> Result<Signs, Fault> {
    let writers = writers(&store.database()?);
    store.wait(async move {
        let mut found = BTreeMap::new();
        let mut cursor = writers.find(doc! {}).await?;
        while cursor.advance().await? {
            let document = cursor.deserialize_current()?;
            // What is something else was put there by somebody else.
            if let (Some(id), Ok(seen)) = (document.get("_id").and_then(uuid), document.get_datetime("seen")) {
                found.insert(id, *seen);
            }
        }
        Ok(found)
    })
}
