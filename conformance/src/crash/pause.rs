//! A server that stands still for longer than anybody waits for it.

use std::time::Duration;

use argus_conformance::client::PATIENCE;
use argus_conformance::launcher::Signal;

use crate::draw::Draw;
use crate::faults::stores;
use crate::ledger::{Outcome, all_answered};
use crate::server::{signal, terminate, with_log};
use crate::site::{MIXED, Site};
use crate::wait::wait;

/// How long it stands still: longer than a client waits, and than it waits once more over another connection.
const PAUSE: Duration = Duration::from_secs(65);
const _: () = assert!(PAUSE.as_secs() > 2 * PATIENCE.as_secs());
/// How long there is load before and after.
const LOAD: Duration = Duration::from_millis(500);

/// SIGSTOP for a minute under load, and SIGCONT: nothing that was acknowledged before is lost, requests that nobody
/// waits for any more are there as a whole or not at all, and whoever comes later is served as if nothing had been.
pub(crate) fn for_a_minute(site: &mut Site, draw: &mut Draw) -> Result<String, String> {
    let mut server = site.start()?;
    let address = server.address();
    let around = site.load(address, MIXED, draw, |_| {
        wait(LOAD);
        signal(server.as_ref(), Signal::Stop)?;
        wait(PAUSE);
        signal(server.as_ref(), Signal::Continue)
    });
    let around = around.map_err(|error| with_log(&error, server.as_ref()))?;
    let after = site.load(address, MIXED, draw, |_| {
        wait(LOAD);
        Ok(())
    });
    let after = after.map_err(|error| with_log(&error, server.as_ref()))?;
    all_answered(&after).map_err(|error| with_log(&error, server.as_ref()))?;
    // What nobody waits for any more may still be under way before the server has come to its end.
    terminate(server.as_mut())?;
    let server = site.start()?;
    let acknowledged = after.iter().filter(|attempt| !matches!(attempt.outcome, Outcome::Refused(_))).count();
    let attempts = [around, after].concat();
    let sums = site.audit(server.address(), &attempts, draw, true).map_err(|e| with_log(&e, server.as_ref()))?;
    if sums.unknown == 0 || acknowledged == 0 {
        return Err(format!(
            "{} requests were given up in {PAUSE:?}, and {acknowledged} acknowledged later",
            sums.unknown
        ));
    }
    stores(site, server.address(), draw)?;
    Ok(format!(
        "{} of {} unanswered requests were there, {acknowledged} were acknowledged after it, {} in all; {} events there",
        sums.unknown_there,
        sums.unknown,
        sums.acknowledged,
        site.ledger.len()
    ))
}
