//! The output directory: written as `OUTPUT.partial`, synced, and renamed. Until then the final name does not exist.
//!
//! Owns the files' formats and their order of writing. The rows of the matrix are written by workers, at the
//! offsets that are laid out here.

pub(crate) mod checkpoint;
mod counted;
mod manifest;
mod matrix;
mod matrix_file;
mod names;
mod npy;
mod npz;
mod opened;
mod reader;
mod terms;

pub use bowline_workers::lines::{DocumentLine, TermLine};
pub use counted::{CountedOutput, Loading, first_difference, load, mergeable, unmergeable};
pub use manifest::{Counts, ManifestFile, Part};
pub use matrix::{ArrayPlace, Matrix};
pub use matrix_file::{MatrixFile, refuse_too_wide};
pub use names::{DOCUMENTS, HASH_TERMS, IDF, MANIFEST, VOCABULARY};
pub use npy::{read_idf, reserve, write_idf};
pub use opened::{
    DocumentFailure, DocumentTokens, DocumentValue, DocumentView, Output, Overview, TermValue, TermView,
};
pub use reader::OpenOutput;
pub use terms::{write_hash_terms, write_vocabulary};

use crate::corpus::display_path;
use crate::error::{ErrorKind, Fault};
use crate::event::{Notice, NoticeKind};
use crate::folder::{Contents, Folder, Made, Refusal, kind};
use anyhow::{Context as _, Result, anyhow, bail};
use bowline_workers::mapped::{is_full, room, unnamed_file};
use checkpoint::CHECKPOINT;
use names::FILES;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, renameat};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, geteuid, unlinkat};
use procfs::LockType;
use rustix::fs::{RenameFlags, renameat_with};
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The files of an output. `--force` replaces a directory that has nothing else in it.
const OUTPUT: Contents =
    Contents(|name| FILES.iter().any(|file| name == file.as_bytes()).then_some(Made::File));

/// What a run that did not finish leaves of an output.
const PARTIAL: Contents = Contents(|name| {
    // Scratch files have such a name for a moment, where a file can't be made without one.
    let is_scratch = |end: &[u8]| end.len() == 6 && end.iter().all(u8::is_ascii_alphanumeric);
    match name.strip_prefix(b".tmp") {
        Some(end) if is_scratch(end) => Some(Made::File),
        _ if is_checkpoint_name(name) => Some(Made::Folder(CHECKPOINT)),
        _ => (OUTPUT.0)(name),
    }
});

/// What the name of a directory of what was counted ends with, behind a checksum of the output's path.
const CHECKPOINT_ENDING: &str = ".checkpoint";

/// Bytes of a writer's buffer.
const BUFFER: usize = 256 << 10;

/// Formats of the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Compressed sparse rows, as SciPy reads them.
    Npz,
    /// A dense array, as NumPy reads it.
    Npy,
    /// Matrix Market coordinate text, as SciPy, R and Julia read it.
    Mtx,
    /// SVMlight text, as scikit-learn, XGBoost and LightGBM read it. Columns are numbered from 0.
    Svmlight,
    /// Apache Parquet: a row a document, its cells in two lists.
    Parquet,
    /// An Apache Arrow IPC file, with the same columns as Parquet.
    Arrow,
}

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
    /// The directory that it is to be in.
    parent: Folder,
    /// The partial directory, and its lock, which dies with its holder.
    partial: Folder,
    _lock: Flock<File>,
    /// The directory of what the run has counted, where it is to outlive the run: its place and its name.
    scratch: Option<Folder>,
    checkpoint_name: OsString,
    /// Whether that name is taken by something that is none of a run's, and none of this one's business.
    leaves_checkpoint: bool,
    options: OutputOptions,
    published: bool,
}

/// An output that another one has replaced.
struct Replaced {
    /// Its name now.
    name: OsString,
    folder: Folder,
    /// Keeps others from it, if it could be had.
    _lock: Option<Flock<File>>,
}

/// Removes a finished output.
///
/// # Errors
/// If it is none of this user's, or the system's.
pub fn remove_output(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{}: not the name of an output", shown(path));
    };
    Folder::open(parent).with_context(|| shown(parent))?.remove(name, OUTPUT)
}

impl OutputDirectory {
    /// Creates `TARGET.partial`. Replaces a stale one and reports that to `notice`.
    ///
    /// # Errors
    /// If the target exists and `force` is not given, or nothing can be written beside it, or another run is at it, or
    /// something that no run has left bears the name of what is replaced.
    pub fn begin(target: &Path, options: OutputOptions, notice: impl FnOnce(Notice)) -> Result<Self> {
        let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
            let text = format!("{}: not the name of a directory to create", shown(target));
            return Err(Fault::new(ErrorKind::OutputName, text).into());
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let (directory, target) = (absolute(directory)?, absolute(target)?);
        let parent = Folder::open(&directory).with_context(|| {
            Fault::new(ErrorKind::OutputPlace, format!("{}: cannot hold the output", shown(&directory)))
        })?;
        refuse_what_is_there(&parent, name, options.force)?;
        let scratch =
            options.scratch.as_deref().map(|path| Folder::open(path).with_context(|| no_scratch(path)));
        let scratch = scratch.transpose()?;
        let (partial, lock, stale) = lock_partial(&parent, &with_ending(name, PARTIAL_ENDING))?;
        let checkpoint_name = checkpoint_name(name, &target);
        let mut output = OutputDirectory {
            target,
            parent,
            partial,
            _lock: lock,
            scratch,
            checkpoint_name,
            leaves_checkpoint: true,
            options,
            published: false,
        };
        let goes_on = match output.checkpoint_place().left(&output.checkpoint_name, CHECKPOINT) {
            // Without the option, what is elsewhere and no run's is left alone.
            Err(_) if !output.options.resume => false,
            left => {
                output.leaves_checkpoint = left.is_err();
                left.map_err(|error| Refusal::of_kind(foreign(&output.options), error))?
            }
        };
        if (stale || goes_on) && !(goes_on && output.options.resume) {
            let kind = if goes_on { NoticeKind::Resumable } else { NoticeKind::Plain };
            let shown = shown(output.partial());
            notice(Notice::new(kind, format!("{shown}: left by a run that did not finish; replaced")));
        }
        let cleared = output.clear(output.options.resume);
        cleared.with_context(|| cannot_be_written(output.partial()))?;
        // The run that had the lock until now may have finished.
        refuse_what_is_there(&output.parent, output.name(), output.options.force)?;
        Ok(output)
    }

    /// The name of the output.
    fn name(&self) -> &OsStr {
        self.target.file_name().unwrap_or_default()
    }

    /// The name of the partial directory.
    fn partial_name(&self) -> OsString {
        with_ending(self.name(), PARTIAL_ENDING)
    }

    /// Removes all files that were begun; and what was counted, unless it is kept.
    fn clear(&self, keeps_checkpoint: bool) -> Result<()> {
        let is_here = self.scratch.is_none();
        let kept = (keeps_checkpoint && is_here).then_some(&*self.checkpoint_name);
        self.partial.clear(PARTIAL, kept)?;
        if keeps_checkpoint { Ok(()) } else { self.remove_checkpoint() }
    }

    fn remove_checkpoint(&self) -> Result<()> {
        match self.leaves_checkpoint {
            true => Ok(()),
            false => self.checkpoint_place().remove(&self.checkpoint_name, CHECKPOINT),
        }
    }

    fn checkpoint_place(&self) -> &Folder {
        self.scratch.as_ref().unwrap_or(&self.partial)
    }

    /// The directory of what was counted, if it is kept. It is made if it isn't there; other users can't look into it.
    ///
    /// # Errors
    /// If it can't be made, or another user has made it.
    pub fn checkpoint(&self) -> Result<Option<Folder>> {
        if !self.options.resume {
            return Ok(None);
        }
        let (place, name) = (self.checkpoint_place(), &*self.checkpoint_name);
        let path = || shown(&place.path().join(name));
        let made = place.make(name, Mode::S_IRWXU);
        let made = made.map_err(|error| Refusal::of_kind_or(foreign(&self.options), error, path))?;
        let (folder, _) = made.with_context(|| format!("{}: vanished", path()))?;
        Ok(Some(folder))
    }

    /// What this run, or an earlier one, has written: it may lie in the corpus, and is no part of it.
    pub fn own(&self) -> impl Iterator<Item = PathBuf> {
        let checkpoint = self.checkpoint_place().path().join(&self.checkpoint_name);
        [self.target.clone(), self.partial().to_owned(), checkpoint].into_iter()
    }

    /// Where the output will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the output is until it is whole.
    pub fn partial(&self) -> &Path {
        self.partial.path()
    }

    /// Creates a file of the output for reading and writing.
    ///
    /// # Errors
    /// The system's, with the file's path.
    pub fn create(&self, name: &str) -> Result<File> {
        self.partial.create(OsStr::new(name)).map_err(|error| of_output(error, &self.partial().join(name)))
    }

    /// Creates a file of the output and fills it by `fill`.
    ///
    /// # Errors
    /// The system's, with the file's path.
    pub fn write(&self, name: &str, fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<()> {
        let file = self.create(name)?;
        let mut writer = BufWriter::with_capacity(BUFFER, &file);
        fill(&mut writer).and_then(|()| writer.flush()).map_err(|error| {
            let shown = shown(&self.partial().join(name));
            let (is_full, written) = (is_full(&error), file.metadata().map_or(0, |metadata| metadata.len()));
            let error = anyhow::Error::from(error);
            match is_full {
                true => {
                    let text = format!(
                        "{shown} needs more than {written} bytes of disk, and {} are free",
                        room(&file)
                    );
                    error.context(Fault::new(ErrorKind::OutputPlace, text))
                }
                false => error.context(shown),
            }
        })
    }

    /// Syncs all files and gives the directory its final name. What stood there is removed. `may_go_on` is asked before each
    /// file, and once more before the step that is not gone back on.
    ///
    /// # Errors
    /// The system's, or that of `may_go_on`; nothing stands under the final name then but what was there before. What was
    /// counted is there until nothing is left to do but the renaming.
    pub fn publish(mut self, may_go_on: impl Fn() -> Result<()>) -> Result<()> {
        let target = self.target.clone();
        if self.options.sync {
            for name in self.partial.names().with_context(|| shown(self.partial()))? {
                if let Some(Made::File) = (OUTPUT.0)(name.as_bytes()) {
                    may_go_on()?;
                    let synced = self.partial.input(&name).and_then(|file| Ok(file.sync_all()?));
                    synced.map_err(|error| of_output(error, &self.partial().join(&name)))?;
                }
            }
        }
        refuse_what_is_there(&self.parent, self.name(), self.options.force)?;
        may_go_on()?;
        // After the renaming, a kill would leave it where no later run looks for it.
        self.remove_checkpoint()?;
        if self.options.sync {
            self.partial.sync().map_err(|error| of_output(error, self.partial()))?;
        }
        if !self.parent.leads_to(&self.partial_name(), &self.partial) {
            bail!("{}: another program has moved it, so the output was not written", shown(self.partial()));
        }
        let replaced = self.give_name().map_err(|error| of_output(error, &target))?;
        self.published = true;
        if self.options.sync {
            self.parent.sync().map_err(|error| of_output(error, &target))?;
        }
        match &replaced {
            Some(Replaced { name, folder, .. }) => self.parent.remove_opened(name, folder, OUTPUT),
            None => Ok(()),
        }
    }

    /// Renames the directory, and returns the one that it replaces, if it does.
    fn give_name(&self) -> Result<Option<Replaced>> {
        let (parent, name, partial) = (self.parent.file(), self.name(), self.partial_name());
        let replaced = match self.options.force && self.parent.stat(name)?.is_some() {
            true => Some(self.parent.beneath(name)?),
            false => None,
        };
        let flags = match &replaced {
            Some(_) => RenameFlags::EXCHANGE,
            None => RenameFlags::NOREPLACE,
        };
        // It is about to bear the partial name, under which another run would take it for what was left by one.
        let lock = replaced.as_ref().and_then(|folder| lock(folder, Duration::ZERO).ok());
        // A system call of its own: glibc has a function for it only since 2.28.
        let renamed = renameat_with(parent, &*partial, parent, name, flags);
        match (renamed.map_err(|errno| Errno::from_raw(errno.raw_os_error())), replaced) {
            (Ok(()), replaced) => Ok(replaced.map(|folder| Replaced { name: partial, folder, _lock: lock })),
            // Not every file system knows these ways to rename; a network's does not.
            (Err(Errno::EINVAL | Errno::ENOSYS), Some(folder)) => {
                let aside = with_ending(name, REPLACED_ENDING);
                // A run that was killed between the two steps below has left it.
                self.parent.remove(&aside, OUTPUT)?;
                rename(parent, name, &aside)?;
                if let Err(error) = rename(parent, &partial, name) {
                    rename(parent, &aside, name)?;
                    return Err(error.into());
                }
                Ok(Some(Replaced { name: aside, folder, _lock: lock }))
            }
            // Nothing but an empty directory could be lost if one is made right now.
            (Err(Errno::EINVAL | Errno::ENOSYS), None) => Ok(rename(parent, &partial, name).map(|()| None)?),
            (Err(errno), _) => Err(io::Error::from(errno).into()),
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
        if self.parent.leads_to(&self.partial_name(), &self.partial) {
            let _ = unlinkat(self.parent.file(), &*self.partial_name(), UnlinkatFlags::RemoveDir);
        }
    }
}

/// Renames a file within a directory.
fn rename(directory: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    Ok(renameat(directory, from, directory, to)?)
}

/// The partial directory, made if it isn't there, under a lock; and whether it was there, left by an earlier run.
fn lock_partial(parent: &Folder, name: &OsStr) -> Result<(Folder, Flock<File>, bool)> {
    let path = parent.path().join(name);
    loop {
        let made = parent.make(name, Mode::from_bits_truncate(0o777));
        let context = || cannot_be_written(&path);
        let made = made.map_err(|error| Refusal::of_kind_or(ErrorKind::OutputForeign, error, context))?;
        // The run that had it may be done with it.
        let Some((partial, is_new)) = made else { continue };
        let lock = lock(&partial, LOCK_PATIENCE).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let inode = partial.file().metadata().map_or(0, |metadata| metadata.ino());
                let holder = lock_holder(inode).map(|pid| format!(", process {pid}")).unwrap_or_default();
                anyhow!("{}: another run is writing it{holder}", shown(&path))
            }
            _ => anyhow::Error::from(error).context(cannot_be_written(&path)),
        })?;
        // Between the opening and the lock, the run that had it may have given it its name or removed it.
        if !parent.leads_to(name, &partial) {
            continue;
        }
        if !is_new {
            let left = parent.left(name, PARTIAL);
            left.map_err(|error| Refusal::of_kind(ErrorKind::OutputForeign, error))?;
        }
        return Ok((partial, lock, !is_new));
    }
}

/// How long the workers of a coordinator that was killed may take to end. They have its lock until then.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// From one attempt to lock a directory to the next.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(10);

/// Locks a directory, or fails if another process has it locked for longer than `patience`.
fn lock(directory: &Folder, patience: Duration) -> io::Result<Flock<File>> {
    let (mut file, begun) = (directory.file().try_clone()?, Instant::now());
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) if begun.elapsed() < patience => file = back,
            Err((_, errno)) => return Err(errno.into()),
        }
        thread::sleep(BETWEEN_ATTEMPTS);
    }
}

/// The kind of error if something foreign is where what was counted is to be.
fn foreign(options: &OutputOptions) -> ErrorKind {
    if options.scratch.is_some() { ErrorKind::ScratchForeign } else { ErrorKind::OutputForeign }
}

fn cannot_be_written(partial: &Path) -> Fault {
    Fault::new(ErrorKind::OutputPlace, format!("{}: cannot be written", shown(partial)))
}

/// An error about the output's file or directory at `path`, with the path, and with its kind if the disk is full.
fn of_output(error: impl Into<anyhow::Error>, path: &Path) -> anyhow::Error {
    let error = error.into();
    match error.chain().any(|cause| cause.downcast_ref().is_some_and(is_full)) {
        true => error.context(Fault::new(ErrorKind::OutputPlace, shown(path))),
        false => error.context(shown(path)),
    }
}

fn no_scratch(directory: &Path) -> Fault {
    Fault::new(ErrorKind::ScratchPlace, format!("{}: cannot hold scratch files", shown(directory)))
}

/// Whether files can be made in the scratch directory: better known now than in the middle of the run.
///
/// # Errors
/// If they can't.
pub fn check_scratch(directory: &Path) -> Result<()> {
    unnamed_file(directory).map(drop).with_context(|| no_scratch(directory))
}

fn shown(path: &Path) -> String {
    display_path(path.as_os_str().as_bytes())
}

/// What the name of a partial directory ends with.
const PARTIAL_ENDING: &str = ".partial";

/// What the name of an output that is about to be replaced ends with, where it can't be exchanged in one step.
const REPLACED_ENDING: &str = ".replaced.partial";

fn with_ending(name: &OsStr, ending: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(ending);
    name
}

/// The process that holds a lock on the file with this inode, as the kernel lists it (proc(5), `/proc/locks`).
fn lock_holder(inode: u64) -> Option<u32> {
    let locks = procfs::locks().ok()?.into_iter();
    let mut locks = locks.filter(|lock| lock.lock_type == LockType::FLock && lock.inode == inode);
    locks.find_map(|lock| lock.pid?.try_into().ok())
}

/// What stands under the final name stays, unless `force` is given and it is an output.
fn refuse_what_is_there(parent: &Folder, name: &OsStr, force: bool) -> Result<()> {
    let path = shown(&parent.path().join(name));
    let Some(stat) = parent.stat(name).with_context(|| path.clone())? else { return Ok(()) };
    let why_not = match kind(stat.st_mode) {
        "a directory" => {
            parent.beneath(name).map_err(Into::into).and_then(|folder| why_no_output(&folder)).with_context(
                || Fault::new(ErrorKind::OutputPlace, format!("{path}: exists and can't be read")),
            )?
        }
        kind => Some(format!("is {kind}")),
    };
    if let Some(why_not) = why_not {
        let text = format!("{path}: exists and {why_not}, so it is never replaced");
        return Err(Fault::new(ErrorKind::OutputPlace, text).into());
    }
    if !force {
        return Err(Fault::new(ErrorKind::OutputExists, format!("{path}: exists already")).into());
    }
    refuse_what_can_not_be_replaced(parent, name, &stat)
        .with_context(|| Fault::new(ErrorKind::OutputPlace, format!("{path}: cannot be replaced")))?;
    // Where it is moved aside first, what was left by a run that was killed then makes room.
    let left = parent.left(&with_ending(name, REPLACED_ENDING), OUTPUT);
    left.map(|_| ()).map_err(|error| Refusal::of_kind(ErrorKind::OutputForeign, error))
}

/// Why a directory is not taken for an output, if it isn't: `--force` replaces outputs, and not what happens to stand there.
fn why_no_output(folder: &Folder) -> Result<Option<String>> {
    if let Some(foreign) = folder.foreign(OUTPUT)? {
        return Ok(Some(format!("contains {}, which is not a file of an output", shown(&foreign))));
    }
    let has_manifest = folder.stat(OsStr::new(MANIFEST))?.is_some();
    let is_empty = || folder.names().map(|names| names.is_empty());
    let is_output = has_manifest || is_empty()?;
    Ok((!is_output).then(|| format!("has no {MANIFEST}")))
}

/// What the system would say at the end of the run: the directory may not be written to, or, in a directory like /tmp, only
/// its owner may rename it.
fn refuse_what_can_not_be_replaced(parent: &Folder, name: &OsStr, stat: &FileStat) -> io::Result<()> {
    let (user, place) = (geteuid().as_raw(), parent.file().metadata()?);
    let is_sticky = place.mode() & Mode::S_ISVTX.bits() != 0;
    if is_sticky && ![0, stat.st_uid, place.uid()].contains(&user) {
        return Err(Errno::EPERM.into());
    }
    faccessat(parent.file(), name, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)?;
    Ok(())
}

/// The name of the directory of what was counted for `target`, whose own name is `name`.
fn checkpoint_name(name: &OsStr, target: &Path) -> OsString {
    let hash = crc32fast::hash(target.as_os_str().as_bytes());
    with_ending(name, &format!(".{hash:08x}{CHECKPOINT_ENDING}"))
}

/// Whether it is such a name: of any path, since the directory may have been moved.
fn is_checkpoint_name(name: &[u8]) -> bool {
    let is_hash = |hash: &[u8]| hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    name.strip_suffix(CHECKPOINT_ENDING.as_bytes())
        .and_then(|name| name.split_last_chunk::<9>())
        .is_some_and(|(_, end)| end[0] == b'.' && is_hash(&end[1..]))
}

/// `path` from the root on, without touching the file system; a trailing slash is gone.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| shown(path))?;
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let folder = || Folder::open(dir.path()).unwrap().beneath(OsStr::new("out")).unwrap();
        let held = lock(&folder(), Duration::ZERO).unwrap();
        let refused = lock(&folder(), BETWEEN_ATTEMPTS).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(&folder(), Duration::from_secs(60)).map(drop));
            thread::sleep(BETWEEN_ATTEMPTS);
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }
}
