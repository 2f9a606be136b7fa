//! What the documents of a run are: CORPUS arguments walked, filtered and sorted.

mod walk;

pub use walk::{Corpus, WalkSettings, discover};

use std::fmt::Write as _;

/// A path as it is written for people and in `documents.jsonl`: bytes that are no UTF-8 become `\xHH`, and a
/// backslash is doubled, so that the bytes can be had back.
pub fn display_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        match chunk.valid().contains('\\') {
            true => text.push_str(&chunk.valid().replace('\\', "\\\\")),
            false => text.push_str(chunk.valid()),
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02X}").expect("a string takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_reversible() {
        assert_eq!(display_path("a/é.txt".as_bytes()), "a/é.txt");
        assert_eq!(display_path(b"a\\b\xFFc\n"), "a\\\\b\\xFFc\n");
        assert_ne!(display_path(b"\\xFF"), display_path(b"\xFF"));
    }
}
