//! A file that a command writes at its end: known to be writable from the start, kept as it was until then, and not left
//! behind empty if the end is never reached.

use crate::corpus::display_path;
use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A promise to write a file.
pub struct ResultFile {
    path: PathBuf,
    file: File,
    /// It was not there before, and has nothing in it.
    is_empty: bool,
}

impl ResultFile {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn promise(path: &Path) -> Result<Self> {
        let options = || File::options().write(true).clone();
        let (file, is_empty) = match options().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (options().open(path), false),
            made => (made, true),
        };
        let file = file.with_context(|| display_path(path.as_os_str().as_bytes()))?;
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
        let path = dir.path().join("file");
        drop(ResultFile::promise(&path).unwrap());
        assert!(!path.exists());
        let promised = ResultFile::promise(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another file").unwrap();
        drop(promised);
        assert!(path.exists());
        ResultFile::promise(&path).unwrap().write(b"a long result").unwrap();
        drop(ResultFile::promise(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"a long result");
        ResultFile::promise(&path).unwrap().write(b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert!(ResultFile::promise(&dir.path().join("no/such")).is_err());
    }
}
