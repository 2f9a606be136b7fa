//! Counts the character n-grams of words (scikit-learn's `char_wb`).
//!
//! A word's n-grams depend on the word alone. So they are found once for each distinct word, and counted once for each
//! document that contains it, times its occurrences.

use super::counter::Counter;
use super::nodes::Nodes;
use super::numbers::Numbers;
use super::row::{Occurrences, Row};
use super::slots::Slots;
use crate::analyzer::chars::char_wb_ngrams;
use crate::analyzer::{Span, TermSink};
use std::ops::{Range, RangeInclusive};

/// Maximum length in bytes of a word whose n-grams are kept.
const KEPT_WORD: u32 = 256;

/// The counter of the `char-wb` analyzer, whose terms are words with a space on each side.
pub struct WordChars {
    sizes: RangeInclusive<usize>,
    numbers: Numbers,
    /// The index of each word in `words`.
    spellings: Slots,
    /// The place in `ngrams` where each word's n-grams begin; one more element at the end.
    words: Vec<usize>,
    /// Nodes of the words' n-grams, in order of occurrence.
    ngrams: Vec<u32>,
    /// The node of each n-gram.
    slots: Slots,
    nodes: Nodes,
    /// Words of the current document.
    document: Occurrences,
    /// The words of the current group, or the n-grams of the current word.
    group: Vec<u32>,
    /// New words of the current group.
    new: Vec<Span>,
    /// N-grams of the current word.
    spans: Vec<Span>,
}

impl WordChars {
    /// Creates a counter of n-grams of `sizes` characters; sizes begin at 1.
    pub fn new(sizes: RangeInclusive<usize>, numbers: Numbers) -> Self {
        WordChars {
            sizes,
            numbers,
            spellings: Slots::new(),
            words: vec![0],
            ngrams: Vec::new(),
            slots: Slots::new(),
            nodes: Nodes::default(),
            document: Occurrences::default(),
            group: Vec::new(),
            new: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Appends the nodes of a word's n-grams to `ngrams`.
    fn take_apart(&mut self, text: &[u8], [start, end]: Span) {
        let WordChars { sizes, numbers, ngrams, slots, nodes, spans, group, .. } = self;
        let padded = &text[start as usize..];
        // The analyzer's text is UTF-8, and its words end between characters.
        let word = std::str::from_utf8(&text[start as usize..end as usize]).unwrap_or_default();
        spans.clear();
        char_wb_ngrams(word, *sizes.start(), *sizes.end(), &mut |range: Range<usize>| {
            spans.push([range.start as u32, range.end as u32]);
        });
        // A node's id is that of its spelling.
        slots.look_up(padded, spans, group, |[start, end]| {
            let node = nodes.add();
            nodes.set_number(node, numbers.number(&padded[start as usize..end as usize]));
        });
        ngrams.extend_from_slice(group);
    }

    /// Counts words whose n-grams are kept.
    fn count_words(&mut self, text: &[u8], words: &[Span]) {
        let WordChars { spellings, document, group, new, .. } = self;
        spellings.look_up(text, words, group, |word| new.push(word));
        document.count(group, spellings.len());
        let mut new = std::mem::take(new);
        for word in new.drain(..) {
            self.take_apart(text, word);
            self.words.push(self.ngrams.len());
        }
        self.new = new;
    }

    /// Counts a word whose n-grams are not kept.
    fn count_passing(&mut self, text: &[u8], word: Span) {
        let kept = self.ngrams.len();
        self.take_apart(text, word);
        self.ngrams[kept..].iter().for_each(|&ngram| self.nodes.count(ngram, 1));
        self.ngrams.truncate(kept);
    }
}

impl TermSink for WordChars {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let is_kept = |[start, end]: &Span| end - start <= KEPT_WORD;
        for words in spans.chunk_by(|a, b| is_kept(a) == is_kept(b)) {
            match is_kept(&words[0]) {
                true => self.count_words(text, words),
                false => words.iter().for_each(|&word| self.count_passing(text, word)),
            }
        }
    }
}

impl Counter for WordChars {
    fn begin_document(&mut self) {
        self.nodes.begin_document();
        self.document.take(|_, _| ());
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        let WordChars { words, ngrams, nodes, numbers, document, .. } = self;
        document.take(|word, times| {
            let times = times.min(u32::MAX as u64) as u32;
            let of_word = words[word as usize]..words[word as usize + 1];
            ngrams[of_word].iter().for_each(|&ngram| nodes.count(ngram, times));
        });
        (&nodes.row, numbers)
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn memory(&self) -> usize {
        let ngrams = self.ngrams.capacity() * size_of::<u32>();
        let words = self.words.capacity() * size_of::<usize>();
        let document = self.document.memory();
        self.spellings.memory() + self.slots.memory() + self.nodes.memory() + ngrams + words + document
    }

    fn forget(&mut self) {
        self.spellings.clear();
        self.document = Occurrences::default();
        self.slots.clear();
        self.nodes.clear();
        self.words = vec![0];
        self.ngrams = Vec::new();
    }
}
