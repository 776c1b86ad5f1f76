//! A copy of the folder made while its server works: it must have everything acknowledged before it was started, and
//! nothing that the folder does not have.

use std::fs;
use std::path::PathBuf;

use argus_conformance::launcher::{BinaryLauncher, Demand, Launcher as _, Repository};

use crate::audit;
use crate::ledger::Ledger;
use crate::site::Site;

/// A copy to make.
#[derive(Debug)]
pub(crate) struct Plan {
    launcher: BinaryLauncher,
    from: PathBuf,
    to: PathBuf,
}

/// A finished copy.
#[derive(Debug)]
pub(crate) struct Copy {
    launcher: BinaryLauncher,
    folder: PathBuf,
    /// The highest sequence number acknowledged when copying started.
    acknowledged: u64,
    /// The output of the program.
    said: String,
}

impl Plan {
    /// A copy next to the folder.
    pub(crate) fn new(site: &Site) -> Self {
        Self { launcher: site.launcher.clone(), from: site.folder.clone(), to: site.folder.with_extension("copy") }
    }

    /// Makes the copy with the server's own program.
    pub(crate) fn run(self, ledger: &Ledger) -> Result<Copy, String> {
        let acknowledged = ledger.acknowledged();
        let [from, to] = [&self.from, &self.to].map(|path| path.display().to_string());
        let exit = self.launcher.run_to_exit(&["snapshot", &from, &to]).map_err(|failure| failure.to_string())?;
        if exit.code != Some(0) {
            return Err(format!("a snapshot under load ended with {:?}:\n{}{}", exit.code, exit.stdout, exit.stderr));
        }
        let repository = Repository::Same(format!("disk:{to}"));
        let launcher = BinaryLauncher { repository, ..self.launcher };
        Ok(Copy { launcher, folder: self.to, acknowledged, said: exit.stdout })
    }
}

impl Copy {
    /// Starts a server on the copy and checks all of it, once the ledger knows the folder's events. Returns the
    /// last sequence number.
    pub(crate) fn audit(self, ledger: &Ledger) -> Result<u64, String> {
        let server = self.launcher.start(Demand::Any).map_err(|failure| failure.to_string())?;
        let outcome = audit::prefix(server.address(), ledger).and_then(|last| {
            let Self { acknowledged, .. } = self;
            if last >= acknowledged {
                return Ok(last);
            }
            Err(format!("the copy ends with seq {last}, but {acknowledged} was acknowledged before it"))
        });
        let last = outcome.map_err(|error| format!("the copy: {error}\n{}{}", self.said, server.log()))?;
        drop(server);
        fs::remove_dir_all(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        Ok(last)
    }
}
