//! The file with the events, which all three load.

use std::{
    fs::File,
    io::{BufWriter, IntoInnerError},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    super::workload::HOUR_MS,
    events::{Events, IN_HOUR, TYPES, USERS},
};

/// The seed of all events of this part.
pub(super) const SEED: u64 = 11;

/// A file of events, and what is known about them.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// The number of events of each type.
    pub(super) by_type: [u64; TYPES.len()],
    /// The rank of the user with the fewest events, of those that have any.
    pub(super) rare_user: usize,
    /// The start of an hour in the middle, which has events of the type [`IN_HOUR`].
    pub(super) hour_ms: u64,
    /// The session of an event in the middle.
    pub(super) session: u64,
}

impl Written {
    /// Writes events as NDJSON into this folder. Returns also the stream, which goes on after these events.
    pub(super) fn new(folder: &Path, count: u64) -> Result<(Self, Events)> {
        let path = folder.join("events.ndjson");
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut out = BufWriter::new(file);
        let mut by_user = vec![0_u32; USERS];
        let mut written =
            Self { path, events: count, bytes: 0, by_type: [0; TYPES.len()], rare_user: 0, hour_ms: 0, session: 0 };
        let mut events = Events::new(SEED, count);
        for (index, event) in (0..count).zip(&mut events) {
            event.write(&mut out).context("cannot write events")?;
            *by_user.get_mut(event.user).context("a user beyond the last")? += 1;
            *written.by_type.get_mut(event.event_type).context("a type beyond the last")? += 1;
            if index >= count / 2 && event.event_type == IN_HOUR && written.hour_ms == 0 {
                written.hour_ms = event.time_ms / HOUR_MS * HOUR_MS;
            }
            if index == count / 2 {
                written.session = event.session;
            }
        }
        let file = out.into_inner().map_err(IntoInnerError::into_error).context("cannot write events")?;
        written.bytes = file.metadata().context("cannot read the length of the events")?.len();
        let users = by_user.iter().enumerate().filter(|(_, count)| **count > 0);
        written.rare_user = users.min_by_key(|(_, count)| **count).context("no events")?.0;
        Ok((written, events))
    }
}
