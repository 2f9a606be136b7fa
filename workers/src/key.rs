//! How the records of a segment refer to documents: by a key, and by the state of the document's file.

use serde::{Deserialize, Serialize};

/// Identifies a document of the run: its split, and its place in the split.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The split's number.
    pub split: u32,
    /// The document's place in the split, from 0.
    pub ordinal: u32,
}

impl Key {
    /// The key as one number, in the order of keys.
    pub fn to_number(self) -> u64 {
        u64::from(self.split) << 32 | u64::from(self.ordinal)
    }

    /// The key with this number.
    pub fn of_number(number: u64) -> Self {
        Key { split: (number >> 32) as u32, ordinal: number as u32 }
    }
}

/// The state of a document's file when it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Source {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its time of modification in nanoseconds since 1970.
    pub modified: i64,
}
