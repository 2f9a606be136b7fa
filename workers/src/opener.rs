//! Opens documents, or queries the state of their files. Follows no link on the way unless the user asked for links.
//!
//! Walks a path one folder at a time and enters each with O_NOFOLLOW. If a folder was replaced by a link after the
//! corpus was walked, the document fails. `openat2` could refuse links in one call, but it takes its flags from memory,
//! where the sandbox's filter cannot see whether a file is to be opened for writing. Paths are sorted, so the folders
//! of the last document stay open: the next document usually is in the same folder and costs one call on a shorter
//! path.

use crate::documents::{Documents, Place, Source, is_regular};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, PosixFadviseAdvice, openat, posix_fadvise};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// Number of folders that stay open: the first ones of a path, and its last. More would use up descriptors in every
/// thread. Fewer would open the folders of a deep tree again and again.
const HELD: usize = 4;

/// Bytes of a document that are fetched ahead: 4 MiB.
const AHEAD_BYTES: i64 = 4 << 20;

/// Opens the documents of one list.
#[derive(Debug, Default)]
pub struct Opener {
    /// The number of the root that `path` begins at.
    root: usize,
    /// The folders of the last document, each followed by a slash.
    path: Vec<u8>,
    /// The open ones of those folders, in the order of the path.
    held: Vec<Folder>,
}

/// An open folder.
#[derive(Debug)]
struct Folder {
    /// Length of its path in bytes, including the slash after it.
    end: usize,
    directory: OwnedFd,
}

impl Opener {
    /// Opens document `row` for reading. A file that was open already keeps its position for all who share it: read it
    /// from given places only.
    ///
    /// # Errors
    /// The system's error; ELOOP if the path contains a link.
    pub fn open(&mut self, documents: &Documents, row: usize) -> Result<File, Errno> {
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let is_listed = match documents.place(row) {
            Place::Open(file, _) => {
                let duplicate = file.try_clone();
                return duplicate
                    .map_err(|error| error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw));
            }
            Place::List => true,
            Place::Directory(_) | Place::Argument => false,
        };
        self.within(documents, row, |folder, name, follows_links| {
            let links = if follows_links { OFlag::empty() } else { OFlag::O_NOFOLLOW };
            // No walk has looked at the files of a list, and the opening of a device may have an effect.
            let is_file = |stat| is_regular(&stat);
            let opens = match is_listed && !fstatat(folder, name, AtFlags::empty()).is_ok_and(is_file) {
                true => OFlag::O_PATH | OFlag::O_CLOEXEC,
                false => flags,
            };
            openat(folder, name, opens | links, Mode::empty()).map(File::from)
        })
    }

    /// The state of a document's file, without opening it. `None` if it is not a regular file.
    pub fn source(&mut self, documents: &Documents, row: usize) -> Option<Source> {
        let stat = match documents.place(row) {
            Place::Open(file, _) => fstat(file),
            _ => self.within(documents, row, |folder, name, follows_links| {
                let links = if follows_links { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
                fstatat(folder, name, links)
            }),
        };
        stat.ok().filter(is_regular).map(|stat| Source::of(&stat))
    }

    /// Asks the system to fetch the beginning of document `row`, if that row exists. Does not wait for it.
    pub(crate) fn fetch(&mut self, documents: &Documents, row: usize) {
        if row < documents.len()
            && let Ok(file) = self.open(documents, row)
        {
            // This is a hint. An error of the document shows when it is read.
            let _ = posix_fadvise(&file, 0, AHEAD_BYTES, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
    }

    /// Calls `act` with the folder of document `row`, its name in the folder, and whether the name may be a link. If that
    /// fails, enters the folders anew and calls `act` once more: an open folder may have been replaced, or may occupy the
    /// descriptor that is missing.
    fn within<T>(
        &mut self,
        documents: &Documents,
        row: usize,
        act: impl Fn(BorrowedFd<'_>, &CStr, bool) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let path = documents.c_path(row);
        // A CORPUS argument or a file of a list may itself be a link, since the user named it.
        let Place::Directory(directory) = documents.place(row) else {
            return act(nix::fcntl::AT_FDCWD, path, true);
        };
        if documents.follows_links() {
            return act(directory.as_fd(), path, true);
        }
        let path = path.to_bytes_with_nul();
        let (folders, name) = path.split_at(memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1));
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::EINVAL)?;
        let root = documents.root(row);
        if root != self.root {
            self.forget();
            self.root = root;
        }
        let is_fresh = self.held.is_empty();
        match self.enter(directory, folders).and_then(|folder| act(folder, name, false)) {
            Err(_) if !is_fresh => {
                self.forget();
                self.enter(directory, folders).and_then(|folder| act(folder, name, false))
            }
            done => done,
        }
    }

    /// The folder below `root` with the path `folders`, in which each name is followed by a slash.
    fn enter<'a>(&'a mut self, root: &'a OwnedFd, folders: &[u8]) -> Result<BorrowedFd<'a>, Errno> {
        if self.path != folders {
            let shared = self.path.iter().zip(folders).take_while(|(held, wanted)| held == wanted).count();
            while self.held.pop_if(|folder| folder.end > shared).is_some() {}
            self.path.clear();
            self.path.extend_from_slice(folders);
        }
        let mut end = self.held.last().map_or(0, |folder| folder.end);
        while let Some(length) = memchr::memchr(b'/', &folders[end..]) {
            let above = self.held.last().map_or(root.as_fd(), |folder| folder.directory.as_fd());
            let directory = enter_one(above, &folders[end..end + length])?;
            end += length + 1;
            if self.held.len() == HELD {
                self.held.pop();
            }
            self.held.push(Folder { end, directory });
        }
        Ok(self.held.last().map_or(root.as_fd(), |folder| folder.directory.as_fd()))
    }

    /// Closes all folders.
    fn forget(&mut self) {
        self.held.clear();
        self.path.clear();
    }
}

/// Opens the folder `name` in `above`, only as a base for further lookups. Fails with ELOOP if it is a link.
fn enter_one(above: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    // O_PATH needs only the search permission that the lookup of a longer path would need.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(above, name, flags, Mode::empty()).map_err(|errno| {
        let is_link =
            |stat: FileStat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK;
        // The system returns ENOTDIR for a link, too.
        match errno {
            Errno::ENOTDIR if fstatat(above, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(is_link) => {
                Errno::ELOOP
            }
            errno => errno,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use tempfile::TempDir;

    /// Creates a directory with these files and the list of them. The text of each file is its path.
    fn corpus(paths: &[&str], follows_links: bool) -> (TempDir, Documents) {
        let dir = tempfile::tempdir().unwrap();
        let mut documents = Documents::following(follows_links);
        documents.add_root(Some(File::open(dir.path()).unwrap().into()), Vec::new());
        for path in paths {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, path).unwrap();
            documents.add(path.as_bytes());
        }
        (dir, documents)
    }

    fn text(opener: &mut Opener, documents: &Documents, row: usize) -> Result<String, Errno> {
        let mut text = String::new();
        opener.open(documents, row)?.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn swap(dir: &TempDir, path: &str, target: &Path) {
        fs::rename(dir.path().join(path), dir.path().join("moved")).unwrap();
        symlink(target, dir.path().join(path)).unwrap();
    }

    const PATHS: [&str; 9] = [
        "a",
        "b/a",
        "b/b",
        "ba/a",
        "d/e/e/p/e/r/than/held",
        "d/e/e/p/e/r/than/held2",
        "d/e/e/p/e/s/x",
        "d/e/x/y",
        "e",
    ];

    #[test]
    fn documents_open_in_any_order() {
        let (_dir, documents) = corpus(&PATHS, false);
        let mut opener = Opener::default();
        for step in 1..PATHS.len() {
            for row in (0..3 * PATHS.len()).map(|number| number * step % PATHS.len()) {
                assert_eq!(text(&mut opener, &documents, row).as_deref(), Ok(PATHS[row]));
                assert_eq!(
                    opener.source(&documents, row).map(|source| source.bytes),
                    Some(PATHS[row].len() as u64)
                );
                assert!(opener.held.len() <= HELD);
            }
        }
    }

    #[test]
    fn roots_are_told_apart() {
        let (_one, mut documents) = corpus(&["a/a"], false);
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("a")).unwrap();
        fs::write(other.path().join("a/a"), "other").unwrap();
        documents.add_root(Some(File::open(other.path()).unwrap().into()), Vec::new());
        documents.add(b"a/a");
        let file = other.path().join("link");
        symlink("a/a", &file).unwrap();
        documents.add_root(None, Vec::new());
        documents.add(file.as_os_str().as_bytes());
        let mut opener = Opener::default();
        for (row, expected) in [(0, "a/a"), (1, "other"), (0, "a/a"), (2, "other"), (1, "other")] {
            assert_eq!(text(&mut opener, &documents, row).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_link_anywhere_in_the_path_is_refused() {
        let elsewhere = tempfile::tempdir().unwrap();
        let secret = elsewhere.path().join("e/r/than/held");
        fs::create_dir_all(secret.parent().unwrap()).unwrap();
        fs::write(&secret, "secret").unwrap();
        for (path, target) in [
            ("d", elsewhere.path()),
            ("d/e/e/p", elsewhere.path()),
            ("d/e/e/p/e/r/than", secret.parent().unwrap()),
            ("d/e/e/p/e/r/than/held", &secret),
        ] {
            let (dir, documents) = corpus(&["d/e/e/p/e/r/than/held"], false);
            swap(&dir, path, target);
            let mut opener = Opener::default();
            assert_eq!(text(&mut opener, &documents, 0), Err(Errno::ELOOP), "{path}");
            assert_eq!(opener.source(&documents, 0), None, "{path}");
            opener.fetch(&documents, 0);
        }
        // With `follows_links`, links are followed.
        let (dir, documents) = corpus(&["d/e/e/p/e/r/than/held"], true);
        swap(&dir, "d/e/e/p", elsewhere.path());
        assert_eq!(text(&mut Opener::default(), &documents, 0).as_deref(), Ok("secret"));
    }

    #[test]
    fn a_folder_that_is_held_is_looked_for_anew_if_a_document_is_not_in_it() {
        let (dir, documents) = corpus(&["a/b/1", "a/b/2"], false);
        let mut opener = Opener::default();
        assert_eq!(text(&mut opener, &documents, 0).as_deref(), Ok("a/b/1"));
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        assert_eq!(text(&mut opener, &documents, 1), Err(Errno::ENOENT));
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/2"), "new").unwrap();
        assert_eq!(text(&mut opener, &documents, 1).as_deref(), Ok("new"));
        // A folder that was replaced by a file is not a link.
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a"), "a file").unwrap();
        assert_eq!(text(&mut opener, &documents, 1), Err(Errno::ENOTDIR));
    }
}
