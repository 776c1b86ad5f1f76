//! The suite against servers in containers: one container for each server that a case starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::case::Case;
use crate::launcher::{ContainerLauncher, Engine, EngineOptions};
use crate::subjects::{SUBJECTS, Subject};

/// Cases that cannot run on any server in a container, and why. Cases that need to break the standard error of a server
/// are left out by the launcher.
const UNSUITED: &[(&str, &str)] = &[];

/// What to run in containers.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How containers are started.
    pub engine: EngineOptions,
    /// An image for each runtime, by the name of the runtime.
    pub images: BTreeMap<String, String>,
}

/// Why a case cannot run on a server in a container; `None` if it can.
#[must_use]
pub fn unsuited(case: &Case) -> Option<&'static str> {
    let path = case.path();
    UNSUITED.iter().find(|(name, _)| *name == path).map(|(_, reason)| *reason)
}

/// A launcher for each subject that has an image. From now on, a signal removes all containers.
///
/// # Errors
///
/// A message if signals cannot be waited for.
pub fn launchers(options: Options) -> Result<Vec<(&'static Subject, ContainerLauncher)>, String> {
    let engine = Engine::new(options.engine);
    engine.remove_at_signals()?;
    let launcher = |subject: &'static Subject| {
        let image = options.images.get(subject.runtime)?.clone();
        let repository = subject.repository_url.to_owned();
        Some((subject, ContainerLauncher { engine: Arc::clone(&engine), image, repository, wrapper: Vec::new() }))
    };
    Ok(SUBJECTS.iter().filter_map(launcher).collect())
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
