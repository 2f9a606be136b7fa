//! Patterns that match runs of characters of one class, such as `\w+`, `[a-z]{3,}` or `\b\w+\b`. Finds the tokens of such a
//! pattern without an engine, several times as fast.
//!
//! The repetition has no upper bound and is greedy, so a match is a maximal run. Between two characters of a run of word
//! characters is no word boundary, so with `\b` on both sides a match is a maximal run, too, whose neighbours are not
//! word characters.

use crate::analyzer::characters::{Properties, decode, decode_before};
use crate::analyzer::unicode::UnicodeVersion;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use std::ops::Range;
use std::slice;

/// Characters that one element of a set stands for.
const BITS: u32 = u64::BITS;

/// A pattern of this form.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    /// The class: bit `c % 64` of element `c / 64` for each character `c`.
    class: Box<[u64]>,
    /// Minimum number of characters of a run.
    least: usize,
    /// Whether no word character may be next to a run.
    has_borders: bool,
    /// The version of Unicode that determines word characters.
    version: UnicodeVersion,
}

impl Runs {
    /// The runs that `pattern` matches. It is in the syntax of the linear engine. `None` if it has another form.
    pub(super) fn of(pattern: &str, version: UnicodeVersion) -> Option<Self> {
        let hir = regex_syntax::parse(pattern).ok()?;
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            _ => slice::from_ref(&hir),
        };
        let is_border = |hir: &Hir| matches!(hir.kind(), HirKind::Look(Look::WordUnicode));
        let (parts, has_borders) = match parts {
            [first, parts @ .., last] if is_border(first) && is_border(last) => (parts, true),
            _ => (parts, false),
        };
        // As in `\w\w+`, the class may stand some times before its repetition.
        let (last, before) = parts.split_last()?;
        let HirKind::Repetition(repetition) = last.kind() else { return None };
        let HirKind::Class(Class::Unicode(characters)) = repetition.sub.kind() else { return None };
        let least = repetition.min as usize + before.len();
        let is_run = repetition.max.is_none() && repetition.greedy && least > 0;
        if !is_run || before.iter().any(|part| *part != *repetition.sub) {
            return None;
        }
        let mut class = vec![0; (char::MAX as u32 / BITS + 1) as usize].into_boxed_slice();
        for c in characters.iter().flat_map(|range| range.start()..=range.end()) {
            if has_borders && !Properties::of(c as u32, version).is_word() {
                return None;
            }
            class[(c as u32 / BITS) as usize] |= 1 << (c as u32 % BITS);
        }
        Some(Runs { class, least, has_borders, version })
    }

    /// Calls `found` with each match in `text`.
    pub(super) fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>)) {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() {
            let (code, length) = decode(text, at);
            if !self.contains(code) {
                at += length;
                continue;
            }
            let start = at;
            let mut characters = 0;
            while at < text.len() {
                let (code, length) = decode(text, at);
                if !self.contains(code) {
                    break;
                }
                at += length;
                characters += 1;
            }
            if characters >= self.least && !(self.has_borders && self.has_word_neighbour(text, start..at)) {
                found(start..at);
            }
        }
    }

    /// Whether the class contains the character `code`.
    #[inline]
    fn contains(&self, code: u32) -> bool {
        self.class.get((code / BITS) as usize).is_some_and(|bits| bits >> (code % BITS) & 1 == 1)
    }

    /// Whether a word character is before or behind `run`.
    fn has_word_neighbour(&self, text: &[u8], run: Range<usize>) -> bool {
        let before = decode_before(text, run.start).map(|(code, _)| code);
        let behind = (run.end < text.len()).then(|| decode(text, run.end).0);
        [before, behind].into_iter().flatten().any(|code| Properties::of(code, self.version).is_word())
    }
}
