//! A file that a command writes at its end. The command checks at its start that the file is writable, and keeps the old
//! contents until its end. If it does not finish, it leaves no empty file.

use crate::cancel;
use crate::corpus::display_path;
use anyhow::{Context as _, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Time between two looks at whether a pipe has a reader.
const LOOK: Duration = Duration::from_millis(50);

/// A promise to write a file.
pub struct ResultFile {
    path: PathBuf,
    file: File,
    /// It was not there before, and has nothing in it.
    is_empty: bool,
}

impl ResultFile {
    /// Opens the file, and makes it if there is none. A pipe may have its reader later. `interrupted` holds the number of a signal
    /// that asked the command to end.
    ///
    /// # Errors
    /// If it can't be written; that of being interrupted.
    pub fn promise(path: &Path, interrupted: &AtomicUsize) -> Result<Self> {
        // Without O_NONBLOCK the opening of a pipe would wait for its reader, and no signal would end that.
        let options = || File::options().write(true).custom_flags(libc::O_NONBLOCK).clone();
        let (file, is_empty) = loop {
            match options().create_new(true).open(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => break (made, true),
            }
            match options().open(path) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_pipe(path) => {
                    cancel::check(interrupted)?;
                    std::thread::sleep(LOOK);
                }
                opened => break (opened, false),
            }
        };
        let shown = || display_path(path.as_os_str().as_bytes());
        let file = file.with_context(shown)?;
        // What is written waits until there is room.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).with_context(shown)?;
        Ok(ResultFile { path: path.to_owned(), file, is_empty })
    }

    /// Whether both are one file.
    ///
    /// # Errors
    /// The system's.
    pub fn is_same(&self, other: &ResultFile) -> Result<bool> {
        let (one, other) = (self.file.metadata()?, other.file.metadata()?);
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }

    /// Writes `bytes` in place of what was there.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        // A pipe or a terminal has no length.
        let emptied = if self.file.metadata()?.is_file() { self.file.set_len(0) } else { Ok(()) };
        let written = emptied.and_then(|()| self.file.write_all(bytes));
        self.is_empty &= written.is_err();
        written.with_context(|| display_path(self.path.as_os_str().as_bytes()))
    }
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let now = fs::symlink_metadata(&self.path).map(identity);
        // Another file may have the name by now, and stays.
        if self.is_empty && now.is_ok() && now.ok() == self.file.metadata().map(identity).ok() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_is_not_left_and_what_was_there_stays_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let promise = |path: &Path| ResultFile::promise(path, &AtomicUsize::new(0));
        let path = dir.path().join("file");
        drop(promise(&path).unwrap());
        assert!(!path.exists());
        let promised = promise(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another file").unwrap();
        drop(promised);
        assert!(path.exists());
        promise(&path).unwrap().write(b"a long result").unwrap();
        drop(promise(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"a long result");
        promise(&path).unwrap().write(b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert!(promise(&dir.path().join("no/such")).is_err());
    }
}
