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
use std::ops::Range;
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
    /// The files that are documents.
    pub files: Files,
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
    /// Adds what another thread has found, but for its files.
    fn merge(&mut self, mut part: Found) {
        self.left_out += part.left_out;
        self.unreadable.append(&mut part.unreadable);
        self.links_up.append(&mut part.links_up);
        self.used.merge(&part.used);
    }
}

/// The files of a walk, as the tree that they are in: a path shares the bytes of its folders with others, and the thread that
/// reads a folder sorts it.
#[derive(Default)]
pub struct Files {
    /// The folders by their numbers. The first one is the CORPUS.
    folders: Vec<Folder>,
}

impl Files {
    /// Calls `each` with the path of each file, in the order of their bytes.
    pub fn for_each(&self, mut each: impl FnMut(&[u8])) {
        let mut path = Vec::new();
        // The folders above: the names in each that are left, and the bytes of its own path.
        let mut above: Vec<_> = self.folders.first().map(|corpus| (corpus.names(), 0)).into_iter().collect();
        while let Some((names, length)) = above.last_mut() {
            path.truncate(*length);
            let Some((name, folder)) = names.next() else {
                above.pop();
                continue;
            };
            path.extend_from_slice(name);
            match folder {
                None => each(&path),
                // One that could not be read has no names.
                Some(number) => above.push((self.folders[number].names(), path.len())),
            }
        }
    }
}

/// The files and folders in a folder that are taken.
#[derive(Default)]
struct Folder {
    /// Their names, one behind the other. Those of folders end with a slash, so that their order is that of paths.
    bytes: Vec<u8>,
    /// Where each name is in `bytes`, and the number of the folder, if it is one.
    names: Vec<(Range<usize>, Option<usize>)>,
}

impl Folder {
    /// Adds a file, or the folder of this number.
    fn add(&mut self, name: &[u8], folder: Option<usize>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if folder.is_some() {
            self.bytes.push(b'/');
        }
        self.names.push((start..self.bytes.len(), folder));
    }

    fn sorted(mut self) -> Self {
        let bytes = &self.bytes;
        self.names.sort_unstable_by(|(one, _), (other, _)| bytes[one.clone()].cmp(&bytes[other.clone()]));
        self
    }

    fn names(&self) -> impl Iterator<Item = (&[u8], Option<usize>)> {
        self.names.iter().map(|(name, folder)| (&self.bytes[name.clone()], *folder))
    }
}

/// An entry of a folder, not yet looked at.
struct Entry<'a> {
    path: &'a [u8],
    /// The last part of its path.
    name: &'a [u8],
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
        let queue = Queue::new();
        std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, || self.work(&queue)).ok();
            let helpers: Vec<_> = (1..threads).map_while(start).collect();
            let (mut found, mut folders) = self.work(&queue);
            for helper in helpers {
                let (part, read) = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                found.merge(part);
                folders.extend(read);
            }
            found.files.folders.resize_with(queue.numbers(), Folder::default);
            folders.into_iter().for_each(|(number, folder)| found.files.folders[number] = folder);
            found
        })
    }

    /// Each file and folder is taken once: by the first path that leads to it, in the order of names, folder by folder, which
    /// must not depend on threads. A link to a folder that contains the link itself leads to nothing new, or out of what was
    /// linked to: it is left out as one to a folder `above` is.
    fn following(&self, above: &HashSet<Inode>) -> Found {
        let mut found = Found::default();
        let mut met: HashSet<Inode> = fstat(self.root).iter().map(inode_of).collect();
        // Whole paths, as if all files were in the CORPUS itself.
        let mut files = Folder::default();
        // What is still to be looked at; the next one is the last.
        let mut ahead = Vec::new();
        self.list_sorted(&[], &mut ahead, &mut found);
        while let Some((path, kind)) = ahead.pop() {
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
                files.add(&path, None);
            } else if is_link && (above.contains(&inode) || self.folders_above(&path).contains(&inode)) {
                found.left_out += 1;
                found.links_up.push(path);
            } else {
                met.insert(inode);
                self.list_sorted(&path, &mut ahead, &mut found);
            }
        }
        found.files.folders.push(files.sorted());
        found
    }

    /// Reads folders from the queue until none is left. Returns their files by the numbers of the folders.
    fn work(&self, queue: &Queue) -> (Found, Vec<(usize, Folder)>) {
        let (mut found, mut folders) = (Found::default(), Vec::new());
        while let Some(Task { path, number, beneath, .. }) = &mut queue.next() {
            let mut folder = Folder::default();
            self.list(path, &mut found, |entry, found| {
                if !self.takes(entry.kind, entry.path, &mut found.used) || self.is_own(&entry) {
                    found.left_out += 1;
                } else if entry.kind == Type::Directory {
                    let number = queue.number();
                    beneath.push((entry.path.to_vec(), number));
                    folder.add(entry.name, Some(number));
                } else {
                    folder.add(entry.name, None);
                }
            });
            folders.push((*number, folder.sorted()));
        }
        (found, folders)
    }

    /// Adds the entries of a folder to `ahead`, in the reversed order of their names.
    fn list_sorted(&self, folder: &[u8], ahead: &mut Vec<(Vec<u8>, Type)>, found: &mut Found) {
        let first = ahead.len();
        self.list(folder, found, |entry, _| ahead.push((entry.path.to_vec(), entry.kind)));
        ahead[first..].sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
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
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        let start = path.len();
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
                    path.truncate(start);
                    path.extend_from_slice(name);
                    each(Entry { path: &path, name, kind, number: entry.ino() }, found);
                }
                (_, None) => unknown.push(entry),
            }
        }
        for entry in unknown {
            let name = entry.file_name().to_bytes();
            path.truncate(start);
            path.extend_from_slice(name);
            match fstatat(&directory, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    each(Entry { path: &path, name, kind: kind_of(&stat), number: entry.ino() }, found)
                }
                Err(errno) => found.unreadable.push((path.clone(), errno)),
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
        let stat = || fstatat(self.root, entry.path, AtFlags::AT_SYMLINK_NOFOLLOW);
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
    /// How many folders have a number.
    numbers: AtomicUsize,
}

struct QueueState {
    /// Paths and numbers of folders.
    folders: Vec<(Vec<u8>, usize)>,
    /// Folders that are being read: there may be others in them.
    busy: usize,
}

/// A folder that a thread reads, and the folders that it finds there. Dropped, it hands those to the queue.
struct Task<'a> {
    path: Vec<u8>,
    number: usize,
    beneath: Vec<(Vec<u8>, usize)>,
    queue: &'a Queue,
}

impl Queue {
    /// A queue with the CORPUS itself.
    fn new() -> Self {
        let state = QueueState { folders: vec![(Vec::new(), 0)], busy: 0 };
        Queue { state: Mutex::new(state), changed: Condvar::new(), numbers: AtomicUsize::new(1) }
    }

    /// The number of one more folder.
    fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// How many folders have a number.
    fn numbers(&self) -> usize {
        self.numbers.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next folder; none once all have been read.
    fn next(&self) -> Option<Task<'_>> {
        let is_empty = |state: &mut QueueState| state.folders.is_empty() && state.busy > 0;
        let mut state =
            self.changed.wait_while(self.lock(), is_empty).unwrap_or_else(PoisonError::into_inner);
        let (path, number) = state.folders.pop()?;
        state.busy += 1;
        Some(Task { path, number, beneath: Vec::new(), queue: self })
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

    fn paths(found: &Found) -> Vec<Vec<u8>> {
        let mut paths = Vec::new();
        found.files.for_each(|path| paths.push(path.to_vec()));
        paths
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
            let (mut found, mut paths) = (Found::default(), Vec::new());
            walk.list(folder, &mut found, |entry, _| paths.push(entry.path.to_vec()));
            (paths, found.unreadable)
        };
        assert_eq!(listed(b"sub/folder"), (vec![b"sub/folder/a".to_vec()], vec![]));
        rename(dir.path().join("corpus/sub"), dir.path().join("corpus/moved")).unwrap();
        symlink(dir.path().join("elsewhere"), dir.path().join("corpus/sub")).unwrap();
        assert_eq!(listed(b"sub"), (vec![], vec![(b"sub".to_vec(), Errno::ELOOP)]));
        assert_eq!(listed(b"sub/folder"), (vec![], vec![(b"sub/folder".to_vec(), Errno::ELOOP)]));
        let all = |threads| paths(&walk.run(threads, &HashSet::new()));
        assert_eq!((all(1), all(3)), (vec![b"moved/folder/a".to_vec()], all(1)));
    }

    #[test]
    fn many_folders_are_read_by_any_number_of_threads() {
        let (dir, root) = corpus();
        let mut expected = vec![b"sub/folder/a".to_vec()];
        for number in 0..300 {
            // The slash is between `-` and `0`: the order of names is not that of paths.
            let path = format!("{}/{}{}/{number}/x", number % 7, number % 31, ["", "-", "0"][number % 3]);
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
            let found = walk.run(threads, &HashSet::new());
            assert_eq!((paths(&found), found.left_out, found.unreadable), (expected.clone(), 0, vec![]));
        }
    }
}
