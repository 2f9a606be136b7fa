//! The walk: one directory to the files beneath it.
//!
//! Folders are entered from the descriptor of the CORPUS. Without `--follow` no link is passed on the way, so that a folder
//! replaced by a link during the walk shows no names outside the corpus. Special files are not opened, ignore files
//! are not obeyed. Entries left out are counted; unreadable folders are reported and do not end the walk. Prints nothing.

use super::globs::{GlobUse, Globs};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Device and inode of a file or folder.
pub type Inode = (u64, u64);

/// One directory, and what is to be found in it.
pub struct Walk<'a> {
    /// The CORPUS, open.
    pub root: BorrowedFd<'a>,
    /// What `--glob` takes and leaves out.
    pub globs: &'a Globs,
    /// Whether hidden files and folders are taken.
    pub hidden: bool,
    /// Whether links are followed.
    pub follow: bool,
    /// What the run writes itself.
    pub own: &'a [Inode],
    /// Not 0 once the walk is to end where it is.
    pub interrupted: &'a AtomicUsize,
}

/// What a walk has found. Paths are relative to the CORPUS.
#[derive(Default)]
pub struct Found {
    /// The files that are documents, in no order.
    pub paths: Vec<Vec<u8>>,
    /// How many entries were left out.
    pub left_out: u64,
    /// Folders and links that could not be read, and why.
    pub unreadable: Vec<(Vec<u8>, Errno)>,
    /// Links that were left out since they lead to a folder above them or above a CORPUS.
    pub links_up: Vec<Vec<u8>>,
    /// Which globs have matched.
    pub used: GlobUse,
}

impl Found {
    fn merge(&mut self, mut part: Found) {
        self.paths.append(&mut part.paths);
        self.left_out += part.left_out;
        self.unreadable.append(&mut part.unreadable);
        self.links_up.append(&mut part.links_up);
        self.used.merge(&part.used);
    }
}

/// An entry of a folder, not yet looked at.
struct Entry {
    path: Vec<u8>,
    kind: Type,
    /// Its inode, on a device that is not known.
    number: u64,
}

impl Walk<'_> {
    /// Finds the files. Reads folders in this many threads, or fewer if they can't be started; the threads have ended when this returns.
    /// Where links are followed one thread does it, and no link to one of the folders `above` is.
    pub fn run(&self, threads: usize, above: &HashSet<Inode>) -> Found {
        match self.follow {
            true => self.following(above),
            false => self.in_parallel(if self.is_flat() { 1 } else { threads }),
        }
    }

    fn in_parallel(&self, threads: usize) -> Found {
        let queue = Queue::new(Vec::new());
        std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, || self.work(&queue)).ok();
            let helpers: Vec<_> = (1..threads).map_while(start).collect();
            let mut found = self.work(&queue);
            for helper in helpers {
                match helper.join() {
                    Ok(part) => found.merge(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            found
        })
    }

    /// Each file and folder is taken once: by the first path that leads to it, in the order of names, folder by folder, which
    /// must not depend on threads. A link to a folder that contains the link itself leads to nothing new, or out of what was
    /// linked to: it is left out as one to a folder `above` is.
    fn following(&self, above: &HashSet<Inode>) -> Found {
        let mut found = Found::default();
        let mut met: HashSet<Inode> = fstat(self.root).iter().map(inode_of).collect();
        // What is still to be looked at; the next one is the last.
        let mut ahead = Vec::new();
        self.list_sorted(&[], &mut ahead, &mut found);
        while let Some(Entry { path, kind, .. }) = ahead.pop() {
            if self.is_interrupted() {
                break;
            }
            let is_link = kind == Type::Symlink;
            let links = if is_link { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
            let stat = match fstatat(self.root, path.as_slice(), links) {
                Ok(stat) => stat,
                // A link that leads nowhere: no document is lost with it.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) if is_link => {
                    found.left_out += 1;
                    continue;
                }
                Err(errno) => {
                    found.unreadable.push((path, errno));
                    continue;
                }
            };
            let (kind, inode) = (kind_of(&stat), inode_of(&stat));
            if !self.takes(kind, &path, &mut found.used) || self.own.contains(&inode) || met.contains(&inode)
            {
                found.left_out += 1;
            } else if kind == Type::File {
                met.insert(inode);
                found.paths.push(path);
            } else if is_link && (above.contains(&inode) || self.folders_above(&path).contains(&inode)) {
                found.left_out += 1;
                found.links_up.push(path);
            } else {
                met.insert(inode);
                self.list_sorted(&path, &mut ahead, &mut found);
            }
        }
        found
    }

    /// Reads folders from the queue until none is left.
    fn work(&self, queue: &Queue) -> Found {
        let mut found = Found::default();
        while let Some(Task { folder, beneath, .. }) = &mut queue.next() {
            self.list(folder, &mut found, |entry, found| {
                if !self.takes(entry.kind, &entry.path, &mut found.used) || self.is_own(&entry) {
                    found.left_out += 1;
                } else if entry.kind == Type::Directory {
                    beneath.push(entry.path);
                } else {
                    found.paths.push(entry.path);
                }
            });
        }
        found
    }

    /// Adds the entries of a folder to `ahead`, in the reversed order of their names.
    fn list_sorted(&self, folder: &[u8], ahead: &mut Vec<Entry>, found: &mut Found) {
        let first = ahead.len();
        self.list(folder, found, |entry, _| ahead.push(entry));
        ahead[first..].sort_unstable_by(|one, other| other.path.cmp(&one.path));
    }

    /// Gives each entry of a folder to `each`, without the hidden ones. What can't be read goes to `found`.
    fn list(&self, folder: &[u8], found: &mut Found, each: impl FnMut(Entry, &mut Found)) {
        if let Err(errno) = self.read(folder, found, each) {
            found.unreadable.push((folder.to_vec(), errno));
        }
    }

    fn read(
        &self,
        folder: &[u8],
        found: &mut Found,
        mut each: impl FnMut(Entry, &mut Found),
    ) -> Result<(), Errno> {
        let mut directory = Dir::from_fd(self.open(folder)?)?;
        // Some file systems don't say what their entries are.
        let mut unknown = Vec::new();
        for entry in directory.iter() {
            if self.is_interrupted() {
                return Ok(());
            }
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            match (name, entry.file_type()) {
                (b"." | b"..", _) => {}
                (name, _) if !self.hidden && name.starts_with(b".") => found.left_out += 1,
                (name, Some(kind)) => {
                    each(Entry { path: join(folder, name), kind, number: entry.ino() }, found);
                }
                (_, None) => unknown.push(entry),
            }
        }
        for entry in unknown {
            let path = join(folder, entry.file_name().to_bytes());
            match fstatat(&directory, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => each(Entry { path, kind: kind_of(&stat), number: entry.ino() }, found),
                Err(errno) => found.unreadable.push((path, errno)),
            }
        }
        Ok(())
    }

    /// Whether an entry is a file that `--glob` takes, or a folder to be walked.
    fn takes(&self, kind: Type, path: &[u8], used: &mut GlobUse) -> bool {
        match kind {
            Type::File => self.globs.takes_file(path, used),
            Type::Directory => !self.globs.leaves_out_folder(path, used),
            _ => false,
        }
    }

    /// Whether the run writes the entry itself.
    fn is_own(&self, entry: &Entry) -> bool {
        // The number alone is there already, and seldom the right one.
        let may_be = self.own.iter().any(|&(_, number)| number == entry.number);
        let stat = || fstatat(self.root, entry.path.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW);
        may_be && stat().is_ok_and(|stat| self.own.contains(&inode_of(&stat)))
    }

    /// Opens a folder to list it.
    fn open(&self, folder: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = if folder.is_empty() { b"." } else { folder };
        if self.follow {
            return openat(self.root, path, flags, Mode::empty());
        }
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        match openat2(self.root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            // A kernel before 5.6, or a container that forbids what it doesn't know.
            Err(Errno::ENOSYS | Errno::EPERM) => open_by_steps(self.root, path, flags),
            opened => opened,
        }
    }

    /// The folders that contain the entry with this path, wherever links on the way to it lead.
    fn folders_above(&self, path: &[u8]) -> HashSet<Inode> {
        let folder = path.iter().rposition(|&byte| byte == b'/').map_or(&b"."[..], |slash| &path[..slash]);
        let mut above = HashSet::new();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        if let Ok(folder) = openat(self.root, folder, flags, Mode::empty()) {
            add_folders_above(folder, &mut above);
        }
        above
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) != 0
    }

    /// Whether there are no folders in it, as far as its links say: one thread reads it sooner than several.
    fn is_flat(&self) -> bool {
        // Its name and its own `.`; each folder in it would add a `..`. Some file systems always say 1.
        fstat(self.root).is_ok_and(|stat| stat.st_nlink == 2)
    }
}

/// Opens a folder beneath `root`, where the kernel can't be asked to refuse links in one call.
fn open_by_steps(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let mut opened: Option<OwnedFd> = None;
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { OFlag::O_PATH | flags } else { flags };
        let folder = opened.as_ref().map_or(root, OwnedFd::as_fd);
        opened = Some(openat(folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty())?);
    }
    opened.ok_or(Errno::ENOENT)
}

/// Adds the folders that contain `folder`, up to the root of the file system.
pub fn add_folders_above(folder: impl AsFd, above: &mut HashSet<Inode>) {
    let mut path = "..".to_owned();
    // The root is in itself. What is in the set already is there with all that is above it.
    while fstatat(&folder, path.as_str(), AtFlags::empty()).is_ok_and(|stat| above.insert(inode_of(&stat))) {
        path.push_str("/..");
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn inode_of(stat: &FileStat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

fn kind_of(stat: &FileStat) -> Type {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Type::File,
        SFlag::S_IFDIR => Type::Directory,
        SFlag::S_IFLNK => Type::Symlink,
        SFlag::S_IFIFO => Type::Fifo,
        SFlag::S_IFBLK => Type::BlockDevice,
        SFlag::S_IFCHR => Type::CharacterDevice,
        _ => Type::Socket,
    }
}

/// Folders that are still to be read, by any thread.
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    folders: Vec<Vec<u8>>,
    /// Folders that are being read: there may be others in them.
    busy: usize,
}

/// A folder that a thread reads, and the folders that it finds there. Dropped, it hands those to the queue.
struct Task<'a> {
    folder: Vec<u8>,
    beneath: Vec<Vec<u8>>,
    queue: &'a Queue,
}

impl Queue {
    fn new(folder: Vec<u8>) -> Self {
        Queue { state: Mutex::new(QueueState { folders: vec![folder], busy: 0 }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next folder; none once all have been read.
    fn next(&self) -> Option<Task<'_>> {
        let is_empty = |state: &mut QueueState| state.folders.is_empty() && state.busy > 0;
        let mut state =
            self.changed.wait_while(self.lock(), is_empty).unwrap_or_else(PoisonError::into_inner);
        let folder = state.folders.pop()?;
        state.busy += 1;
        Some(Task { folder, beneath: Vec::new(), queue: self })
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.busy -= 1;
        state.folders.append(&mut self.beneath);
        let is_news = state.busy == 0 || !state.folders.is_empty();
        drop(state);
        if is_news {
            self.queue.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, create_dir_all, rename, write};
    use std::os::unix::fs::symlink;

    /// A directory with a folder and a link to one outside of it, which bears the folder's name once they are swapped.
    fn corpus() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("corpus/sub/folder")).unwrap();
        create_dir_all(dir.path().join("elsewhere/folder")).unwrap();
        write(dir.path().join("corpus/sub/folder/a"), "").unwrap();
        write(dir.path().join("elsewhere/folder/secret"), "").unwrap();
        let root = File::open(dir.path().join("corpus")).unwrap();
        (dir, root)
    }

    #[test]
    fn a_folder_that_was_swapped_for_a_link_shows_no_names() {
        let (dir, root) = corpus();
        let interrupted = AtomicUsize::new(0);
        let globs = Globs::new(&[]).unwrap();
        let root = root.as_fd();
        let walk =
            Walk { root, globs: &globs, hidden: false, follow: false, own: &[], interrupted: &interrupted };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let listed = |folder: &[u8]| {
            assert_eq!(walk.open(folder).is_ok(), open_by_steps(root, folder, flags).is_ok());
            let mut found = Found::default();
            walk.list(folder, &mut found, |entry, found| found.paths.push(entry.path));
            (found.paths, found.unreadable)
        };
        assert_eq!(listed(b"sub/folder"), (vec![b"sub/folder/a".to_vec()], vec![]));
        rename(dir.path().join("corpus/sub"), dir.path().join("corpus/moved")).unwrap();
        symlink(dir.path().join("elsewhere"), dir.path().join("corpus/sub")).unwrap();
        assert_eq!(listed(b"sub"), (vec![], vec![(b"sub".to_vec(), Errno::ELOOP)]));
        assert_eq!(listed(b"sub/folder"), (vec![], vec![(b"sub/folder".to_vec(), Errno::ELOOP)]));
        let all = |threads| walk.run(threads, &HashSet::new());
        assert_eq!((all(1).paths, all(3).paths.len()), (vec![b"moved/folder/a".to_vec()], 1));
    }

    #[test]
    fn many_folders_are_read_by_any_number_of_threads() {
        let (dir, root) = corpus();
        let mut expected = vec![b"sub/folder/a".to_vec()];
        for number in 0..300 {
            let path = format!("{}/{}/{number}/x", number % 7, number % 31);
            let file = dir.path().join("corpus").join(&path);
            create_dir_all(file.parent().unwrap()).unwrap();
            write(file, "").unwrap();
            expected.push(path.into_bytes());
        }
        expected.sort_unstable();
        let (globs, interrupted) = (Globs::new(&[]).unwrap(), AtomicUsize::new(0));
        for (follow, threads) in [(true, 1), (false, 1), (false, 2), (false, 16)] {
            let root = root.as_fd();
            let walk =
                Walk { root, globs: &globs, hidden: false, follow, own: &[], interrupted: &interrupted };
            let mut found = walk.run(threads, &HashSet::new());
            found.paths.sort_unstable();
            assert_eq!((found.paths, found.left_out, found.unreadable), (expected.clone(), 0, vec![]));
        }
    }
}
