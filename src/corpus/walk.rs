//! The walk: directories to a sorted list of files.
//!
//! Rows are sorted by the bytes of the path relative to its CORPUS (`PathBuf` orders otherwise: it puts `a/x` before
//! `a.txt`). Links are followed only on request, special files are not opened, ignore files are not obeyed. What was
//! left out is counted; what could not be read is told and does not end the walk.

use crate::usage_error::UsageError;
use anyhow::Result;
use bowline_workers::documents::Documents;
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{WalkBuilder, WalkState};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which files become documents.
#[derive(Clone, Debug, Default)]
pub struct WalkSettings {
    /// Globs as `--glob` takes them.
    pub globs: Vec<String>,
    /// Whether hidden files and folders are documents too.
    pub hidden: bool,
    /// Whether links are followed. Then each file and folder is taken once: by the first path that leads to it, in
    /// the order of names, folder by folder.
    pub follow: bool,
    /// Threads that read folders, unless links are followed.
    pub threads: usize,
    /// Not 0 once the walk is to end where it is.
    pub interrupted: Arc<AtomicUsize>,
    /// Device and inode of what the run writes itself: no documents, wherever it lies.
    pub own: Vec<(u64, u64)>,
}

/// The documents, and what is not among them.
#[derive(Debug)]
pub struct Corpus {
    /// The documents, in row order.
    pub documents: Arc<Documents>,
    /// Entries left out because they are hidden, excluded by a glob, links, or special files.
    pub left_out: u64,
    /// Directories that could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Why a corpus can't be made out.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A CORPUS that can't be opened.
    #[error("{}: {}", shown(path), words(cause))]
    Unreadable {
        /// The CORPUS.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A CORPUS that is neither a directory nor a file.
    #[error("{}: neither a directory nor a regular file", shown(path))]
    Special {
        /// The CORPUS.
        path: PathBuf,
    },
    /// A kind of input that this version can't read.
    #[error("{}: .{ending} input is not supported yet (directories and plain text files are)", shown(path))]
    Unsupported {
        /// The CORPUS.
        path: PathBuf,
        /// The ending of its name.
        ending: String,
    },
    /// Nothing to embed.
    #[error("{}: no documents found{hint}", shown(path))]
    Empty {
        /// The first CORPUS.
        path: PathBuf,
        /// What may have left them out.
        hint: String,
    },
}

fn shown(path: &Path) -> String {
    super::display_path(path.as_os_str().as_bytes())
}

/// The system's words for an error, without its number.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) if errno == Errno::EMFILE as i32 => {
            "Too many open files (ulimit -n allows more)".to_owned()
        }
        Some(errno) => Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Endings of files that are not one document each when they are given as a CORPUS.
const CONTAINERS: [&str; 9] = ["jsonl", "ndjson", "csv", "tsv", "parquet", "gz", "zst", "bz2", "xz"];

/// Finds the documents of all `arguments`, in their order; some of them, if it was interrupted.
///
/// # Errors
/// If one of them can't be opened, or there is no document at all.
pub fn discover(arguments: &[PathBuf], settings: &WalkSettings) -> Result<Corpus> {
    let mut documents = Documents::following(settings.follow);
    let mut corpus = Corpus { documents: Arc::default(), left_out: 0, unreadable: Vec::new() };
    let single = arguments.len() == 1;
    for argument in arguments {
        let unreadable = |cause| CorpusError::Unreadable { path: argument.clone(), cause };
        let metadata = std::fs::metadata(argument).map_err(unreadable)?;
        if metadata.is_dir() {
            add_directory(&mut corpus, &mut documents, argument, single, settings)?;
        } else if metadata.is_file() {
            let ending =
                argument.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
            if CONTAINERS.contains(&ending.as_str()) {
                return Err(CorpusError::Unsupported { path: argument.clone(), ending }.into());
            }
            documents.add_root(None, Vec::new());
            documents.add(argument.as_os_str().as_bytes());
        } else {
            return Err(CorpusError::Special { path: argument.clone() }.into());
        }
    }
    if documents.is_empty() {
        let hint = match corpus.unreadable.first() {
            Some((path, cause)) => format!(" ({}: {cause})", shown(path)),
            None if corpus.left_out > 0 => " (--hidden and --glob decide what is left out)".to_owned(),
            None => String::new(),
        };
        return Err(CorpusError::Empty { path: arguments[0].clone(), hint }.into());
    }
    corpus.documents = Arc::new(documents);
    Ok(corpus)
}

fn add_directory(
    corpus: &mut Corpus,
    documents: &mut Documents,
    argument: &Path,
    single: bool,
    settings: &WalkSettings,
) -> Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(argument, flags, Mode::empty())
        .map_err(|errno| CorpusError::Unreadable { path: argument.to_owned(), cause: errno.into() })?;
    let mut prefix = Vec::new();
    if !single {
        prefix.extend_from_slice(argument.as_os_str().as_bytes());
        if prefix.last() != Some(&b'/') {
            prefix.push(b'/');
        }
    }
    let mut paths = walk(corpus, argument, settings)?;
    paths.sort_unstable();
    corpus.unreadable.sort();
    documents.add_root(Some(directory), prefix);
    paths.iter().for_each(|path| documents.add(path));
    Ok(())
}

/// What `--glob` takes and leaves out beneath `root`.
fn globs(root: &Path, globs: &[String]) -> Result<Override, UsageError> {
    let wrong = |error: ignore::Error| UsageError(format!("--glob: {error}"));
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        builder.add(glob).map_err(wrong)?;
    }
    builder.build().map_err(wrong)
}

/// The files beneath `root`, relative to it, in no order. Folders are read by several threads, which are gone when this
/// returns.
fn walk(corpus: &mut Corpus, root: &Path, settings: &WalkSettings) -> Result<Vec<Vec<u8>>> {
    let filter = Filter {
        globs: globs(root, &settings.globs)?,
        hidden: settings.hidden,
        left_out: Arc::default(),
        met: settings.follow.then(Mutex::default),
        own: settings.own.clone(),
    };
    let left_out = filter.left_out.clone();
    let threads = if is_flat(root) { 1 } else { settings.threads };
    let mut walker = WalkBuilder::new(root);
    walker
        .standard_filters(false)
        .follow_links(settings.follow)
        .threads(threads)
        .filter_entry(move |entry| filter.keeps(entry));
    let all = Mutex::new(Found::default());
    if settings.follow || !can_start(2 * threads) {
        // Which path leads to a file first, where links are followed, must not depend on threads.
        let mut gathered = Gathered { root, found: Found::default(), all: &all };
        let goes_on = |_: &_| settings.interrupted.load(Ordering::Relaxed) == 0;
        walker
            .sort_by_file_name(OsStr::cmp)
            .build()
            .take_while(goes_on)
            .for_each(|entry| gathered.take(entry));
    } else {
        walker.build_parallel().run(|| {
            let mut gathered = Gathered { root, found: Found::default(), all: &all };
            Box::new(move |entry| {
                gathered.take(entry);
                match settings.interrupted.load(Ordering::Relaxed) {
                    0 => WalkState::Continue,
                    _ => WalkState::Quit,
                }
            })
        });
    }
    let found = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    corpus.unreadable.extend(found.unreadable);
    corpus.left_out += found.left_out + left_out.load(Ordering::Relaxed);
    Ok(found.paths)
}

/// Whether so many threads may be there at a time: a limit of processes is one of threads, too, and the walker would panic.
/// One that has ended may count for a moment longer: who asks for twice as many as are needed will find room for them.
fn can_start(threads: usize) -> bool {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        // Nobody leaves before all are there.
        let _closed = gate.lock();
        (0..threads).all(|_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).is_ok())
    })
}

/// Whether a folder has no folders in it, as far as its links tell: one thread reads it sooner than several.
fn is_flat(folder: &Path) -> bool {
    // Its name and its own `.`; each folder in it would add a `..`. Some file systems always say 1.
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.nlink() == 2)
}

/// What the walk has found.
#[derive(Default)]
struct Found {
    paths: Vec<Vec<u8>>,
    left_out: u64,
    unreadable: Vec<(PathBuf, String)>,
}

/// What one thread of the walk has found: handed over when the thread is done.
struct Gathered<'a> {
    root: &'a Path,
    found: Found,
    all: &'a Mutex<Found>,
}

impl Gathered<'_> {
    fn take(&mut self, entry: Result<ignore::DirEntry, ignore::Error>) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if leads_nowhere(&error) => {
                self.found.left_out += 1;
                return;
            }
            Err(error) => return self.found.unreadable.push(unreadable(self.root, &error)),
        };
        match entry.file_type() {
            Some(kind) if kind.is_file() => {
                // The walker puts the root before each path, and a slash between, unless the root ends with one.
                let beneath = &entry.path().as_os_str().as_bytes()[self.root.as_os_str().len()..];
                self.found.paths.push(beneath.strip_prefix(b"/").unwrap_or(beneath).to_vec());
            }
            Some(kind) if kind.is_dir() => {}
            _ => self.found.left_out += 1,
        }
    }
}

impl Drop for Gathered<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.paths.append(&mut self.found.paths);
        all.left_out += self.found.left_out;
        all.unreadable.append(&mut self.found.unreadable);
    }
}

/// What the walk passes over, with what is beneath it.
struct Filter {
    globs: Override,
    hidden: bool,
    left_out: Arc<AtomicU64>,
    /// Device and inode of what was met, where links are followed.
    met: Option<Mutex<HashSet<(u64, u64)>>>,
    own: Vec<(u64, u64)>,
}

impl Filter {
    /// Whether links are not followed, or no path has led to the entry's file or folder before.
    fn is_new(&self, entry: &ignore::DirEntry) -> bool {
        let Some(met) = &self.met else { return true };
        // What is wrong with an entry that can't be looked at shows when it is read.
        entry.metadata().map_or(true, |metadata| {
            let inode = (metadata.dev(), metadata.ino());
            met.lock().unwrap_or_else(PoisonError::into_inner).insert(inode)
        })
    }

    /// Whether the run writes the entry itself.
    fn is_own(&self, entry: &ignore::DirEntry) -> bool {
        // The number alone is there already, and seldom the right one.
        let may_be = entry.ino().is_some_and(|inode| self.own.iter().any(|&(_, own)| own == inode));
        may_be && entry.metadata().is_ok_and(|metadata| self.own.contains(&(metadata.dev(), metadata.ino())))
    }

    fn keeps(&self, entry: &ignore::DirEntry) -> bool {
        if entry.depth() == 0 {
            return self.is_new(entry);
        }
        let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        let hidden = !self.hidden && entry.file_name().as_bytes().first() == Some(&b'.');
        let excluded = !self.globs.is_empty() && self.globs.matched(entry.path(), is_directory).is_ignore();
        let keeps = !hidden && !excluded && !self.is_own(entry) && self.is_new(entry);
        if !keeps {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        keeps
    }
}

/// Whether an error is about a link that is followed, to a folder above it or to nothing: no document is lost with it.
fn leads_nowhere(error: &ignore::Error) -> bool {
    match error {
        ignore::Error::Loop { .. } => true,
        ignore::Error::WithPath { path, err } => {
            let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
            let gone = std::fs::metadata(path).err().and_then(|error| error.raw_os_error());
            let gone = gone.map(Errno::from_raw);
            leads_nowhere(err) || is_link && matches!(gone, Some(Errno::ENOENT | Errno::ELOOP))
        }
        ignore::Error::WithDepth { err, .. } => leads_nowhere(err),
        _ => false,
    }
}

/// The path that an error of the walk is about, and its cause in the system's words.
fn unreadable(root: &Path, error: &ignore::Error) -> (PathBuf, String) {
    let mut path = root.to_owned();
    let mut inner = error;
    loop {
        match inner {
            ignore::Error::WithPath { path: at, err } => {
                path.clone_from(at);
                inner = err;
            }
            ignore::Error::WithDepth { err, .. } => inner = err,
            other => return (path, other.io_error().map_or_else(|| other.to_string(), innermost)),
        }
    }
}

/// The system's words for what an error wraps.
fn innermost(error: &io::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return words(error);
        }
        cause = inner.source();
    }
    words(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_is_interrupted_ends() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..1000 {
            let folder = dir.path().join(format!("{}", number / 50));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{number}.txt")), "text").unwrap();
        }
        for (follow, threads) in [(false, 1), (false, 2), (true, 1)] {
            let found = |signal: usize| {
                let interrupted = Arc::new(AtomicUsize::new(signal));
                let settings = WalkSettings { follow, threads, interrupted, ..WalkSettings::default() };
                discover(&[dir.path().to_owned()], &settings).map_or(0, |corpus| corpus.documents.len())
            };
            assert_eq!(found(0), 1000);
            assert!(found(15) < 100, "{follow} {threads}");
        }
    }
}
