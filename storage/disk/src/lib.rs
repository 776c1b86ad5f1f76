//! The core's [`Storage`](argus_core::storage::Storage) on files: [`DiskStorage`].
//!
//! # Layout
//!
//! | in the folder | meaning |
//! |---|---|
//! | `lock` | held by the writer, or by those that check; has the id of the last writer; never removed |
//! | `format` | version of this layout, and the length of log files |
//! | `format.unfinished` | renamed to `format` when a copy is complete; until then the folder is refused |
//! | `log/<start>.log` | the bytes of the log from this offset (20 decimal digits) on; all have the same length |
//! | `log/<n>.spare` | a trimmed log file, kept to be reused as the next one |
//! | `blobs/<name>` | a blob |
//! | `*.tmp` in each of these folders | an unfinished file, removed when the folder is opened |
//! | anything else | ignored; listed by [`DiskStorage::unknown_files`] if it lies in `log` or `blobs` |
//!
//! A file in `log` with a name that is similar to that of a log file counts as damage: it may be the renamed end of the
//! log, which nothing else records. Files are created with mode 0600 and folders with 0700. The modes of an existing
//! repository are not changed.
//!
//! # Durability
//!
//! A file is written and synced under a temporary name, then renamed; then the folder is synced. So every file with a
//! final name is complete, whenever the machine stops.
//!
//! All bytes that can be read after opening are durable. A killed process leaves bytes in the page cache that were
//! never synced, and after a failed sync the page cache may hold bytes that the device does not have. Therefore opening
//! syncs log files and folders and drops the page cache of the log before it reads anything.
//!
//! # Moved and removed files
//!
//! A file that was removed or moved accepts writes and syncs as before, but the next process does not find it. So after
//! each append and each sync the path of the log file must still lead to the open file, and the path of the lock to the
//! open lock. When files are created, published or removed, the path of their folder must lead to the open folder.
//! Otherwise the storage fails until it is opened again. This includes a folder that was moved: its data is safe, but a
//! server started on the old path would begin an empty repository.
//!
//! # Order of calls
//!
//! 1. [`DiskStorage::open`]. [`log_range`](argus_core::storage::StorageReader::log_range) now reaches to the end of the
//!    last log file, since the storage does not know where the records end. After the last record there are zeros, or
//!    the old bytes of a recycled file.
//! 2. The caller reads the log and calls [`truncate`](argus_core::storage::StorageWriter::truncate) with its end. Bytes
//!    after it are overwritten with zeros, so that they cannot reappear after a later append.
//! 3. From then on the range ends with the last append.
//!
//! # Copies
//!
//! [`DiskSource`] reads a folder while another process writes to it; it takes no lock and changes nothing.
//! [`DiskTarget`] is the folder of the copy. Blobs never change, so they are hard-linked where both folders lie on one
//! file system; log files are copied. `format.unfinished` is made durable before anything else: otherwise a copy with
//! little more than empty folders would look like a new repository whose creation was interrupted. It is renamed
//! to `format` when everything else is durable. So neither a server nor another copy uses an unfinished copy.
//!
//! # Damage
//!
//! [`DiskReader`] reads a folder that may be damaged. It shares the lock with other readers, without writing to it, so
//! that no process changes the folder meanwhile. Recovered events go to a [`DiskTarget`], too.
//!
//! Errors name the operation, the path and the system's reason.

#![forbid(unsafe_code)]

mod blob;
mod error;
mod folder;
mod format;
mod identity;
mod leftovers;
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
