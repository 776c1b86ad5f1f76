//! A server that is stopped for longer than clients wait.

use std::time::Duration;

use argus_conformance::client::PATIENCE;
use argus_conformance::launcher::Signal;
use argus_conformance::random::Random;

use crate::faults::stores;
use crate::ledger::{Outcome, all_answered};
use crate::load::MIXED;
use crate::server::{signal, terminate, with_log};
use crate::site::Site;
use crate::wait::wait;

/// How long it is stopped: longer than a client waits for an answer, and then for one over another connection.
const PAUSE: Duration = Duration::from_secs(65);
const _: () = assert!(PAUSE.as_secs() > 2 * PATIENCE.as_secs());
/// The time of load before and after.
const LOAD: Duration = Duration::from_millis(500);

/// SIGSTOP for a minute under load, then SIGCONT: no acknowledged event is lost, requests whose clients have timed out
/// are stored whole or not at all, and later clients are served as usual.
pub(crate) fn for_a_minute(site: &mut Site, random: &mut Random) -> Result<String, String> {
    let mut server = site.start()?;
    let address = server.address();
    let around = site.load(address, MIXED, random, |_| {
        wait(LOAD);
        signal(server.as_ref(), Signal::Stop)?;
        wait(PAUSE);
        signal(server.as_ref(), Signal::Continue)
    });
    let around = around.map_err(|error| with_log(&error, server.as_ref()))?;
    let after = site.load(address, MIXED, random, |_| {
        wait(LOAD);
        Ok(())
    });
    let after = after.map_err(|error| with_log(&error, server.as_ref()))?;
    all_answered(&after).map_err(|error| with_log(&error, server.as_ref()))?;
    // Requests whose clients have timed out may still be running until the server has ended.
    terminate(server.as_mut())?;
    let server = site.start()?;
    let acknowledged = after.iter().filter(|attempt| !matches!(attempt.outcome, Outcome::Refused(_))).count();
    let attempts = [around, after].concat();
    let sums = site.audit(server.address(), &attempts, random, true).map_err(|e| with_log(&e, server.as_ref()))?;
    if sums.unknown == 0 || acknowledged == 0 {
        return Err(format!(
            "{} requests timed out in {PAUSE:?}, and {acknowledged} were acknowledged later",
            sums.unknown
        ));
    }
    stores(site, server.address(), random)?;
    Ok(format!(
        "{} of {} unanswered requests were stored, {acknowledged} were acknowledged afterwards, {} in all; \
         {} events stored",
        sums.unknown_stored,
        sums.unknown,
        sums.acknowledged,
        site.ledger.len()
    ))
}
