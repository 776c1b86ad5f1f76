//! Unit tests of blobs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tempfile::TempDir;

use super::*;

fn new() -> (TempDir, Blobs) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("blobs")).unwrap();
    let blobs = reopen(&root);
    (root, blobs)
}

fn reopen(root: &TempDir) -> Blobs {
    let lock = Lock::take(&Folder::open(root.path()).unwrap()).unwrap();
    Blobs::open(&root.path().join("blobs"), Arc::new(lock)).unwrap()
}

fn put(blobs: &mut Blobs, name: &str, parts: &[&[u8]]) -> Arc<dyn Blob> {
    let mut draft = blobs.create(name).unwrap();
    for part in parts {
        draft.write(part).unwrap();
    }
    draft.finish().unwrap().blob
}

fn all(blob: &dyn Blob) -> Bytes {
    blob.read(0..blob.len()).unwrap()
}

fn files(root: &TempDir) -> usize {
    fs::read_dir(root.path().join("blobs")).unwrap().count()
}

#[test]
fn a_blob_exists_once_it_is_finished_and_not_before() {
    let (root, mut blobs) = new();
    let mut draft = blobs.create("a").unwrap();
    draft.write(b"x").unwrap();
    assert!(blobs.get("a").unwrap().is_none());
    assert_eq!(blobs.list().unwrap(), [""; 0]);
    assert_eq!(draft.finish().unwrap().name, "a");
    assert_eq!(blobs.list().unwrap(), ["a"]);
    assert_eq!(all(&*blobs.get("a").unwrap().unwrap()), "x");
    drop(blobs.create("b").unwrap());
    assert_eq!(files(&root), 1);
}

#[test]
fn small_and_large_writes_keep_their_order() {
    let (_root, mut blobs) = new();
    let large = vec![7; BUFFER_BYTES * 3 + 5];
    let blob = put(&mut blobs, "a", &[b"small", &large, b"", b"small"]);
    assert_eq!(all(&*blob), [b"small".as_slice(), &large, b"small"].concat());
    assert_eq!(blob.read(3..7).unwrap(), [b'l', b'l', 7, 7].as_slice());
    assert_eq!(blob.read(blob.len()..blob.len()).unwrap(), "");
    for range in [0..blob.len() + 1, u64::MAX - 1..u64::MAX, Range { start: 2, end: 1 }] {
        assert!(matches!(blob.read(range), Err(StorageError::Failed(_))));
    }
}

#[test]
fn an_open_blob_stays_readable_when_it_is_replaced_or_deleted() {
    let (_root, mut blobs) = new();
    let first = put(&mut blobs, "a", &[b"first"]);
    let opened = blobs.get("a").unwrap().unwrap();
    let second = put(&mut blobs, "a", &[b"second"]);
    blobs.delete("a")().unwrap();
    blobs.delete("a")().unwrap();
    assert!(blobs.get("a").unwrap().is_none());
    assert_eq!([all(&*first), all(&*opened), all(&*second)], ["first", "first", "second"]);
}

#[test]
fn two_drafts_of_one_name_do_not_collide() {
    let (root, mut blobs) = new();
    let (mut one, mut other) = (blobs.create("a").unwrap(), blobs.create("a").unwrap());
    one.write(b"one").unwrap();
    other.write(b"other").unwrap();
    other.finish().unwrap();
    one.finish().unwrap();
    assert_eq!(all(&*blobs.get("a").unwrap().unwrap()), "one");
    assert_eq!(files(&root), 1);
}

#[test]
fn leftover_drafts_are_removed_and_unknown_files_kept() {
    let (root, blobs) = new();
    drop(blobs);
    let folder = root.path().join("blobs");
    for name in ["a.0.tmp", "b.c.17.tmp"] {
        fs::write(folder.join(name), "unfinished").unwrap();
    }
    for name in ["notes.tmp", ".0.tmp", ".hidden", "under_score", "blob"] {
        fs::write(folder.join(name), "").unwrap();
    }
    fs::create_dir(folder.join("folder")).unwrap();
    let blobs = reopen(&root);
    assert_eq!(files(&root), 6);
    assert_eq!(blobs.list().unwrap(), ["blob"]);
}

#[test]
fn a_linked_file_is_a_blob_and_an_impossible_link_returns_false() {
    let (root, mut blobs) = new();
    put(&mut blobs, "a", &[b"shared"]);
    let from = |name: &str| root.path().join("blobs").join(name);
    assert!(blobs.link(&from("a"), "b").unwrap());
    blobs.delete("a")().unwrap();
    assert_eq!(all(&*blobs.get("b").unwrap().unwrap()), "shared");
    assert!(!blobs.link(&from("a"), "c").unwrap());
    assert!(!blobs.link(root.path(), "c").unwrap());
    assert!(blobs.link(&from("b"), "../c").is_err());
    blobs.clear().unwrap();
    assert_eq!(files(&root), 0);
}

#[test]
fn invalid_names_are_refused() {
    let (_root, mut blobs) = new();
    for name in ["", ".", "..", ".a", "a/b", "../a", "a_b", "ä", "a\0", "a.tmp"] {
        assert!(matches!(blobs.create(name), Err(StorageError::Failed(_))), "{name}");
        assert!(matches!(blobs.get(name), Err(StorageError::Failed(_))), "{name}");
        assert!(matches!(blobs.delete(name)(), Err(StorageError::Failed(_))), "{name}");
    }
}

#[test]
fn a_draft_that_failed_cannot_be_finished() {
    let (root, mut blobs) = new();
    let mut draft = blobs.create("a").unwrap();
    draft.write(b"x").unwrap();
    fs::remove_file(root.path().join("blobs/a.0.tmp")).unwrap();
    let Err(StorageError::Failed(reason)) = draft.finish() else { panic!("the draft was removed") };
    let reason = reason.to_string();
    assert!(reason.starts_with("cannot rename a file to ") && reason.contains("blobs/a: "), "{reason}");
    assert!(blobs.get("a").unwrap().is_none());
}

/// Whatever the reason, nothing but an erasure has to wait for it: the store must not fail.
#[test]
fn a_dropped_draft_that_cannot_be_removed_is_tried_again() {
    let (root, mut blobs) = new();
    put(&mut blobs, "old", &[b"x"]);
    let path = root.path().join("blobs/a.1.tmp");
    let draft = blobs.create("a").unwrap();
    // A folder cannot be removed as a file, whatever the permissions.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    drop(draft);
    for outcome in [blobs.clear_leftovers(), blobs.delete("old")(), blobs.clear_leftovers()] {
        let Err(StorageError::Unavailable(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.to_string().contains("blobs/a.1.tmp"), "{reason}");
    }
    fs::remove_dir(&path).unwrap();
    blobs.clear_leftovers().unwrap();
    blobs.delete("old")().unwrap();
    assert_eq!(files(&root), 0);
}
