//! Property test: `DiskStorage` and `MemoryStorage` have the same bytes after the same calls.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use argus_core::storage::{Draft, MemoryStorage, Storage, StorageReader as _, StorageWriter as _};
use argus_disk::{DiskStorage, Options};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

/// A call. Offsets are fractions of the log: 0 its beginning, 255 its end.
#[derive(Clone, Debug)]
enum Call {
    Append(Vec<Vec<u8>>),
    Sync,
    Truncate(u8),
    Discard(u8),
    Read(u8, u16),
    /// Creates a draft, and drops an unfinished one of the same name.
    Create(usize),
    Write(usize, Vec<u8>),
    Finish(usize),
    Abandon(usize),
    Delete(usize),
    /// Simulates the end of the process.
    Reopen,
}

const NAMES: [&str; 3] = ["a", "b.c", "D-0"];

/// The two storages. Both get the same calls.
struct Both {
    root: TempDir,
    options: Options,
    disk: Option<DiskStorage>,
    memory: MemoryStorage,
    drafts: BTreeMap<usize, [Box<dyn Draft>; 2]>,
}

impl Both {
    fn new(log_file_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options = Options { log_file_bytes };
        let disk = Some(DiskStorage::open(root.path(), options).unwrap());
        Self { root, options, disk, memory: MemoryStorage::default(), drafts: BTreeMap::new() }
    }

    fn disk(&mut self) -> &mut DiskStorage {
        self.disk.as_mut().unwrap()
    }

    /// The offset in the log of the memory storage, which begins at the same offset or later.
    fn place(&self, fraction: u8) -> u64 {
        let range = self.memory.log_range().unwrap();
        range.start + (range.end - range.start) * u64::from(fraction) / 255
    }

    fn call(&mut self, call: &Call) -> Result<(), TestCaseError> {
        match call {
            Call::Append(parts) => {
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                self.disk().append(&parts).unwrap();
                self.memory.append(&parts).unwrap();
            }
            Call::Sync => self.disk().sync().unwrap(),
            Call::Truncate(fraction) => {
                let end = self.place(*fraction);
                self.disk().truncate(end).unwrap();
                self.memory.truncate(end).unwrap();
            }
            Call::Discard(fraction) => {
                let offset = self.place(*fraction);
                while self.disk().discard(offset).unwrap() {}
                self.memory.discard(offset).unwrap();
            }
            Call::Read(fraction, len) => {
                let (offset, len) = (self.place(*fraction), usize::from(*len));
                prop_assert_eq!(self.disk().read_log(offset, len).unwrap(), self.memory.read_log(offset, len).unwrap());
            }
            Call::Create(name) => {
                let drafts = [self.disk().create(NAMES[*name]).unwrap(), self.memory.create(NAMES[*name]).unwrap()];
                self.drafts.insert(*name, drafts);
            }
            Call::Write(name, bytes) => {
                for draft in self.drafts.get_mut(name).into_iter().flatten() {
                    draft.write(bytes).unwrap();
                }
            }
            Call::Finish(name) => {
                if let Some([disk, memory]) = self.drafts.remove(name) {
                    let published = [disk.finish().unwrap(), memory.finish().unwrap()];
                    prop_assert_eq!(&published[0].name, &published[1].name);
                    let [disk, memory] = published;
                    prop_assert_eq!(
                        disk.blob.read(0..disk.blob.len()).unwrap(),
                        memory.blob.read(0..memory.blob.len()).unwrap()
                    );
                    self.disk().adopt(disk);
                    self.memory.adopt(memory);
                }
            }
            Call::Abandon(name) => drop(self.drafts.remove(name)),
            Call::Delete(name) => {
                self.disk().delete(NAMES[*name])().unwrap();
                self.memory.delete(NAMES[*name])().unwrap();
            }
            Call::Reopen => self.reopen()?,
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), TestCaseError> {
        let end = self.memory.log_end();
        self.drafts.clear();
        self.disk = None;
        let mut disk = DiskStorage::open(self.root.path(), self.options).unwrap();
        let range = disk.log_range().unwrap();
        prop_assert!(range.end >= end && range.end.is_multiple_of(self.options.log_file_bytes), "{range:?}");
        disk.truncate(end).unwrap();
        // Truncated bytes must not reappear after later appends.
        drop(disk);
        let mut disk = DiskStorage::open(self.root.path(), self.options).unwrap();
        let after = usize::try_from(disk.log_range().unwrap().end - end).unwrap();
        prop_assert!(disk.read_log(end, after).unwrap().iter().all(|&byte| byte == 0));
        disk.truncate(end).unwrap();
        self.disk = Some(disk);
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let (memory, file_bytes) = (self.memory.clone(), self.options.log_file_bytes);
        let disk = self.disk();
        let (found, expected) = (disk.log_range().unwrap(), memory.log_range().unwrap());
        prop_assert_eq!(found.end, expected.end);
        prop_assert!(found.start <= expected.start && found.start.is_multiple_of(file_bytes), "{found:?} {expected:?}");
        // The file in which the log begins is kept, and the one before it if it was the last at the time.
        prop_assert!(expected.start - found.start <= file_bytes, "{found:?} {expected:?}");
        let len = usize::try_from(expected.end - expected.start).unwrap();
        prop_assert_eq!(disk.read_log(expected.start, len + 1).unwrap(), memory.log());

        let mut names = disk.list().unwrap();
        names.sort_unstable();
        prop_assert_eq!(&names, &memory.list().unwrap());
        for name in NAMES {
            let [found, expected] = [disk.open(name).unwrap(), memory.open(name).unwrap()]
                .map(|blob| blob.map(|blob| blob.read(0..blob.len()).unwrap()));
            prop_assert_eq!(found, expected, "{}", name);
        }
        Ok(())
    }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let bytes = || vec(any::<u8>(), 0..40);
    let name = || 0..NAMES.len();
    let call = prop_oneof![
        6 => vec(bytes(), 0..5).prop_map(Call::Append),
        2 => Just(Call::Sync),
        1 => any::<u8>().prop_map(Call::Truncate),
        2 => any::<u8>().prop_map(Call::Discard),
        2 => any::<(u8, u16)>().prop_map(|(fraction, len)| Call::Read(fraction, len % 200)),
        2 => name().prop_map(Call::Create),
        2 => (name(), bytes()).prop_map(|(name, bytes)| Call::Write(name, bytes)),
        2 => name().prop_map(Call::Finish),
        1 => name().prop_map(Call::Abandon),
        1 => name().prop_map(Call::Delete),
        2 => Just(Call::Reopen),
    ];
    vec(call, 0..40)
}

/// This many cases, or `PROPTEST_CASES` from the environment.
fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn files_and_memory_have_the_same_bytes_after_the_same_calls(log_file_bytes in 1..100_u64, calls in calls()) {
        let mut both = Both::new(log_file_bytes);
        for call in calls {
            both.call(&call)?;
            both.check()?;
        }
        both.reopen()?;
        both.check()?;
    }
}
