//! Counts the character n-grams of words (scikit-learn's `char_wb`). A word's n-grams depend on the word alone: they
//! are found once for each distinct word, and counted once for each document with it, as often as it occurs.

use super::nodes::Nodes;
use super::numbers::Numbers;
use super::slots::Slots;
use super::{Counter, Row};
use crate::analyzer::TermSink;
use crate::analyzer::chars::char_wb_ngrams;
use std::ops::{Range, RangeInclusive};

/// The n-grams of a longer word are not kept.
const KEPT_WORD: usize = 256;

/// The counter of the `char-wb` analyzer, whose terms are words with a space on either side.
pub struct WordChars {
    sizes: RangeInclusive<usize>,
    numbers: Numbers,
    /// Words -> their place in `words`.
    spellings: Slots,
    /// Where each word's n-grams begin in `ngrams`; one more at the end.
    words: Vec<usize>,
    /// Nodes of the words' n-grams, in order of occurrence.
    ngrams: Vec<u32>,
    /// N-grams -> node.
    slots: Slots,
    nodes: Nodes,
    /// Words of the document at hand, and how often each occurs.
    document: Vec<(u32, u32)>,
}

impl WordChars {
    /// A counter of n-grams of `sizes` characters, from 1.
    pub fn new(sizes: RangeInclusive<usize>, numbers: Numbers) -> Self {
        WordChars {
            sizes,
            numbers,
            spellings: Slots::new(),
            words: vec![0],
            ngrams: Vec::new(),
            slots: Slots::new(),
            nodes: Nodes::default(),
            document: Vec::new(),
        }
    }

    /// Appends the nodes of a word's n-grams to `ngrams`.
    #[cold]
    #[inline(never)]
    fn take_apart(&mut self, padded: &[u8], length: usize) {
        let WordChars { sizes, numbers, ngrams, slots, nodes, .. } = self;
        // The analyzer's text is UTF-8, and its words end between characters.
        let word = std::str::from_utf8(&padded[..length]).unwrap_or_default();
        char_wb_ngrams(word, *sizes.start(), *sizes.end(), &mut |range: Range<usize>| {
            let (entry, is_new) = slots.term(&padded[range.start..], range.len());
            if is_new {
                entry.number = nodes.add();
                nodes.set_number(entry.number, numbers.number(&padded[range]));
            }
            ngrams.push(entry.number);
        });
    }
}

impl TermSink for WordChars {
    #[inline]
    fn term(&mut self, padded: &[u8], length: usize) {
        if length > KEPT_WORD {
            let kept = self.ngrams.len();
            self.take_apart(padded, length);
            self.ngrams[kept..].iter().for_each(|&ngram| self.nodes.count(ngram, 1));
            self.ngrams.truncate(kept);
            return;
        }
        let document = self.nodes.document();
        let (entry, is_new) = self.spellings.term(padded, length);
        if entry.document == document {
            self.document[entry.position as usize].1 += 1;
            return;
        }
        if is_new {
            entry.number = self.words.len() as u32 - 1;
        }
        entry.document = document;
        entry.position = self.document.len() as u32;
        self.document.push((entry.number, 1));
        if is_new {
            self.take_apart(padded, length);
            self.words.push(self.ngrams.len());
        }
    }
}

impl Counter for WordChars {
    fn begin_document(&mut self) {
        self.nodes.begin_document();
        if self.nodes.document() == 1 {
            self.spellings.wipe_documents();
        }
        self.document.clear();
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        for &(word, times) in &self.document {
            let ngrams = self.words[word as usize]..self.words[word as usize + 1];
            self.ngrams[ngrams].iter().for_each(|&ngram| self.nodes.count(ngram, times));
        }
        self.document.clear();
        (&self.nodes.row, &mut self.numbers)
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn memory(&self) -> usize {
        let ngrams = self.ngrams.capacity() * size_of::<u32>();
        let words = self.words.capacity() * size_of::<usize>();
        self.spellings.memory() + self.slots.memory() + self.nodes.memory() + ngrams + words
    }

    fn forget(&mut self) {
        self.spellings.clear();
        self.slots.clear();
        self.nodes.clear();
        self.words = vec![0];
        self.ngrams = Vec::new();
    }
}
