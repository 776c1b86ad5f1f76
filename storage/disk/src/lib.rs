//! The core's [`Storage`](argus_core::storage::Storage) on files: [`DiskStorage`].
//!
//! # Layout
//!
//! | in the folder | what |
//! |---|---|
//! | `lock` | held by the one process that may use the folder; in it, the id of that process or of the last one. Never removed. |
//! | `format` | version of this layout, and how long log files are |
//! | `format.unfinished` | what becomes `format` when a copy is complete; without a `format` beside it, the folder is refused |
//! | `log/<start>.log` | the bytes of the log from this offset (20 decimal digits) on; all of these files have the same length |
//! | `log/<n>.spare` | a log file that was given up, to be the next one |
//! | `blobs/<name>` | a blob |
//! | `*.tmp` in each of these folders | something unfinished, removed when the folder is opened |
//! | anything else | somebody else's; left alone, and named by [`DiskStorage::unknown_files`] if it lies in `log` or `blobs` |
//!
//! What has the number of a log file in its name and is none is damage: the end of the log shows in nothing else than
//! in its files. Files are made with mode 0600 and folders with 0700. What a repository that exists has is left as it
//! is.
//!
//! # Durability
//!
//! A file becomes visible under its name when it is complete and synced, by a rename, and the folder is synced
//! afterwards. So every name means a whole file, whenever the machine stops.
//!
//! What can be read after opening is durable. A process that is killed leaves written bytes in the page cache that no
//! sync has ever covered, and a process whose sync failed may leave bytes there that the device does not have.
//! Therefore, before anything is read, log files and folders are synced, and the page cache of the log is dropped.
//!
//! # Place
//!
//! A file that was removed or moved takes bytes and syncs as before, and the next process does not find them. So after
//! each append and each sync the path of the log file must still lead to the file that is open, and that of the lock to
//! the lock; when files are made, finished or removed, so must that of their folder. Otherwise the call fails for good.
//! A folder that was moved fails in this way, too: what it has is safe, but a server that is started on its old path
//! would begin anew.
//!
//! # Order of calls
//!
//! 1. [`DiskStorage::open`]. Now [`log_range`](argus_core::storage::StorageReader::log_range) reaches to the end of the last
//!    log file: where the writing stopped is not known here. Behind that place there are zeros, or whatever a recycled
//!    file held before.
//! 2. The log is read, and [`truncate`](argus_core::storage::StorageWriter::truncate) says where it ends. What is behind the
//!    end is wiped, so that it cannot come up again behind a later append.
//! 3. From now on the range ends where the last append did.
//!
//! # Copies
//!
//! A folder can be read by others while its one process is at work: [`DiskSource`] neither takes the lock nor changes
//! anything. [`DiskTarget`] makes a folder of its own of that. Blobs, which never change, are linked and not copied where
//! both folders lie on one file system; log files are the copy's own. Before any of it is there, `format.unfinished`
//! is, durably: without that, a copy of which there is little more than empty folders could not be told from a new
//! repository that was made in part. When all else is durable it is renamed to `format`. So a copy that was never
//! finished is no repository, wherever it ended, and neither a server nor another copy begins in it.
//!
//! # Damage
//!
//! [`DiskReader`] is a folder whatever is wrong with it, for reading only. It holds the lock, without a write, so that
//! nobody changes anything meanwhile. What is saved from it goes to a [`DiskTarget`] as well.
//!
//! Errors name the operation, the path and the reason that the system gave.

#![forbid(unsafe_code)]

mod blob;
mod error;
mod folder;
mod format;
mod identity;
mod lock;
mod log;
mod reader;
mod source;
mod storage;
mod system;
mod target;

pub use error::{OpenError, SystemError};
pub use reader::DiskReader;
pub use source::DiskSource;
pub use storage::{DiskStorage, Options};
pub use target::DiskTarget;
