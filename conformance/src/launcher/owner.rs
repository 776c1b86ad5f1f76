//! Which process has made a folder, an image or a container, so that others can remove what a killed one left behind.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process;

/// Names this process: the boot of the machine, the namespace of its id, and the id.
pub(super) fn this_process() -> String {
    // Where /proc is missing, nothing is removed, so it does not matter that this names no machine.
    format!("{}-{}", namespace().unwrap_or_else(|| "unknown".to_owned()), process::id())
}

/// Whether the process with this name has ended. One of another machine, boot or namespace may be running.
pub(super) fn has_ended(owner: &str) -> bool {
    let ids = Path::new("/proc");
    namespace().is_some_and(|namespace| is_ended_of(&namespace, owner, |id| ids.join(id).exists()))
}

fn is_ended_of(namespace: &str, owner: &str, is_running: impl Fn(&str) -> bool) -> bool {
    let id = owner.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('-'));
    id.is_some_and(|id| id.parse::<u32>().is_ok() && !is_running(id))
}

/// Where `/proc` lists the processes: since which boot, and in which namespace. `None` if there is no such list.
fn namespace() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let inode = fs::metadata("/proc/self/ns/pid").ok()?.ino();
    // The first of five groups of digits is enough to tell one boot from another.
    Some(format!("{}-{inode}", boot.split('-').next()?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_that_are_listed_here_can_be_known_to_have_ended() {
        let has_ended = |owner| is_ended_of("1f2e-40", owner, |id| id == "1");
        assert!(has_ended("1f2e-40-2"));
        for owner in ["1f2e-40-1", "1f2e-41-2", "1f2f-40-2", "1f2e-402", "unknown-2", "2", "1f2e-40-x", ""] {
            assert!(!has_ended(owner), "{owner}");
        }
    }

    #[test]
    fn this_process_has_not_ended() {
        assert!(!has_ended(&this_process()));
        if let Some(namespace) = namespace() {
            // The highest process id of Linux is lower.
            assert!(has_ended(&format!("{namespace}-{}", u32::MAX)));
        }
    }
}
