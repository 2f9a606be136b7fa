//! The disk under maps and outputs: how much room there is, what an error says of it, and when writing to it begins.
//!
//! Knows nothing of maps.

use super::map::start_write_back;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{fstatvfs, statvfs};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes of an output whose writing to the disk is started at once: 8 MiB.
const BLOCK: u64 = 8 << 20;

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

/// Notes that the bytes `written` of an output were written, one of many ranges that workers write about in order. For each
/// 8 MiB, starts the writing to the disk of the 8 MiB before, which other workers have written by then. So the disk is
/// busy from the start, and the sync at the end waits for little. A small output is left to that sync.
pub(crate) fn write_behind(file: &File, written: Range<u64>) {
    let due = due(written);
    if !due.is_empty() {
        start_write_back(file, due.start, due.end - due.start);
    }
}

fn due(written: Range<u64>) -> Range<u64> {
    let (first, last) = (written.start / BLOCK, written.end / BLOCK);
    if first < last { first.saturating_sub(1) * BLOCK..(last - 1) * BLOCK } else { 0..0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_behind_a_writer_are_due_once() {
        // Writes of all sizes, in order: each block but the last is due once, and never before the next one is written.
        let mut end = 0;
        let mut sent = 0;
        for bytes in [0, 1, BLOCK - 1, BLOCK, 3, 5 * BLOCK / 2, BLOCK / 3, BLOCK / 3, BLOCK / 3, 9 * BLOCK] {
            let due = due(end..end + bytes);
            end += bytes;
            assert!(due.is_empty() || (due.start == sent && due.end + BLOCK <= end), "{due:?} at {end}");
            sent = sent.max(due.end);
        }
        assert_eq!(sent, end / BLOCK * BLOCK - BLOCK);
    }
}
