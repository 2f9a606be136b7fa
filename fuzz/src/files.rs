//! Files for a target that reads files: one directory for all inputs. The files of each input replace those of the last.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use tempfile::TempDir;

/// A temporary directory.
pub struct Files(TempDir);

impl Files {
    /// Creates an empty directory.
    pub fn new() -> Self {
        Files(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The path of `name` in the directory.
    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path of UTF-8").to_owned()
    }

    /// Writes a file and creates its parent directory.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().expect("a directory")).expect("a directory of our own");
        fs::write(path, bytes).expect("a file of our own");
    }
}

/// A file of these bytes that has no name.
pub fn unnamed(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("room for it");
    file
}

/// The parts of an input, separated by NULs; missing parts are empty.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |&byte| byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
