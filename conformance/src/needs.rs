//! What some cases need beside the programs under test, and what of it this machine lacks.

use crate::case::Case;
use crate::programs::find;
use crate::{cases, chromium, nginx, packages};

const NO_NODE: &str = "Node, npm or its registry is not there (Debian: nodejs, npm)";
const NO_PYTHON: &str = "Python, pip or its registry is not there (Debian: python3-pip)";

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
