//! Waits for other writers, and ends the transactions of those that are gone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};

use crate::collections::writers;
use crate::fault::Fault;
use crate::pause::pause;
use crate::session::{BEAT, kill};
use crate::store::Store;

/// The first pause before a try, and the longest one.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

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
    seen: Option<(Instant, BTreeMap<String, Writer>)>,
}

/// A session.
#[derive(Clone, Debug, PartialEq)]
struct Writer {
    id: Bson,
    /// When it gave a sign of life, by the server's clock.
    seen: Bson,
}

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
    pub(crate) fn wait(&mut self, store: &Store, own: Option<&Bson>) -> Result<(), Fault> {
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
                let silent = now.iter().filter(|(id, writer)| before.get(*id) == Some(writer));
                let ids: Vec<Bson> = silent.map(|(_, writer)| writer.id.clone()).filter(|id| Some(id) != own).collect();
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
fn signs(store: &Store) -> Result<BTreeMap<String, Writer>, Fault> {
    let writers = writers(&store.database()?);
    store.wait(async move {
        let mut found = BTreeMap::new();
        let mut cursor = writers.find(doc! {}).await?;
        while cursor.advance().await? {
            let document: Document = cursor.deserialize_current()?;
            if let (Some(id), Some(seen)) = (document.get("_id"), document.get("seen")) {
                found.insert(id.to_string(), Writer { id: id.clone(), seen: seen.clone() });
            }
        }
        Ok(found)
    })
}
