//! Counts runs of words by the ids of their parts: no string is made per occurrence, and one per distinct n-gram.
//!
//! The n-grams form a trie. A node is a word, or a node's extension by a word, found by the pair of their ids. Words
//! are joined by one space, as scikit-learn joins them. A token that holds a space itself could spell the same
//! n-gram in two ways, so where tokens may hold spaces, nodes are found by their spelling, too.

use super::nodes::Nodes;
use super::numbers::{Numbers, Sieve};
use super::slots::Slots;
use super::{Counter, Row, STOPPED};
use crate::analyzer::TermSink;
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

/// The length of a run's place: its bytes are those of its words.
const NOWHERE: u32 = u32::MAX;

/// The counter of the word analyzer with n-grams.
pub struct Ngrams {
    sizes: RangeInclusive<usize>,
    tokens_hold_spaces: bool,
    sieve: Sieve,
    numbers: Numbers,
    /// Words as they are found -> node, or [`STOPPED`].
    words: Slots,
    /// Pairs of a node and the word that follows -> node.
    runs: Slots,
    nodes: Nodes,
    /// Where each node's bytes lie in the arena; `NOWHERE` for runs.
    places: Vec<(u64, u32)>,
    arena: Vec<u8>,
    /// Spelling -> node: of all nodes if tokens may hold spaces, of words if several may have one stem.
    spellings: HashMap<Box<[u8]>, u32>,
    /// The latest words, at most as many as the largest n-gram has, latest last.
    window: VecDeque<u32>,
    /// The runs that end with the latest word: the one of `n` words at `n - 1`.
    tails: Vec<u32>,
    spelled: Vec<u8>,
}

impl Ngrams {
    /// A counter of runs of `sizes` words, from 1.
    pub fn new(
        sizes: RangeInclusive<usize>,
        tokens_hold_spaces: bool,
        sieve: Sieve,
        numbers: Numbers,
    ) -> Self {
        Ngrams {
            tails: vec![0; *sizes.end()],
            sizes,
            tokens_hold_spaces,
            sieve,
            numbers,
            words: Slots::new(),
            runs: Slots::new(),
            nodes: Nodes::default(),
            places: Vec::new(),
            arena: Vec::new(),
            spellings: HashMap::new(),
            window: VecDeque::new(),
            spelled: Vec::new(),
        }
    }

    /// The node of a word, or [`STOPPED`].
    #[inline]
    fn word(&mut self, padded: &[u8], length: usize) -> u32 {
        let (entry, is_new) = self.words.term(padded, length);
        if !is_new {
            return entry.number;
        }
        let node = self.new_word(&padded[..length]);
        self.words.term(padded, length).0.number = node;
        node
    }

    #[cold]
    #[inline(never)]
    fn new_word(&mut self, word: &[u8]) -> u32 {
        let Some(term) = self.sieve.sift(word) else { return STOPPED };
        let is_shared = self.tokens_hold_spaces || self.sieve.stemmer.is_some();
        let node = match self.spellings.get(&*term) {
            Some(&node) => node,
            None => self.new_node(is_shared.then_some(&term)),
        };
        let place = &mut self.places[node as usize];
        if place.1 == NOWHERE {
            *place = (self.arena.len() as u64, term.len() as u32);
            self.arena.extend_from_slice(&term);
        }
        node
    }

    fn new_node(&mut self, spelling: Option<&[u8]>) -> u32 {
        let node = self.nodes.add();
        self.places.push((0, NOWHERE));
        if let Some(spelling) = spelling {
            self.spellings.insert(spelling.into(), node);
        }
        node
    }

    /// The node of the latest `size` words: of the run `before`, and `word`.
    #[inline]
    fn run(&mut self, before: u32, word: u32, size: usize) -> u32 {
        let (entry, is_new) = self.runs.pair(before, word);
        if !is_new {
            return entry.number;
        }
        let node = self.new_run(size);
        self.runs.pair(before, word).0.number = node;
        node
    }

    #[cold]
    #[inline(never)]
    fn new_run(&mut self, size: usize) -> u32 {
        if !self.tokens_hold_spaces {
            return self.new_node(None);
        }
        self.spell(size);
        match self.spellings.get(self.spelled.as_slice()) {
            Some(&node) => node,
            None => {
                let spelled = std::mem::take(&mut self.spelled);
                let node = self.new_node(Some(&spelled));
                self.spelled = spelled;
                node
            }
        }
    }

    /// Puts the latest `size` words, joined, into `spelled`.
    fn spell(&mut self, size: usize) {
        self.spelled.clear();
        for (index, &word) in self.window.range(self.window.len() - size..).enumerate() {
            if index > 0 {
                self.spelled.push(b' ');
            }
            let (start, length) = self.places[word as usize];
            self.spelled.extend_from_slice(&self.arena[start as usize..][..length as usize]);
        }
    }
}

impl TermSink for Ngrams {
    fn term(&mut self, padded: &[u8], length: usize) {
        let word = self.word(padded, length);
        if word == STOPPED {
            return;
        }
        let (least, most) = (*self.sizes.start(), *self.sizes.end());
        if self.window.len() == most {
            self.window.pop_front();
        }
        self.window.push_back(word);
        let longest = self.window.len();
        for size in (2..=longest).rev() {
            self.tails[size - 1] = self.run(self.tails[size - 2], word, size);
        }
        self.tails[0] = word;
        for size in least..=longest {
            let node = self.tails[size - 1];
            if self.nodes.is_unnumbered(node) {
                self.spell(size);
                self.nodes.set_number(node, self.numbers.number(&self.spelled));
            }
            self.nodes.count(node, 1);
        }
    }
}

impl Counter for Ngrams {
    fn begin_document(&mut self) {
        self.nodes.begin_document();
        self.window.clear();
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        (&self.nodes.row, &mut self.numbers)
    }

    /// A node is found by its spelling wherever two could have the same.
    fn may_repeat(&self) -> bool {
        false
    }

    fn memory(&self) -> usize {
        let spellings: usize = self.spellings.len() * 64;
        let places = self.places.capacity() * size_of::<(u64, u32)>();
        self.words.memory()
            + self.runs.memory()
            + self.nodes.memory()
            + places
            + self.arena.capacity()
            + spellings
    }

    fn forget(&mut self) {
        self.words.clear();
        self.runs.clear();
        self.nodes.clear();
        self.places = Vec::new();
        self.arena = Vec::new();
        self.spellings = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::LocalIds;
    use super::*;
    use crate::analyzer::PADDING;
    use crate::segment::{term_at, term_size};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn count(ngrams: &mut Ngrams, tokens: &[String]) -> BTreeMap<String, u32> {
        ngrams.begin_document();
        for token in tokens {
            let mut padded = token.clone().into_bytes();
            padded.extend_from_slice(&[0xEE; PADDING]);
            ngrams.term(&padded, token.len());
        }
        let (row, Numbers::Local(ids)) = ngrams.finish_document() else { panic!("local ids") };
        let (mut at, mut known) = (0, Vec::new());
        while let Some(term) = term_at(&ids.terms, at) {
            at += term_size(term.len());
            known.push(String::from_utf8(term.to_vec()).unwrap());
        }
        let found: BTreeMap<_, _> =
            row.postings.iter().map(|p| (known[p.number as usize].clone(), p.count)).collect();
        assert_eq!(found.len(), row.postings.len(), "no n-gram stands twice");
        assert_eq!(row.tokens, found.values().map(|&count| count as u64).sum::<u64>());
        found
    }

    proptest! {
        /// Few letters and many spaces: the same n-gram is spelled in many ways.
        #[test]
        fn as_joining_strings_does(
            documents in proptest::collection::vec(proptest::collection::vec("[ab ]{0,3}", 0..12), 1..5),
            least in 1usize..4, more in 0usize..3,
        ) {
            let most = least + more;
            let mut ngrams =
                Ngrams::new(least..=most, true, Sieve::default(), Numbers::Local(LocalIds::default()));
            for tokens in &documents {
                let mut expected: BTreeMap<String, u32> = BTreeMap::new();
                for size in least..=most {
                    for run in tokens.windows(size) {
                        *expected.entry(run.join(" ")).or_default() += 1;
                    }
                }
                prop_assert_eq!(count(&mut ngrams, tokens), expected);
            }
        }
    }
}
