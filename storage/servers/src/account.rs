//! The user that runs the servers. `PostgreSQL` refuses to run as root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::error::ServerError;

/// Users that may run a server, the best first: that of Debian's package, and one that exists everywhere.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// Another user than root, or this process's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// The ids of user and group; `None` if this process does not belong to root.
    ids: Option<(u32, u32)>,
}

impl Account {
    /// Whoever may run a server that this process starts.
    pub(crate) fn for_servers() -> Result<Self, ServerError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { ids: None });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(ServerError::of("/etc/passwd"))?;
        let ids = NAMES.iter().find_map(|name| find(&users, name));
        let names = NAMES.join(" or ");
        let reason = format!("this process belongs to root, and there is no user {names} to run a database server");
        ids.map(|ids| Self { ids: Some(ids) }).ok_or_else(|| ServerError::new(reason))
    }

    /// Gives a file or a folder to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), ServerError> {
        let Some((user, group)) = self.ids else { return Ok(()) };
        chown(path, Some(user), Some(group)).map_err(ServerError::of(format!("chown of {}", path.display())))
    }

    /// A command that runs a program as this user, who also has to reach a folder.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let Some((user, group)) = self.ids else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
        if !(can_all_reach(program) && can_all_reach(folder)) {
            // The checkout or the temporary folder may be in a folder that only root can enter.
            command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
        }
        command.arg(program);
        // The other user may have no access to the current folder.
        command.current_dir("/");
        command
    }
}

/// The ids of a user and of its group, in the text of `/etc/passwd`.
fn find(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = line.split(':').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether every user may enter the folders above a path.
fn can_all_reach(path: &Path) -> bool {
    let may_enter = |folder: &Path| folder.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).all(may_enter)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgresx:x:1:2::/:\npostgres:x:101:104:,,,:/var/lib:/bin/sh\n";
        assert_eq!(find(users, "postgres"), Some((101, 104)));
        assert_eq!(find(users, "post"), None);
        assert_eq!(find("postgres:x:y:104::/:\n", "postgres"), None);
    }

    #[test]
    fn a_folder_of_one_user_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!can_all_reach(&inner));
        assert!(can_all_reach(Path::new("/etc/passwd")));
    }
}
