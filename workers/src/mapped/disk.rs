//! The disk under maps and outputs: how much room there is, and what an error says of it.
//!
//! Knows nothing of maps.

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{fstatvfs, statvfs};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether an error means that a disk is full, or full for this user.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull)
}

/// Returns `error`. If it means that the disk has no room for `bytes` bytes of `file`, which is in `directory` with the
/// scratch files, adds how much room there is.
pub fn shortage(file: &File, directory: &Path, bytes: u64, error: io::Error) -> io::Error {
    if !is_full(&error) {
        return error;
    }
    let (shown, free) = (directory.display(), room(file));
    let needed = format!("{bytes} bytes are needed in {shown}, and {free} are free");
    io::Error::new(error.kind(), format!("{needed}: {error}"))
}

/// Creates a file without a name in `directory`.
///
/// # Errors
/// As for [`no_file`].
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    tempfile::tempfile_in(directory).map_err(|error| no_file(directory, error))
}

/// Returns `error`, the reason why a file or a directory can't be made in `directory`. If it means that the disk is full,
/// adds how much room there is: a disk may have bytes left, and no place for another file (inode).
pub fn no_file(directory: &Path, error: io::Error) -> io::Error {
    if !is_full(&error) {
        return error;
    }
    let (shown, bytes) = (directory.display(), free(directory));
    let files = statvfs(directory).map_or(0, |disk| disk.files_available());
    io::Error::new(
        error.kind(),
        format!("no room for another file in {shown}, {bytes} bytes and {files} files are free: {error}"),
    )
}

/// Bytes of disk available to `file`: those it has plus those that are free. A failed reservation may keep the blocks
/// that it found.
pub fn room(file: &File) -> u64 {
    let taken = file.metadata().map_or(0, |metadata| metadata.blocks() * 512);
    taken + fstatvfs(file).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Free bytes on the disk of `directory`.
pub fn free(directory: &Path) -> u64 {
    statvfs(directory).map_or(0, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Whether the files of `directory` lie in memory (tmpfs(5), ramfs).
pub fn is_in_memory(directory: &Path) -> bool {
    let in_memory = [TMPFS_MAGIC, FsType(RAMFS_MAGIC)];
    statfs(directory).is_ok_and(|disk| in_memory.contains(&disk.filesystem_type()))
}

/// The type of a ramfs (linux/magic.h).
const RAMFS_MAGIC: nix::libc::__fsword_t = 0x8584_58f6;
