//! A server that stands still for longer than anybody waits for it.

use std::time::Duration;

use argus_conformance::client::PATIENCE;
use argus_conformance::launcher::Signal;

use crate::draw::Draw;
use crate::faults::stores;
use crate::ledger::{Attempt, Outcome};
use crate::round::{signal, terminate, with_log};
use crate::site::{MIXED, Site, wait};

/// How long it stands still. Clients give up meanwhile, and all timeouts of the server pass.
const PAUSE: Duration = Duration::from_secs(60);
const _: () = assert!(PAUSE.as_secs() > PATIENCE.as_secs());
/// How long there is load before and after.
const LOAD: Duration = Duration::from_millis(500);

/// SIGSTOP for a minute under load, and SIGCONT: nothing that was acknowledged before is lost, requests that nobody waits for any more are
/// there as a whole or not at all, and whoever comes later is served as if nothing had been.
pub(crate) fn for_a_minute(site: &mut Site, draw: &mut Draw) -> Result<String, String> {
    let mut server = site.start()?;
    let address = server.address();
    let attempts = site.load(address, MIXED, draw, |_| {
        wait(LOAD);
        signal(server.as_ref(), Signal::Stop)?;
        wait(PAUSE);
        signal(server.as_ref(), Signal::Continue)
    });
    let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
    let during = site.audit(address, &attempts, draw, true).map_err(|error| with_log(&error, server.as_ref()))?;
    if during.unknown == 0 {
        return Err(format!("a server that stood still for {PAUSE:?} has answered everybody within {PATIENCE:?}"));
    }
    let attempts = site.load(address, MIXED, draw, |_| {
        wait(LOAD);
        Ok(())
    });
    let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
    all_answered(&attempts).map_err(|error| with_log(&error, server.as_ref()))?;
    let after = site.audit(address, &attempts, draw, true).map_err(|error| with_log(&error, server.as_ref()))?;
    terminate(server.as_mut())?;
    let server = site.start()?;
    site.audit(server.address(), &[], draw, true).map_err(|error| with_log(&error, server.as_ref()))?;
    stores(site, server.address(), draw)?;
    Ok(format!(
        "{} of {} unanswered requests were there, {} were acknowledged around it and {} after it; {} events there",
        during.unknown_there,
        during.unknown,
        during.acknowledged,
        after.acknowledged,
        site.ledger.len()
    ))
}

/// A server that had no time for a while answers when it has.
pub(crate) fn all_answered(attempts: &[Attempt]) -> Result<(), String> {
    let unanswered = attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Unknown(why) => Some(why),
        Outcome::One { .. } | Outcome::Many { .. } | Outcome::Refused(_) => None,
    });
    unanswered.map_or(Ok(()), |why| Err(format!("a request was not answered after SIGSTOP and SIGCONT: {why}")))
}
