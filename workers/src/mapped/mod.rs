//! Memory that several processes share: append-only logs, tables of atomic numbers, and files that are only read.
//!
//! Owns the maps and the reasons why they are sound: `map` is one map, `store` gives them out within a budget, `table`
//! and `log` are the two forms in which the other files use them without `unsafe`, and `disk` finds the room for files.
//! Three rules keep the maps sound. A log has one writer, which never touches a byte below the mark that it has published. A table's
//! elements are atomics. An input is a file that is complete. Nothing here blocks.
//!
//! Maps are in memory as long as a [`Store`]'s budget lasts, and in scratch files beyond it. A store to the map of a
//! file for which the disk has no block raises SIGBUS, and the kernel may request blocks for a whole folio at a time.
//! To make a full disk an error and not a signal, files are written by `pwrite` and mapped for reading only: logs here,
//! and the output elsewhere. Tables need stores, so the disk under a table is reserved in whole pages before it is
//! mapped, and the file ends with its last page.
//!
//! A reservation does not suffice where a file system writes changed blocks elsewhere (btrfs, zfs, bcachefs), where a
//! disk fails, or where the system refuses to commit more memory: then the kernel raises SIGBUS. For that case, every
//! map is registered (`ranges`), and the handler (`crash::guard_maps`) notes the loss in a word that all processes
//! share. A worker process ends with the signal; a worker thread stops. In the coordinator, a map of zeroes replaces
//! the lost map, so that the coordinator continues to the next [`Store::check`], which returns the error. Reads and
//! writes of tables check nothing.

mod disk;
mod log;
mod map;
mod store;
mod table;

pub(crate) use disk::write_behind;
pub use disk::{free, is_full, is_in_memory, no_file, room, shortage, unnamed_file};
pub(crate) use log::{Log, LogWriter};
#[cfg(feature = "faults")]
pub(crate) use map::name;
pub(crate) use map::{LostMap, Passage};
pub use map::{give_back_input, input};
pub use store::{Reservation, Store};
pub use table::{Atomic, Table};
