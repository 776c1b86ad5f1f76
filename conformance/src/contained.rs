//! The suite against servers in containers: one container for each server that a case starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::case::Case;
use crate::launcher::{ContainerLauncher, Engine, EngineOptions, Repository};
use crate::subjects::{RepositoryKind, SUBJECTS, Subject};

/// Why a second server does not find the first one's port.
const OWN_NETWORK: &str = "each container has a network of its own, so the port is free there, and nobody listens";

/// Cases that cannot run on any server in a container, and why. Cases that need to break the standard error of a server
/// are left out by the launcher.
const UNSUITED: &[(&str, &str)] = &[
    ("folder::a_folder_in_use_is_refused_with_the_process", "a container does not see the processes of another one"),
    ("folder::a_folder_that_is_moved_fails_the_store", "the mount of a folder follows it when it is moved"),
    ("lifecycle::occupied_address", OWN_NETWORK),
    ("lifecycle::occupied_address_leaves_no_folder", OWN_NETWORK),
    ("settings::a_port_replaces_that_of_the_endpoint", OWN_NETWORK),
    ("settings::health_asks_the_server_with_these_settings", OWN_NETWORK),
    ("threads::requests_are_served_without_new_threads", "the limits of a process belong to the user of the container"),
];

/// What to run in containers.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How containers are started.
    pub engine: EngineOptions,
    /// An image for each runtime, by the name of the runtime.
    pub images: BTreeMap<String, String>,
}

/// Launchers and their subjects.
pub type Launchers = Vec<(&'static Subject, ContainerLauncher)>;

/// Why a case cannot run on a server in a container; `None` if it can.
#[must_use]
pub fn unsuited(case: &Case) -> Option<&'static str> {
    let path = case.path();
    UNSUITED.iter().find(|(name, _)| *name == path).map(|(_, reason)| *reason)
}

/// What runs the containers, and a launcher for each subject that has an image. From now on, a signal removes all
/// containers.
///
/// # Errors
///
/// A message if signals cannot be waited for.
pub fn launchers(options: Options) -> Result<(Arc<Engine>, Launchers), String> {
    let engine = Engine::new(options.engine);
    engine.remove_at_signals()?;
    let launcher = |subject: &'static Subject| {
        let image = options.images.get(subject.runtime)?.clone();
        let repository = match subject.repository {
            RepositoryKind::Memory => Repository::Same("memory:".to_owned()),
            RepositoryKind::Disk => Repository::Folders,
            // A container does not reach a server that listens on this machine's loopback address.
            RepositoryKind::Postgres | RepositoryKind::Mongodb => return None,
        };
        Some((subject, ContainerLauncher { engine: Arc::clone(&engine), image, repository, wrapper: Vec::new() }))
    };
    let launchers = SUBJECTS.iter().filter_map(launcher).collect();
    Ok((engine, launchers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn the_cases_that_are_left_out_exist() {
        for (name, _) in UNSUITED {
            assert!(cases::all().any(|case| case.path() == *name), "{name}");
        }
    }
}
