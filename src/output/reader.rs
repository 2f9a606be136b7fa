//! Files of an output, read back. Whoever made them: they are regular files or an error, and take no more
//! memory than their size.

use crate::folder::Folder;
use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use std::io::Read as _;

/// All bytes of a file.
///
/// # Errors
/// As for [`Folder::input`]; or if there is no memory for them.
pub fn read(directory: &Folder, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    directory.input(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The lines of a file of JSON lines, one value each.
///
/// # Errors
/// If it can't be read or a line is no such value; which line it is.
pub fn read_lines<T: DeserializeOwned>(directory: &Folder, name: &str) -> Result<Vec<T>> {
    let bytes = read(directory, name)?;
    let parse = |(number, line)| {
        serde_json::from_slice(line).map_err(|error| {
            // Each is a text of one line for the parser.
            let error = error.to_string().replace("at line 1 column", "at column");
            anyhow!("line {}: {error}", number + 1)
        })
    };
    bytes.split_inclusive(|&byte| byte == b'\n').enumerate().map(parse).collect()
}
