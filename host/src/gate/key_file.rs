//! The file of keys, which is read again when it changes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_core::auth::{KeyFileError, Keys};
use thiserror::Error;

use super::{LoadedKeys, locked};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::reread::is_read_once;
use crate::warnings::Warnings;
use crate::watch;

/// How often the file is looked at. It is read as a whole, since its time and length may stay the same.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Longest file: some ten thousand keys.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum KeyFileProblem {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it has more than 4 MiB")]
    TooLarge,
    #[error("it is not UTF-8")]
    NotText,
    #[error(transparent)]
    Content(#[from] KeyFileError),
}

/// What was found at the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyText(Result<String, KeyFileProblem>);

/// A file of keys, and the keys in force.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    metrics: Arc<Metrics>,
    /// Locked only to copy or to replace the pointer.
    current: Mutex<Arc<LoadedKeys>>,
}

impl KeyText {
    pub(crate) fn read(path: &Path) -> Self {
        Self(read(path))
    }

    fn read_again(path: &Path) -> Self {
        if is_read_once(path) {
            return Self(Err(KeyFileProblem::Unreadable("it is no regular file any more".to_owned())));
        }
        Self::read(path)
    }

    pub(crate) fn parse(&self) -> Result<Keys, KeyFileProblem> {
        Ok(Keys::parse(self.0.as_deref().map_err(Clone::clone)?)?)
    }
}

impl KeyFile {
    /// A file of which these keys were read.
    pub(crate) fn new(path: &Path, keys: Keys, metrics: &Arc<Metrics>) -> Arc<Self> {
        metrics.keys().file_read(true);
        tracing::info!(path = %path.display(), keys = keys.as_slice().len(), "requests need a key");
        warn_of_permissions(path);
        let current = Mutex::new(LoadedKeys::new(keys, metrics));
        Arc::new(Self { path: path.to_owned(), metrics: Arc::clone(metrics), current })
    }

    /// The keys in force.
    pub(crate) fn current(&self) -> Arc<LoadedKeys> {
        Arc::clone(&locked(&self.current))
    }

    /// Starts the thread that reads the file again when it has changed and when `is_wanted` is set, until the drain
    /// begins, unless it can be read once only. `seen` is the text of the keys in force.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub(crate) fn watch(
        self: &Arc<Self>,
        seen: KeyText,
        is_wanted: Arc<AtomicBool>,
        warnings: &Arc<Warnings>,
        lifecycle: &Arc<Lifecycle>,
    ) -> io::Result<()> {
        if is_read_once(&self.path) {
            tracing::info!(path = %self.path.display(), "no regular file: the keys are not read again");
            return Ok(());
        }
        let [serving, ending, failing] = [(); 3].map(|()| Arc::clone(lifecycle));
        let (file, warnings) = (Arc::clone(self), Arc::clone(warnings));
        let mut look = Look { tried: seen.clone(), last: seen };
        let watch = move || {
            while !serving.drains_within(LOOK_INTERVAL) {
                let is_asked = is_wanted.swap(false, Ordering::AcqRel);
                if let Some(text) = look.at(KeyText::read_again(&file.path), is_asked) {
                    file.load(&text, &warnings);
                }
            }
        };
        watch::spawn("argus-keys", watch, move || ending.is_draining(), move |reason| failing.fail(reason)).map(drop)
    }

    /// Puts the keys of a text into force, or keeps those of before and says so.
    fn load(&self, text: &KeyText, warnings: &Warnings) {
        let path = self.path.display();
        let parsed = text.parse();
        self.metrics.keys().file_read(parsed.is_ok());
        warnings.keys(parsed.is_err());
        match parsed {
            Ok(keys) => {
                tracing::info!(%path, keys = keys.as_slice().len(), "the file of keys was read; its keys are in force");
                warn_of_permissions(&self.path);
                let next = self.current().replaced_by(keys, &self.metrics);
                *locked(&self.current) = next;
            }
            Err(problem) => {
                tracing::error!(%path, "the file of keys is wrong, and the keys of before stay in force: {problem}");
            }
        }
    }
}

/// Decides when a file that is looked at again and again is loaded.
#[derive(Debug)]
struct Look {
    /// What was loaded, or found to be wrong.
    tried: KeyText,
    /// What the last look has found.
    last: KeyText,
}

impl Look {
    /// Returns what to load now. A changed file is loaded once two looks have found the same, because an editor may
    /// still be writing it, and half a file may be a valid one with fewer keys; or at once if that is asked for.
    fn at(&mut self, found: KeyText, is_asked: bool) -> Option<KeyText> {
        let is_settled = found == self.last && found != self.tried;
        self.last = found;
        if is_settled || is_asked {
            self.tried = self.last.clone();
            return Some(self.last.clone());
        }
        None
    }
}

fn read(path: &Path) -> Result<String, KeyFileProblem> {
    let unreadable = |error: io::Error| KeyFileProblem::Unreadable(error.to_string());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(KeyFileProblem::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| KeyFileProblem::NotText)
}

/// Warns if other users may read or write the file. Whoever may write it can add keys.
fn warn_of_permissions(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 != 0 {
        tracing::warn!(path = %path.display(), "other users may write the file of keys; `chmod go-w` prevents it");
    } else if mode & 0o004 != 0 {
        tracing::warn!(path = %path.display(), "all users may read the file of keys; `chmod o-r` prevents it");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::time::Instant;

    use argus_core::auth::KeyHash;
    use argus_core::event::Timestamp;
    use argus_core::limit::Meter;

    use super::*;
    use crate::backend::Location;
    use crate::metrics::Gauges;

    fn entry(name: &str, more: &str) -> String {
        format!("[[key]]\nname = '{name}'\nsha256 = '{}'\nscopes = ['read']\n{more}\n", KeyHash::of(name))
    }

    fn text(text: impl Into<String>) -> KeyText {
        KeyText(Ok(text.into()))
    }

    #[test]
    fn a_change_is_loaded_once_it_has_settled() {
        let [old, half, new] = ["old", "half", "new"].map(text);
        let mut look = Look { tried: old.clone(), last: old.clone() };
        assert_eq!(look.at(old.clone(), false), None);
        assert_eq!(look.at(half, false), None);
        assert_eq!(look.at(new.clone(), false), None);
        assert_eq!(look.at(new.clone(), false), Some(new.clone()));
        assert_eq!(look.at(new.clone(), false), None, "it is loaded once");
        assert_eq!(look.at(new.clone(), true), Some(new), "or whenever that is asked for");
        assert_eq!(look.at(old.clone(), true), Some(old));
    }

    #[test]
    fn a_wrong_file_keeps_the_keys_and_a_right_one_replaces_them() {
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        let warnings = Warnings::new(Arc::clone(&metrics), Location::Memory);
        let first = [entry("a", "rate = '1/m'"), entry("b", "")].concat();
        let file = KeyFile::new(Path::new("keys.toml"), Keys::parse(&first).unwrap(), &metrics);
        let finds = |key| file.current().keys().find(key, Timestamp::from_nanos(0)).is_some();
        let shows = |line: &str| metrics.render(&Gauges::default()).unwrap().lines().any(|found| found == line);
        file.current().counters(1).unwrap().answered(None);
        let used = Meter::default();
        file.load(&text("nonsense"), &warnings);
        assert!(finds("a") && finds("b"));
        assert!(warnings.text().unwrap().contains("file of keys"));
        assert!(shows("argus_key_file_loads_total{outcome=\"refused\"} 1"));
        assert!(shows("argus_key_requests_total{key=\"b\"} 1"));
        let quotas = file.current().keys().as_slice().first().unwrap().quotas;
        let admit = |now| locked(file.current().meter(0).unwrap()).admit(&quotas, false, now).refused.is_none();
        assert!(admit(Duration::ZERO));
        file.load(&text([entry("a", "rate = '1/m'"), entry("c", "")].concat()), &warnings);
        assert!(finds("a") && !finds("b") && finds("c"));
        assert_eq!(warnings.text(), None);
        assert!(!admit(Duration::from_secs(1)), "the key goes on with what it has used");
        let before = file.current();
        file.load(&text(entry("a", "rate = '1/m'")), &warnings);
        locked(before.meter(0).unwrap()).admit(&quotas, false, Duration::from_secs(60));
        assert!(!admit(Duration::from_secs(61)), "and with what requests of before use now");
        assert!(!shows("argus_key_requests_total{key=\"b\"} 1"));
        file.load(&text(entry("a", "rate = '2/m'")), &warnings);
        assert_eq!(*locked(file.current().meter(0).unwrap()), used, "other limits begin anew");
    }

    #[test]
    fn a_file_that_is_wanted_is_read_although_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, entry("a", "")).unwrap();
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        let text = KeyText::read(&path);
        let file = KeyFile::new(&path, text.parse().unwrap(), &metrics);
        let first = file.current();
        // Wanted before the thread starts, as by a signal during the recovery of a repository.
        file.watch(text, Arc::new(AtomicBool::new(true)), &warnings, &lifecycle).unwrap();
        let begun = Instant::now();
        while Arc::ptr_eq(&first, &file.current()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the file is read again");
            std::thread::yield_now();
        }
        lifecycle.drain();
        assert_eq!(lifecycle.failure(), None);
    }

    #[test]
    fn a_pipe_is_read_once() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(entry("a", "").as_bytes()).unwrap();
        drop(writer);
        // As `<(…)` of a shell names it.
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        let text = KeyText::read(&path);
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        let file = KeyFile::new(&path, text.parse().unwrap(), &metrics);
        let wanted = Arc::new(AtomicBool::new(true));
        file.watch(text, Arc::clone(&wanted), &warnings, &lifecycle).unwrap();
        assert_eq!(Arc::strong_count(&wanted), 1, "no thread reads it again");
    }

    #[test]
    fn a_file_that_becomes_a_pipe_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        assert!(matches!(KeyText::read_again(&path).parse(), Err(KeyFileProblem::Unreadable(_))));
    }

    #[test]
    fn files_are_read_within_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        assert!(matches!(KeyText::read(&path).parse(), Err(KeyFileProblem::Unreadable(_))));
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(KeyText::read(&path).parse().unwrap_err(), KeyFileProblem::NotText);
        std::fs::write(&path, " ".repeat(5 << 20)).unwrap();
        assert_eq!(KeyText::read(&path).parse().unwrap_err(), KeyFileProblem::TooLarge);
        std::fs::write(&path, entry("a", "")).unwrap();
        assert_eq!(KeyText::read(&path).parse().unwrap().as_slice().len(), 1);
    }
}
