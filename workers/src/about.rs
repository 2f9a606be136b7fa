//! What is known of a document besides its file and its terms: its identifier, its path in an archive, its encoding.
//!
//! It travels in the document's record, behind the terms. Most documents have nothing of it.

use crate::segment::{push_term, term_at, term_size};
use std::borrow::Cow;

/// What is known of a document besides its file and its terms. It owns its texts, or borrows their bytes from a record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About<Text = String, Bytes = Vec<u8>> {
    /// Its identifier, if it has one.
    pub id: Option<Text>,
    /// Its path in an archive.
    pub member: Option<Bytes>,
    /// The number of the encoding that it was found to be in.
    pub encoding: Option<u8>,
    /// Bytes of its text, if they are not those of its file.
    pub bytes: Option<u64>,
}

/// Bits of the first byte: what follows.
const ID: u8 = 1;
const MEMBER: u8 = 2;
const ENCODING: u8 = 4;
const BYTES: u8 = 8;

impl About {
    /// Makes it empty.
    pub(crate) fn clear(&mut self) {
        *self = About::default();
    }

    /// Replaces `out` with its form in a record: no bytes if nothing is known.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        if *self == About::default() {
            return;
        }
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        out.push(
            bit(self.id.is_some(), ID)
                | bit(self.member.is_some(), MEMBER)
                | bit(self.encoding.is_some(), ENCODING)
                | bit(self.bytes.is_some(), BYTES),
        );
        self.id.iter().for_each(|id| push_term(out, id.as_bytes()));
        self.member.iter().for_each(|member| push_term(out, member));
        out.extend(self.encoding);
        self.bytes.iter().for_each(|bytes| out.extend_from_slice(&bytes.to_le_bytes()));
    }
}

impl<'r> About<&'r [u8], &'r [u8]> {
    /// What `encode` has written. What does not follow from these bytes is not known.
    pub(crate) fn decode(bytes: &'r [u8]) -> Self {
        let mut about = About::default();
        let Some(&bits) = bytes.first() else { return about };
        let mut at = 1;
        let mut next = |bit: u8| {
            let term = if bits & bit == 0 { None } else { term_at(bytes, at) }?;
            at += term_size(term.len());
            Some(term)
        };
        about.id = next(ID);
        about.member = next(MEMBER);
        if bits & ENCODING != 0 {
            about.encoding = bytes.get(at).copied();
            at += 1;
        }
        if bits & BYTES != 0 {
            let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
            about.bytes = number.map(|number| u64::from_le_bytes(*number));
        }
        about
    }

    /// Its identifier, if it has one. It is UTF-8 unless the record is damaged.
    pub(crate) fn id_text(&self) -> Option<Cow<'r, str>> {
        let text = |id| std::str::from_utf8(id).map_or_else(|_| String::from_utf8_lossy(id), Cow::Borrowed);
        self.id.map(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut out = Vec::new();
        for bits in 0..16u8 {
            let about = About {
                id: (bits & 1 != 0).then(|| "x".repeat(300)),
                member: (bits & 2 != 0).then(|| b"a/\xFF".to_vec()),
                encoding: (bits & 4 != 0).then_some(7),
                bytes: (bits & 8 != 0).then_some(u64::MAX),
            };
            about.encode(&mut out);
            assert_eq!(out.is_empty(), bits == 0);
            let About { id, member, encoding, bytes } = About::decode(&out);
            assert_eq!(id, about.id.as_deref().map(str::as_bytes));
            assert_eq!((member, encoding, bytes), (about.member.as_deref(), about.encoding, about.bytes));
            // Bytes that are cut off never cause a panic.
            (0..out.len()).for_each(|end| assert_ne!(About::decode(&out[..end]).bytes, Some(0)));
        }
    }
}
