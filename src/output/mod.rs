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
pub use npy::{NpyFile, elements, read_npy_f64, reserve, write_npy_f64};
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
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
        let shown = target.display();
        if fs::symlink_metadata(&target).is_ok() {
            if !options.force {
                bail!("{shown}: exists already (--force replaces it)");
            }
            refuse_what_is_no_output(&target)?;
        }
        let mut name: OsString =
            target.file_name().with_context(|| format!("{shown}: not a name for an output"))?.into();
        let checkpoint_name = checkpoint_name(&name, &target);
        name.push(".partial");
        let partial = target.with_file_name(name);
        let checkpoint = options.scratch.as_ref().unwrap_or(&partial).join(checkpoint_name);
        let failed = |partial: &Path| {
            format!("{}: cannot be written (--output names another place)", partial.display())
        };
        let stale = match fs::create_dir(&partial) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(error).with_context(|| failed(&partial)),
        };
        let directory = File::open(&partial).with_context(|| failed(&partial))?;
        let inode = directory.metadata().with_context(|| failed(&partial))?.ino();
        let lock = Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|_| {
            let holder = lock_holder(inode).map(|pid| format!(", process {pid}")).unwrap_or_default();
            anyhow::anyhow!("{}: another run is writing it{holder}", partial.display())
        })?;
        let goes_on = checkpoint.is_dir();
        if (stale || goes_on) && !(goes_on && options.resume) {
            let hint = if goes_on { " (--resume goes on from it)" } else { "" };
            notice(&format!("{}: left by a run that did not finish; replaced{hint}", partial.display()));
        }
        let output = OutputDirectory { target, partial, checkpoint, options, _lock: lock, published: false };
        output.clear(output.options.resume).with_context(|| failed(&output.partial))?;
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
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        fill(&mut writer)
            .and_then(|()| writer.flush())
            .with_context(|| self.partial.join(name).display().to_string())
    }

    /// Syncs all files and gives the directory its final name. What stood there is removed.
    ///
    /// # Errors
    /// The system's; nothing stands under the final name then but what was there before.
    pub fn publish(mut self) -> Result<()> {
        let shown = self.target.display().to_string();
        if self.checkpoint.is_dir() {
            fs::remove_dir_all(&self.checkpoint).with_context(|| self.checkpoint.display().to_string())?;
        }
        if self.options.sync {
            for entry in fs::read_dir(&self.partial)? {
                let path = entry?.path();
                File::open(&path)
                    .and_then(|file| file.sync_all())
                    .with_context(|| path.display().to_string())?;
            }
            File::open(&self.partial)?.sync_all().with_context(|| self.partial.display().to_string())?;
        }
        let replaces = self.options.force && fs::symlink_metadata(&self.target).is_ok();
        let flags = if replaces { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
        renameat2(AT_FDCWD, &self.partial, AT_FDCWD, &self.target, flags)
            .map_err(io::Error::from)
            .with_context(|| shown.clone())?;
        self.published = true;
        if replaces {
            // What was there before now bears the partial name.
            fs::remove_dir_all(&self.partial).with_context(|| self.partial.display().to_string())?;
        }
        if self.options.sync {
            let parent = self.target.parent().unwrap_or(Path::new("/"));
            File::open(parent).and_then(|directory| directory.sync_all()).with_context(|| shown)?;
        }
        Ok(())
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
    name.push(format!(".{hash:08x}.checkpoint"));
    name
}

/// `path` from the root on, without touching the file system; a trailing slash is gone.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    Ok(path.components().collect())
}
