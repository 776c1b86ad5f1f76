//! The files of a hunt, below `target/fuzz/` of the current folder: all that cargo's `clean` may remove.

use std::fs;
use std::path::{Path, PathBuf};

use argus_testing::fuzz::Target;

/// The folder of a target.
#[derive(Debug)]
pub(crate) struct Folder {
    target: &'static Target,
}

impl Folder {
    /// Creates what is missing.
    pub(crate) fn of(target: &'static Target) -> Result<Self, String> {
        let folder = Self { target };
        for path in [folder.failures(), folder.corpus(), folder.work()] {
            fs::create_dir_all(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        }
        Ok(folder)
    }

    /// Inputs that failed.
    pub(crate) fn failures(&self) -> PathBuf {
        self.below("failures")
    }

    /// Inputs that libFuzzer found to reach different code.
    pub(crate) fn corpus(&self) -> PathBuf {
        self.below("corpus")
    }

    /// What the processes of a hunt write.
    pub(crate) fn work(&self) -> PathBuf {
        self.below("work")
    }

    /// All inputs to start from: those that failed first.
    pub(crate) fn inputs(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut inputs = read_all(&self.failures())?;
        inputs.extend((self.target.seeds)());
        inputs.extend(read_all(&self.corpus())?);
        Ok(inputs)
    }

    /// Saves an input that fails, under a name that depends on its content.
    pub(crate) fn save(&self, input: &[u8]) -> Result<PathBuf, String> {
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let path = self.failures().join(format!("{hash:016x}"));
        write(&path, input)?;
        Ok(path)
    }

    fn below(&self, what: &str) -> PathBuf {
        Path::new("target/fuzz").join(what).join(self.target.name)
    }
}

/// The contents of all files of a folder, by name.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).map_err(failed)).collect()
}

/// Removes all files of a folder.
pub(crate) fn empty(folder: &Path) -> Result<(), String> {
    fs::remove_dir_all(folder)
        .and_then(|()| fs::create_dir_all(folder))
        .map_err(|error| format!("cannot empty {}: {error}", folder.display()))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
