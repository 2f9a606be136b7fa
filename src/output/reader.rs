//! Files of an output, opened and read back. Whoever made them: they are regular files or an error, and take no more
//! memory than their size.

use anyhow::{Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// Opens a file for reading.
///
/// # Errors
/// The system's, or that it is none: a pipe would be waited for, and a device may have no end.
pub fn open(path: &Path) -> Result<File> {
    ensure!(fs::metadata(path)?.is_file(), "not a file");
    Ok(File::open(path)?)
}

/// All bytes of a file.
///
/// # Errors
/// The system's, also if there is no memory for them.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The lines of a file of JSON lines, one value each.
///
/// # Errors
/// If it can't be read or a line is no such value; which line it is.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = read(path)?;
    let parse = |(number, line)| {
        serde_json::from_slice(line).map_err(|error| {
            // Each is a text of one line for the parser.
            let error = error.to_string().replace("at line 1 column", "at column");
            anyhow!("line {}: {error}", number + 1)
        })
    };
    bytes.split_inclusive(|&byte| byte == b'\n').enumerate().map(parse).collect()
}
