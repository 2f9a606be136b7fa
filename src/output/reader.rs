//! An output, read back. All its files are opened before any of them is read, so an `embed --force` that replaces the output
//! meanwhile makes no difference. A file that is not regular is an error. A file takes no more memory than its size.

use super::names::FILES;
use crate::corpus::display_path;
use crate::folder::Folder;
use anyhow::{Context as _, Result, anyhow};
use bowline_workers::crash::handling_failed_allocations;
use nix::errno::Errno;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The files of an output, open.
#[derive(Debug)]
pub struct OpenOutput {
    path: PathBuf,
    /// Those that are there, or why one can't be opened.
    files: Vec<(&'static str, Result<File>)>,
}

impl OpenOutput {
    /// Opens what is at `path`: any directory, whatever is in it.
    ///
    /// # Errors
    /// If it is none, or the system's.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || display_path(path.as_os_str().as_bytes());
        loop {
            let folder = Folder::open(path).with_context(shown)?;
            let is_there = |opened: &Result<File>| !opened.as_ref().is_err_and(is_missing);
            let files = FILES.into_iter().map(|name| (name, folder.input(name)));
            let files = files.filter(|(_, opened)| is_there(opened)).collect();
            let now = fs::metadata(path).map(|now| (now.dev(), now.ino()));
            // An output is removed only when another one has its name.
            if now.is_err() || now.ok() == folder.identity().ok() {
                return Ok(OpenOutput { path: path.to_owned(), files });
            }
        }
    }

    /// Where it was opened; of one of its files, where that was.
    pub fn shown(&self, name: Option<&str>) -> String {
        let path = name.map_or_else(|| self.path.clone(), |name| self.path.join(name));
        display_path(path.as_os_str().as_bytes())
    }

    /// Whether it has a file of that name.
    pub fn has(&self, name: &str) -> bool {
        self.files.iter().any(|(file, _)| *file == name)
    }

    /// One of its files. All readers share its position.
    ///
    /// # Errors
    /// If it is not there, no regular file, or may not be read.
    pub fn file(&self, name: &str) -> Result<&File> {
        match self.files.iter().find(|(file, _)| *file == name) {
            Some((_, Ok(file))) => Ok(file),
            Some((_, Err(error))) => Err(anyhow!("{error:#}")),
            None => Err(io::Error::from(Errno::ENOENT).into()),
        }
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// As for [`OpenOutput::file`]; the system's, also if there is no memory for them.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (mut file, mut bytes) = (self.file(name)?, Vec::new());
        file.rewind()?;
        handling_failed_allocations(|| file.read_to_end(&mut bytes))?;
        Ok(bytes)
    }

    /// The lines of a file of JSON lines, one value each.
    ///
    /// # Errors
    /// If it can't be read or a line is no such value; which line it is.
    pub fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let bytes = self.read(name)?;
        let parse = |(number, line)| {
            serde_json::from_slice(line).map_err(|error| {
                // Each is a text of one line for the parser.
                let error = error.to_string().replace("at line 1 column", "at column");
                anyhow!("line {}: {error}", number + 1)
            })
        };
        bytes.split_inclusive(|&byte| byte == b'\n').enumerate().map(parse).collect()
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_removed_meanwhile_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("manifest.json"), "{}").unwrap();
        fs::create_dir(dir.path().join("idf.npy")).unwrap();
        let output = OpenOutput::open(dir.path()).unwrap();
        fs::remove_dir_all(dir.path()).unwrap();
        for _ in 0..2 {
            assert_eq!(output.read("manifest.json").unwrap(), b"{}");
        }
        assert!(output.has("idf.npy") && !output.has("documents.jsonl"));
        assert_eq!(output.file("idf.npy").unwrap_err().to_string(), "not a file");
        assert!(is_missing(&output.file("documents.jsonl").unwrap_err()));
        assert!(OpenOutput::open(dir.path()).is_err());
    }
}
