//! The files that tidy checks.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// A text file of the repository.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the root of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Folders without sources: the default data folder of a server, and git's.
const SKIPPED: &[&str] = &["argus-data", ".git"];

/// A folder with this file holds generated data; cargo marks its output so (<https://bford.info/cachedir/>).
const CACHE_MARK: &str = "CACHEDIR.TAG";

/// Extensions of text files that people write.
const EXTENSIONS: &[&str] = &["rs", "toml", "md", "sh", "yml", "yaml", "json", "service", "py"];

/// Text files without an extension.
const NAMES: &[&str] = &[".ci/run", ".dockerignore", ".gitignore", "Dockerfile", "LICENSE"];

/// Reads every source below the root, in order of paths.
pub(super) fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_symlink() || SKIPPED.contains(&name.as_ref()) {
                continue;
            }
            if path.is_dir() {
                if !path.join(CACHE_MARK).exists() {
                    folders.push(path);
                }
                continue;
            }
            let relative = path.strip_prefix(root).context("a file is outside of its own folder")?;
            let relative = relative.to_string_lossy().replace('\\', "/");
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if EXTENSIONS.contains(&extension.as_ref()) || NAMES.contains(&relative.as_str()) {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {relative} as UTF-8"))?;
                sources.push(Source { path: relative, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

impl Source {
    /// The lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file tells another program how to run a server or what to watch.
    pub(super) fn is_deployment(&self) -> bool {
        self.path.starts_with("deploy/") || self.path == "compose.yaml"
    }

    pub(super) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    #[test]
    fn sources_are_found_and_build_results_are_not() {
        let sources = read(root()).expect("the workspace can be read");
        let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        for expected in ["Cargo.toml", ".ci/run", "core/src/lib.rs", "xtask/src/tidy/sources.rs"] {
            assert!(paths.contains(&expected), "{expected} is missing");
        }
        assert!(!paths.iter().any(|path| path.starts_with("target/")));
    }
}
