//! The reason why a document could not be embedded.
//!
//! Owns the list of causes, their two numbers in a record, which any process can read, and the wording of each. A
//! failure is a value, never a message.

use crate::counted::counted;
use std::{fmt, io};

#[cfg(feature = "processes")]
mod system;
/// The wording of the numbers of a system, without their names.
#[cfg(not(feature = "processes"))]
mod system {
    pub(super) fn error(errno: i32) -> String {
        std::io::Error::from_raw_os_error(errno).to_string()
    }

    pub(super) fn signal(signal: i32) -> String {
        format!("signal {signal}")
    }
}

/// The cause of a failed document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Not UTF-8; the offset of the first invalid byte.
    InvalidUtf8(u64),
    /// A NUL in the first 8 KiB: not text.
    Binary,
    /// A NUL in the first 8 KiB, and the bytes could be UTF-16.
    PerhapsUtf16,
    /// A NUL in the first 8 KiB, and the bytes could be UTF-32.
    PerhapsUtf32,
    /// Begins with a byte-order mark of UTF-16.
    Utf16,
    /// Begins with a byte-order mark of UTF-32.
    Utf32,
    /// Larger than `--max-document-bytes`; its size in bytes.
    TooLarge(u64),
    /// Larger than `--max-document-bytes`; that limit in bytes. The document's own size is not known.
    LargerThan(u64),
    /// Removed after the corpus was walked and before it was read.
    Vanished,
    /// Longer or shorter than its stated size, in two attempts.
    Changed,
    /// Neither a file nor a link to one when it was opened.
    NotAFile,
    /// The path contains a link where a file or a folder was when the corpus was walked.
    Link,
    /// The system's error number.
    System(i32),
    /// The analyzer panicked.
    Panicked,
    /// Its worker was killed by this signal while it had only this document.
    Killed(i32),
    /// Its worker exited with this code while it had only this document.
    Exited(i32),
    /// No progress within `--document-timeout`.
    TimedOut,
    /// It needs more memory than one document may use.
    OutOfMemory,
    /// The token pattern backtracked too often on it.
    TooManySteps,
    /// It contains more than 2 GiB without a chunk boundary, so it cannot be read in chunks.
    Unbroken,
    /// Not valid in the encoding that was given; the offset of the first invalid byte.
    InvalidInEncoding(u64),
    /// Its line is not JSON; the offset of the error in the line.
    InvalidJson(u64),
    /// Its line is JSON, but not an object.
    NotAnObject,
    /// The record does not have this field: 0 is the identifier, 1 the first text field.
    NoField(u32),
    /// The field is null.
    NullField(u32),
    /// The field is not a string.
    NotText(u32),
    /// The record has another number of fields than the header.
    Ragged {
        /// Fields of the record.
        found: u32,
        /// Fields of the header.
        expected: u32,
    },
    /// The data of the file are corrupt; the offset in the file.
    Corrupt(u64),
    /// The file ends in the middle of its data; its size.
    Truncated(u64),
    /// The document is encrypted.
    Encrypted,
    /// The document is compressed by a method that is not known; the method's number.
    UnknownMethod(u32),
    /// The file is not in the format that it was taken for.
    OtherFormat,
    /// It had failed when the output was made that is merged. The line of the document names the cause.
    Earlier,
}

impl Failure {
    /// Two numbers for a record: the kind, from 1, and its detail.
    pub(crate) fn encode(self) -> (u32, u64) {
        match self {
            Failure::InvalidUtf8(offset) => (1, offset),
            Failure::Binary => (2, 0),
            Failure::TooLarge(bytes) => (3, bytes),
            Failure::Vanished => (4, 0),
            Failure::Changed => (5, 0),
            Failure::NotAFile => (6, 0),
            Failure::System(errno) => (7, errno as u64),
            Failure::Panicked => (8, 0),
            Failure::Killed(signal) => (9, signal as u64),
            Failure::Exited(code) => (10, code as u64),
            Failure::TimedOut => (11, 0),
            Failure::OutOfMemory => (12, 0),
            Failure::TooManySteps => (13, 0),
            Failure::Unbroken => (14, 0),
            Failure::Utf16 => (15, 0),
            Failure::Utf32 => (16, 0),
            Failure::PerhapsUtf16 => (17, 0),
            Failure::PerhapsUtf32 => (18, 0),
            Failure::LargerThan(bytes) => (19, bytes),
            Failure::Link => (20, 0),
            Failure::InvalidInEncoding(offset) => (21, offset),
            Failure::InvalidJson(offset) => (22, offset),
            Failure::NotAnObject => (23, 0),
            Failure::NoField(field) => (24, field.into()),
            Failure::NullField(field) => (25, field.into()),
            Failure::NotText(field) => (26, field.into()),
            Failure::Ragged { found, expected } => (27, u64::from(found) << 32 | u64::from(expected)),
            Failure::Corrupt(offset) => (28, offset),
            Failure::Truncated(bytes) => (29, bytes),
            Failure::Encrypted => (30, 0),
            Failure::UnknownMethod(method) => (31, method.into()),
            Failure::OtherFormat => (32, 0),
            Failure::Earlier => (33, 0),
        }
    }

    /// The failure with these two numbers in a record; `None` if there is none.
    pub(crate) fn decode(kind: u32, detail: u64) -> Option<Failure> {
        Some(match kind {
            1 => Failure::InvalidUtf8(detail),
            2 => Failure::Binary,
            3 => Failure::TooLarge(detail),
            4 => Failure::Vanished,
            5 => Failure::Changed,
            6 => Failure::NotAFile,
            7 => Failure::System(detail as i32),
            8 => Failure::Panicked,
            9 => Failure::Killed(detail as i32),
            10 => Failure::Exited(detail as i32),
            11 => Failure::TimedOut,
            12 => Failure::OutOfMemory,
            13 => Failure::TooManySteps,
            14 => Failure::Unbroken,
            15 => Failure::Utf16,
            16 => Failure::Utf32,
            17 => Failure::PerhapsUtf16,
            18 => Failure::PerhapsUtf32,
            19 => Failure::LargerThan(detail),
            20 => Failure::Link,
            21 => Failure::InvalidInEncoding(detail),
            22 => Failure::InvalidJson(detail),
            23 => Failure::NotAnObject,
            24 => Failure::NoField(detail as u32),
            25 => Failure::NullField(detail as u32),
            26 => Failure::NotText(detail as u32),
            27 => Failure::Ragged { found: (detail >> 32) as u32, expected: detail as u32 },
            28 => Failure::Corrupt(detail),
            29 => Failure::Truncated(detail),
            30 => Failure::Encrypted,
            31 => Failure::UnknownMethod(detail as u32),
            32 => Failure::OtherFormat,
            33 => Failure::Earlier,
            _ => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Failure::InvalidUtf8(offset) => write!(f, "invalid UTF-8 at byte {offset}"),
            Failure::Binary => write!(f, "binary"),
            Failure::PerhapsUtf16 => write!(f, "binary, perhaps UTF-16"),
            Failure::PerhapsUtf32 => write!(f, "binary, perhaps UTF-32"),
            Failure::Utf16 => write!(f, "UTF-16"),
            Failure::Utf32 => write!(f, "UTF-32"),
            Failure::TooLarge(bytes) => write!(f, "too large: {}", counted(bytes, "byte", "bytes")),
            Failure::LargerThan(bytes) => {
                write!(f, "too large: more than {}", counted(bytes, "byte", "bytes"))
            }
            Failure::Vanished => write!(f, "vanished"),
            Failure::Changed => write!(f, "changed while being read"),
            Failure::NotAFile => write!(f, "not a file"),
            Failure::Link => write!(f, "a link in its path"),
            Failure::System(errno) => f.write_str(&system::error(errno)),
            Failure::Panicked => write!(f, "the analyzer panicked"),
            Failure::Killed(signal) => write!(f, "its worker was killed by {}", system::signal(signal)),
            Failure::Exited(code) => write!(f, "its worker exited with code {code}"),
            Failure::TimedOut => write!(f, "timed out"),
            Failure::OutOfMemory => write!(f, "out of memory"),
            Failure::TooManySteps => write!(f, "the token pattern takes too many steps"),
            Failure::Unbroken => write!(f, "more than 2 GiB to be read at once"),
            Failure::InvalidInEncoding(offset) => write!(f, "invalid in its encoding at byte {offset}"),
            Failure::InvalidJson(offset) => write!(f, "invalid JSON at byte {offset} of the line"),
            Failure::NotAnObject => write!(f, "not a JSON object"),
            Failure::NoField(field) => write!(f, "no {}", field_name(field)),
            Failure::NullField(field) => write!(f, "the {} is null", field_name(field)),
            Failure::NotText(field) => write!(f, "the {} is not a string", field_name(field)),
            Failure::Ragged { found, expected } => {
                write!(f, "{}, but the header has {expected}", counted(found, "field", "fields"))
            }
            Failure::Corrupt(offset) => write!(f, "corrupt at byte {offset} of the file"),
            Failure::Truncated(bytes) => {
                write!(f, "the file ends too early, after {}", counted(bytes, "byte", "bytes"))
            }
            Failure::Encrypted => write!(f, "encrypted"),
            Failure::UnknownMethod(method) => write!(f, "compressed by an unknown method ({method})"),
            Failure::OtherFormat => write!(f, "not in the format that it was read as"),
            Failure::Earlier => write!(f, "failed before"),
        }
    }
}

/// A field of a record in messages: 0 is the identifier, 1 the first text field.
fn field_name(field: u32) -> String {
    match field {
        0 => "identifier field".to_owned(),
        1 => "text field".to_owned(),
        number => format!("text field (number {number})"),
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for io::Error {
    /// An error that contains the failure, for a reader on whose way it lies.
    fn from(failure: Failure) -> Self {
        io::Error::other(failure)
    }
}
