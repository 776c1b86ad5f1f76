//! What some cases need beside the programs under test, and what of it this machine lacks; and cases that need
//! something of a subject that it does not have.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::programs::find;
use crate::subjects::Subject;
use crate::{cases, chromium, nginx, packages};

const NO_NODE: &str = "Node, npm or its registry is not there (Debian: nodejs, npm)";
const NO_PYTHON: &str = "Python, pip or its registry is not there (Debian: python3-pip)";

/// Cases about something that a runtime does not have, and what that is.
const LACKING: &[(&str, &str, &str)] =
    &[("minimal", "settings::health_asks_the_server_with_these_settings", "it has no commands")];

/// Why a case cannot run on a subject, wherever that runs; `None` if it can.
#[must_use]
pub fn unsuited(subject: &Subject, case: &Case) -> Option<&'static str> {
    let path = case.path();
    let lacking = LACKING.iter().find(|(runtime, name, _)| *runtime == subject.runtime && *name == path);
    lacking.map(|(_, _, what)| *what)
}

/// What this machine lacks, each with the cases that are skipped for it.
#[must_use]
pub fn all_missing() -> BTreeMap<&'static str, Vec<&'static Case>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for case in cases::all() {
        if let Some(what) = missing(case) {
            all.entry(what).or_default().push(case);
        }
    }
    all
}

/// Installs the packages of other clients that are missing, where that is possible.
///
/// The cases that need the others are ignored: [`missing`].
pub fn install_packages() {
    for package in packages::ALL {
        if let Err(failure) = package.folder() {
            eprintln!("argus-conformance: {failure}");
        }
    }
}

/// What this machine lacks of what the case needs, and where it comes from. Nothing is installed.
#[must_use]
pub fn missing(case: &Case) -> Option<&'static str> {
    let lacking = |is_there: bool, what: &'static str| (!is_there).then_some(what);
    match (case.group, case.name) {
        ("real_data", _) => lacking(cases::real_data_folder().is_some(), "the event streams are not there"),
        ("nginx", _) => lacking(nginx::program().is_some(), "nginx is not installed (Debian: nginx-light)"),
        ("browser", _) => lacking(chromium::program().is_some(), "Chromium is not installed (Debian: chromium)"),
        ("compression", "curl_reads_it") => lacking(find("curl").is_some(), "curl is not installed"),
        ("compression", "python_reads_it") => lacking(find("python3").is_some(), "python3 is not installed"),
        ("stream_clients", _) => lacking(packages::EVENTSOURCE.is_there(), NO_NODE),
        ("websocket_clients", "node_ws") => lacking(packages::WS.is_there(), NO_NODE),
        ("websocket_clients", "python_websockets") => lacking(packages::WEBSOCKETS.is_there(), NO_PYTHON),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::SUBJECTS;

    #[test]
    fn what_is_left_out_exists() {
        for (runtime, name, _) in LACKING {
            assert!(SUBJECTS.iter().any(|subject| subject.runtime == *runtime), "{runtime}");
            assert!(cases::all().any(|case| case.path() == *name), "{name}");
        }
    }

    #[test]
    fn every_missing_thing_has_the_cases_that_need_it() {
        for (what, cases) in all_missing() {
            assert!(!cases.is_empty() && cases.iter().all(|case| missing(case) == Some(what)), "{what}");
        }
    }
}
