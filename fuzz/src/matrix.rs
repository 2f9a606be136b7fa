//! Any output, read back: the result is an error or an answer, never a panic.
//!
//! The parts: `manifest.json`, `documents.jsonl`, `vocabulary.jsonl`, and the matrix, which is read as npz and as npy.
//! The checksums of an npz are corrected first, since otherwise few inputs would get past them.

use super::files::{Files, parts};
use bowline::Output;
use std::path::Path;

thread_local! {
    static FILES: Files = Files::new();
}

/// Inspects one output.
pub fn run(data: &[u8]) {
    let [manifest, documents, vocabulary, matrix] = parts(data);
    FILES.with(|files| {
        files.write("manifest.json", manifest);
        files.write("documents.jsonl", documents);
        files.write("vocabulary.jsonl", vocabulary);
        files.write("matrix.npy", matrix);
        let mut matrix = matrix.to_vec();
        // Bytes that are not an archive stay as they are.
        let _ = set_checksums_right(&mut matrix);
        files.write("matrix.npz", &matrix);
        match Output::open(Path::new(&files.path(""))) {
            Ok(output) => {
                output.overview(10);
                let errors = [output.document("0").err(), output.term("the", 10).err()];
                assert!(errors.iter().flatten().all(|error| !error.to_string().is_empty()));
            }
            Err(error) => assert!(!format!("{error:#}").is_empty()),
        }
    });
}

/// Corrects the checksum of each member of a zip archive, in the directory and in the local header.
fn set_checksums_right(archive: &mut [u8]) -> Option<()> {
    let number = |archive: &[u8], at: usize, bytes: usize| {
        let field = archive.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, &byte| number << 8 | byte as usize))
    };
    let mut entry = number(archive, archive.len().checked_sub(22)? + 16, 4)?;
    while number(archive, entry, 4)? == 0x0201_4B50 {
        let (size, local) = (number(archive, entry + 20, 4)?, number(archive, entry + 42, 4)?);
        let start = local + 30 + number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
        let sum = crc32fast::hash(archive.get(start..start.checked_add(size)?)?);
        for field in [entry + 16, local + 14] {
            archive.get_mut(field..field + 4)?.copy_from_slice(&sum.to_le_bytes());
        }
        entry +=
            46 + (28..=32).step_by(2).try_fold(0, |sum, at| Some(sum + number(archive, entry + at, 2)?))?;
    }
    Some(())
}
