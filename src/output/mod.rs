//! The output directory: written aside as `OUTPUT.partial`, synced, renamed. Until then nothing stands under the
//! final name.
//!
//! Owns the files' formats and their order of writing. The rows of the matrix are written by workers, at the
//! offsets that are laid out here.

mod manifest;
mod npy;
mod npz;
mod reader;
mod terms;

pub use bowline_workers::lines::{DocumentLine, TermLine};
pub use manifest::{Counts, ManifestFile};
pub use npy::{NpyFile, elements, read_idf, reserve, write_idf};
pub use npz::{NpzFile, Places, find};
pub use reader::{open, read_lines};
pub use terms::{write_hash_terms, write_vocabulary};

/// The file with a line a column.
pub const VOCABULARY: &str = "vocabulary.jsonl";
/// The file with a line a row.
pub const DOCUMENTS: &str = "documents.jsonl";
/// The file that tells what the output is.
pub const MANIFEST: &str = "manifest.json";
/// The array of the buckets' idf.
pub const IDF: &str = "idf.npy";
/// The file with a line a bucket.
pub const HASH_TERMS: &str = "hash_terms.jsonl";

use anyhow::{Context as _, Result, bail};
use bowline_workers::mapped::{free, is_full};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, RenameFlags, open as open_descriptor, renameat2};
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What the name of a directory of what was counted ends with.
const CHECKPOINT: &[u8] = b".checkpoint";

/// Bytes of a writer's buffer.
const BUFFER: usize = 256 << 10;

/// How an output is made.
#[derive(Clone, Debug, Default)]
pub struct OutputOptions {
    /// What stands under the final name is replaced.
    pub force: bool,
    /// Files are synced before they get it.
    pub sync: bool,
    /// What was counted stays if the run does not finish, and is there for the next one.
    pub resume: bool,
    /// Where it lies, if not beside the output.
    pub scratch: Option<PathBuf>,
}

/// An output on its way.
#[derive(Debug)]
pub struct OutputDirectory {
    target: PathBuf,
    partial: PathBuf,
    /// What the run has counted, where it is to outlive the run.
    checkpoint: PathBuf,
    options: OutputOptions,
    /// The lock on the partial directory; it dies with its holder.
    _lock: Flock<File>,
    published: bool,
}

impl OutputDirectory {
    /// Creates `TARGET.partial`. A stale one is replaced, and `notice` is told.
    ///
    /// # Errors
    /// If the target exists and `force` is not given, or nothing can be written beside it, or another run is at it.
    pub fn begin(target: &Path, options: OutputOptions, notice: impl FnOnce(&str)) -> Result<Self> {
        let target = absolute(target)?;
        refuse_what_is_there(&target, options.force)?;
        let name =
            target.file_name().with_context(|| format!("{}: not a name for an output", target.display()))?;
        let checkpoint_name = checkpoint_name(name, &target);
        let partial = beside(&target, ".partial");
        let checkpoint = options.scratch.as_ref().unwrap_or(&partial).join(checkpoint_name);
        let (lock, stale) = lock_partial(&partial)?;
        let goes_on = checkpoint.is_dir();
        if (stale || goes_on) && !(goes_on && options.resume) {
            let hint = if goes_on { " (--resume goes on from it)" } else { "" };
            notice(&format!("{}: left by a run that did not finish; replaced{hint}", partial.display()));
        }
        let output = OutputDirectory { target, partial, checkpoint, options, _lock: lock, published: false };
        output.clear(output.options.resume).with_context(|| cannot_be_written(&output.partial))?;
        // The run that had the lock until now may have finished.
        refuse_what_is_there(&output.target, output.options.force)?;
        Ok(output)
    }

    /// Removes all files that were begun; and what was counted, unless it is kept.
    fn clear(&self, keeps_checkpoint: bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.partial)? {
            let path = entry?.path();
            match fs::symlink_metadata(&path)?.is_dir() {
                true if keeps_checkpoint && path == self.checkpoint => {}
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
        match keeps_checkpoint || !self.checkpoint.is_dir() {
            true => Ok(()),
            false => fs::remove_dir_all(&self.checkpoint),
        }
    }

    /// The directory of what was counted, if it is kept.
    pub fn checkpoint(&self) -> Option<&Path> {
        self.options.resume.then_some(&*self.checkpoint)
    }

    /// What this run, or an earlier one, has written: it may lie in the corpus, and is no part of it.
    pub fn own(&self) -> impl Iterator<Item = PathBuf> {
        [&self.target, &self.partial, &self.checkpoint].into_iter().cloned()
    }

    /// Where the output will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the output is until it is whole.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Creates a file of the output for reading and writing.
    ///
    /// # Errors
    /// The system's, with the file's path.
    pub fn create(&self, name: &str) -> Result<File> {
        let path = self.partial.join(name);
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(|| path.display().to_string())
    }

    /// Creates a file of the output and fills it by `fill`.
    ///
    /// # Errors
    /// The system's, with the file's path.
    pub fn write(&self, name: &str, fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<()> {
        let file = self.create(name)?;
        let mut writer = BufWriter::with_capacity(BUFFER, &file);
        fill(&mut writer).and_then(|()| writer.flush()).map_err(|error| {
            let shown = self.partial.join(name).display().to_string();
            let written = file.metadata().map_or(0, |metadata| metadata.len());
            let shown = match is_full(&error) {
                true => format!(
                    "{shown} needs more than {written} bytes of disk, and {} are free (--output names another place)",
                    free(&self.partial)
                ),
                false => shown,
            };
            anyhow::Error::from(error).context(shown)
        })
    }

    /// Syncs all files and gives the directory its final name. What stood there is removed. `may_go_on` is asked before each
    /// file, and once more before the step that is not gone back on.
    ///
    /// # Errors
    /// The system's, or that of `may_go_on`; nothing stands under the final name then but what was there before. What was
    /// counted is there until nothing is left to do but the renaming.
    pub fn publish(mut self, may_go_on: impl Fn() -> Result<()>) -> Result<()> {
        let shown = self.target.display().to_string();
        if self.options.sync {
            for entry in fs::read_dir(&self.partial)? {
                may_go_on()?;
                let path = entry?.path();
                File::open(&path)
                    .and_then(|file| file.sync_all())
                    .with_context(|| path.display().to_string())?;
            }
        }
        refuse_what_is_there(&self.target, self.options.force)?;
        may_go_on()?;
        // Behind the renaming, a kill would leave it where nobody looks for it.
        self.remove_checkpoint()?;
        if self.options.sync {
            File::open(&self.partial)?.sync_all().with_context(|| self.partial.display().to_string())?;
        }
        let replaced = self.give_name().with_context(|| shown.clone())?;
        self.published = true;
        if self.options.sync {
            let parent = self.target.parent().unwrap_or(Path::new("/"));
            File::open(parent).and_then(|directory| directory.sync_all()).with_context(|| shown)?;
        }
        if let Some((path, _lock)) = replaced {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn remove_checkpoint(&self) -> Result<()> {
        match self.checkpoint.is_dir() {
            true => {
                fs::remove_dir_all(&self.checkpoint).with_context(|| self.checkpoint.display().to_string())
            }
            false => Ok(()),
        }
    }

    /// Renames the directory. If that replaces another, tells where this one is now, and keeps others from it by a lock.
    fn give_name(&self) -> io::Result<Option<(PathBuf, Option<Flock<File>>)>> {
        let replaces = self.options.force && fs::symlink_metadata(&self.target).is_ok();
        let (flags, lock) = match replaces {
            // It is about to bear the partial name, under which another run would take it for what was left by one.
            true => (RenameFlags::RENAME_EXCHANGE, lock(open_directory(&self.target)?).ok()),
            false => (RenameFlags::RENAME_NOREPLACE, None),
        };
        match renameat2(AT_FDCWD, &self.partial, AT_FDCWD, &self.target, flags) {
            Ok(()) => Ok(replaces.then(|| (self.partial.clone(), lock))),
            // Not every file system knows these ways to rename; a network's does not.
            Err(Errno::EINVAL | Errno::ENOSYS) if replaces => {
                let aside = beside(&self.target, ".replaced.partial");
                if may_be_left(&aside).unwrap_or(false) {
                    // A run that was killed between the two steps below has left it.
                    fs::remove_dir_all(&aside)?;
                }
                fs::rename(&self.target, &aside)?;
                if let Err(error) = fs::rename(&self.partial, &self.target) {
                    fs::rename(&aside, &self.target)?;
                    return Err(error);
                }
                Ok(Some((aside, lock)))
            }
            // Nothing but an empty directory could be lost if somebody made one right now.
            Err(Errno::EINVAL | Errno::ENOSYS) => fs::rename(&self.partial, &self.target).map(|()| None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for OutputDirectory {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // The run has failed already: an error here would hide the first one.
        let _ = self.clear(self.options.resume);
        let _ = fs::remove_dir(&self.partial);
    }
}

/// The partial directory, made if it isn't there, under a lock; and whether it was there, left by an earlier run.
fn lock_partial(partial: &Path) -> Result<(Flock<File>, bool)> {
    loop {
        let stale = match fs::create_dir(partial) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error).with_context(|| cannot_be_written(partial)),
        };
        let directory = match open_directory(partial) {
            // Whoever had it is done with it.
            Err(error) if stale && error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.with_context(|| cannot_be_written(partial))?,
        };
        let metadata = directory.metadata().with_context(|| cannot_be_written(partial))?;
        let lock = lock(directory).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => {
                let holder =
                    lock_holder(metadata.ino()).map(|pid| format!(", process {pid}")).unwrap_or_default();
                anyhow::anyhow!("{}: another run is writing it{holder}", partial.display())
            }
            errno => anyhow::Error::from(io::Error::from(errno)).context(cannot_be_written(partial)),
        })?;
        // Between the opening and the lock, the run that had it may have given it its name or removed it.
        let is = |now: fs::Metadata| (now.dev(), now.ino()) == (metadata.dev(), metadata.ino());
        if fs::symlink_metadata(partial).is_ok_and(is) {
            if stale && !may_be_left(partial).with_context(|| cannot_be_written(partial))? {
                bail!(
                    "{}: is nothing that a run has left, so it is not replaced (--output names another place)",
                    partial.display()
                );
            }
            return Ok((lock, stale));
        }
    }
}

/// Opens a directory: never a pipe, which would be waited for, nor a link, which may lead to anybody's files.
fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(open_descriptor(path, flags, Mode::empty())?.into())
}

/// Locks a directory, or says at once that somebody else has.
fn lock(directory: File) -> Result<Flock<File>, Errno> {
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}

/// Whether a run may have left this directory: it is empty, or has a file of an output or what was counted.
fn may_be_left(partial: &Path) -> io::Result<bool> {
    let names = fs::read_dir(partial)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let is_ours = |name: &OsString| {
        let name = name.as_bytes();
        let files = [VOCABULARY, DOCUMENTS, MANIFEST, IDF, HASH_TERMS, "matrix.npz", "matrix.npy"];
        // Scratch files have such a name for a moment, where a file can't be made without one.
        files.iter().any(|file| name == file.as_bytes())
            || name.ends_with(CHECKPOINT)
            || name.starts_with(b".tmp")
    };
    Ok(names.is_empty() || names.iter().any(is_ours))
}

fn cannot_be_written(partial: &Path) -> String {
    format!("{}: cannot be written (--output names another place)", partial.display())
}

/// The path that has this behind its name.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    target.with_file_name(name)
}

/// The process that holds a lock on the file with this inode, as the kernel lists it (proc(5), `/proc/locks`).
fn lock_holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip_while(|&field| field != "FLOCK").skip(3);
        let pid = fields.next()?.parse().ok()?;
        let file = fields.next()?.rsplit(':').next()?;
        (file.parse::<u64>().ok()? == inode).then_some(pid)
    })
}

/// What stands under the final name stays, unless `force` is given and it is an output.
fn refuse_what_is_there(target: &Path, force: bool) -> Result<()> {
    match fs::symlink_metadata(target) {
        Ok(_) if force => refuse_what_is_no_output(target),
        Ok(_) => bail!("{}: exists already (--force replaces it)", target.display()),
        Err(_) => Ok(()),
    }
}

/// `--force` replaces outputs, not whatever happens to stand there.
fn refuse_what_is_no_output(target: &Path) -> Result<()> {
    let is_directory = fs::symlink_metadata(target).is_ok_and(|metadata| metadata.is_dir());
    let is_empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    if !is_directory || !(target.join(MANIFEST).is_file() || is_empty()) {
        bail!("{}: is not an output of bowline, so --force does not replace it", target.display());
    }
    Ok(())
}

/// The name of the directory of what was counted for `target`, whose own name is `name`.
fn checkpoint_name(name: &OsStr, target: &Path) -> OsString {
    let hash = crc32fast::hash(target.as_os_str().as_bytes());
    let mut name = name.to_owned();
    name.push(format!(".{hash:08x}"));
    name.push(OsStr::from_bytes(CHECKPOINT));
    name
}

/// `path` from the root on, without touching the file system; a trailing slash is gone.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    Ok(path.components().collect())
}
