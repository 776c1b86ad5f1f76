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

/// Cases about something that a repository in a database does not have, and what that is.
const LACKING_IN_DATABASES: &[(&str, &str)] = &[
    ("erase::the_bytes_leave_the_disk", "its files are those of the database's server"),
    ("erase::metrics_say_what_is_pending", "it removes erased events at once, so none is pending"),
    ("folder::a_damaged_folder_is_refused_with_the_way_to_salvage", NO_FOLDER),
    ("folder::a_folder_in_use_is_refused_with_the_process", NO_FOLDER),
    ("folder::a_folder_that_cannot_be_written_is_refused_at_the_start", NO_FOLDER),
    ("folder::a_folder_that_is_moved_fails_the_store", NO_FOLDER),
    ("folder::a_folder_that_is_removed_fails_the_store", NO_FOLDER),
    ("folder::a_folder_with_foreign_files_is_refused", NO_FOLDER),
    ("folder::a_log_that_is_replaced_fails_the_store", NO_FOLDER),
    ("folder::files_are_private_to_their_owner", NO_FOLDER),
    ("folder::writes_resume_when_a_missing_permission_returns", NO_FOLDER),
    ("log::json_lines_have_numbers_for_times", "it says nothing of a folder that it has opened"),
];

const NO_FOLDER: &str = "it has no folder";

/// Why a case cannot run on a subject, wherever that runs; `None` if it can.
#[must_use]
pub fn unsuited(subject: &Subject, case: &Case) -> Option<&'static str> {
    let path = case.path();
    let lacking = LACKING.iter().find(|(runtime, name, _)| *runtime == subject.runtime && *name == path);
    let of_database = LACKING_IN_DATABASES.iter().find(|(name, _)| subject.repository.is_database() && *name == path);
    lacking.map(|(_, _, what)| *what).or(of_database.map(|(_, what)| *what))
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
        for (name, _) in LACKING_IN_DATABASES {
            assert!(cases::all().any(|case| case.path() == *name), "{name}");
        }
    }

    #[test]
    fn a_repository_in_a_database_has_no_folder() {
        for subject in SUBJECTS {
            let is_unsuited = |case: &Case| case.group == "folder" && unsuited(subject, case).is_some();
            assert_eq!(cases::all().any(is_unsuited), subject.repository.is_database(), "{subject:?}");
        }
    }

    #[test]
    fn every_missing_thing_has_the_cases_that_need_it() {
        for (what, cases) in all_missing() {
            assert!(!cases.is_empty() && cases.iter().all(|case| missing(case) == Some(what)), "{what}");
        }
    }
}
