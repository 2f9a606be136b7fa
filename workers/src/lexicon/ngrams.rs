//! Counts runs of words by the ids of their parts: creates no string for an occurrence, and one for each distinct n-gram.
//!
//! The n-grams form a trie. A node is a word, or a node's extension by a word, found by the pair of their ids. Words
//! are joined by one space, as scikit-learn joins them. A token that contains a space could make two nodes with the same
//! spelling. So where tokens may contain spaces, numbers are found by their spelling, too.
//!
//! Terms come in groups, and a group passes one level of the trie after the other: first all its words, then all
//! runs of two, and so on.
//! runs of two, and so on.

use super::counter::Counter;
use super::nodes::Nodes;
use super::numbers::{Numbers, TermFilter};
use super::pairs::Pairs;
use super::row::{Row, STOPPED, Stamp};
use super::slots::Slots;
use crate::analyzer::{Span, TermSink};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The counter of the word analyzer with n-grams.
pub struct Ngrams {
    sizes: RangeInclusive<usize>,
    tokens_hold_spaces: bool,
    numbers: Numbers,
    words: Words,
    /// For each size from 2 on: pairs of the preceding run and the word that follows.
    runs: Vec<Pairs>,
    /// The number of each spelling, if tokens may contain spaces.
    spellings: HashMap<Box<[u8]>, u32>,
    /// For each size: the runs that end with each word of the group. A few words of the previous group precede those of
    /// this group.
    levels: Vec<Vec<u32>>,
    /// Numbers of words as terms, and the row of the current document.
    nodes: Nodes,
    spelled: Vec<u8>,
}

/// The distinct words.
struct Words {
    term_filter: TermFilter,
    slots: Slots,
    /// The id of each word of `slots`, or [`STOPPED`].
    ids: Vec<u32>,
    /// The words of the current group, by their places in `slots`.
    group: Vec<u32>,
    /// The place of each word's bytes in the arena.
    places: Vec<(u64, u32)>,
    arena: Vec<u8>,
    /// The id of each stem, if words are stemmed.
    stems: HashMap<Box<[u8]>, u32>,
}

impl Words {
    fn bytes(&self, id: u32) -> &[u8] {
        let (start, length) = self.places[id as usize];
        &self.arena[start as usize..][..length as usize]
    }

    /// Appends the ids of the words of `text` to `ids`, without stop words. New words get the next ids.
    fn look_up(&mut self, text: &[u8], spans: &[Span], ids: &mut Vec<u32>) {
        let Words { term_filter, slots, ids: known, group, places, arena, stems } = self;
        slots.look_up(text, spans, group, |[start, end]| {
            known.push(match term_filter.filtered(&text[start as usize..end as usize]) {
                None => STOPPED,
                Some(term) => {
                    let known = stems.get(&*term).copied();
                    known.unwrap_or_else(|| {
                        let id = places.len() as u32;
                        places.push((arena.len() as u64, term.len() as u32));
                        arena.extend_from_slice(&term);
                        if term_filter.stemmer.is_some() {
                            stems.insert(term.into_owned().into_boxed_slice(), id);
                        }
                        id
                    })
                }
            });
        });
        ids.extend(group.iter().map(|&word| known[word as usize]).filter(|&id| id != STOPPED));
    }

    fn memory(&self) -> usize {
        let places = self.places.capacity() * size_of::<(u64, u32)>();
        let ids = self.ids.capacity() * size_of::<u32>();
        self.slots.memory() + ids + places + self.arena.capacity() + self.stems.len() * 64
    }
}

impl Ngrams {
    /// Creates a counter of runs of `sizes` words; sizes begin at 1.
    pub fn new(
        sizes: RangeInclusive<usize>,
        tokens_hold_spaces: bool,
        term_filter: TermFilter,
        numbers: Numbers,
    ) -> Self {
        let (places, arena, stems) = (Vec::new(), Vec::new(), HashMap::new());
        Ngrams {
            runs: (2..=*sizes.end()).map(|_| Pairs::new()).collect(),
            levels: vec![Vec::new(); *sizes.end()],
            sizes,
            tokens_hold_spaces,
            numbers,
            words: Words {
                term_filter,
                slots: Slots::new(),
                ids: Vec::new(),
                group: Vec::new(),
                places,
                arena,
                stems,
            },
            spellings: HashMap::new(),
            nodes: Nodes::default(),
            spelled: Vec::new(),
        }
    }
}

/// The number of the words `ids` as one term. It must be called once for each distinct run.
fn number(
    words: &Words,
    ids: &[u32],
    numbers: &mut Numbers,
    spellings: Option<&mut HashMap<Box<[u8]>, u32>>,
    spelled: &mut Vec<u8>,
) -> u32 {
    spelled.clear();
    for (index, &id) in ids.iter().enumerate() {
        if index > 0 {
            spelled.push(b' ');
        }
        spelled.extend_from_slice(words.bytes(id));
    }
    let Some(spellings) = spellings else { return numbers.number(spelled) };
    if let Some(&number) = spellings.get(spelled.as_slice()) {
        return number;
    }
    let number = numbers.number(spelled);
    spellings.insert(spelled.as_slice().into(), number);
    number
}

impl TermSink for Ngrams {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let Ngrams { sizes, tokens_hold_spaces, numbers, words, runs, spellings, levels, nodes, spelled } =
            self;
        let (first, rest) = levels.split_at_mut(1);
        let ids = &mut first[0];
        let before = ids.len();
        words.look_up(text, spans, ids);
        let mut number =
            |ids: &[u32]| number(words, ids, numbers, tokens_hold_spaces.then_some(&mut *spellings), spelled);
        if sizes.contains(&1) {
            for &id in &ids[before..] {
                while nodes.len() <= id {
                    nodes.add();
                }
                if nodes.is_unnumbered(id) {
                    nodes.set_number(id, number(&[id]));
                }
                nodes.count(id, 1);
            }
        }
        let (stamp, row) = (nodes.stamp(), &mut nodes.row);
        for (index, runs) in runs.iter_mut().enumerate() {
            let size = index + 2;
            let (shorter, level) = match index {
                0 => (&*ids, &mut rest[0]),
                _ => {
                    let (shorter, longer) = rest.split_at_mut(index);
                    (&shorter[index - 1], &mut longer[0])
                }
            };
            // The first words of a document end no run of this size.
            let start = before.max(size - 1).min(ids.len());
            level.resize(start, 0);
            let firsts = &shorter[start.saturating_sub(1)..ids.len().saturating_sub(1)];
            runs.look_up(firsts, &ids[start..], |place, run, is_new| {
                level.push(run.id());
                if size < *sizes.start() {
                    return;
                }
                if is_new {
                    let end = start + place + 1;
                    run.number = number(&ids[end - size..end]);
                }
                row.count(stamp, run.number, &mut run.seen, 1);
            });
        }
        // The words that the next group's runs begin with.
        let kept = *sizes.end() - 1;
        let passed = ids.len().saturating_sub(kept);
        levels.iter_mut().for_each(|level| drop(level.drain(..passed.min(level.len()))));
    }
}

impl Counter for Ngrams {
    fn begin_document(&mut self) {
        self.nodes.begin_document();
        if self.nodes.stamp() == Stamp(1) {
            self.runs.iter_mut().for_each(Pairs::wipe_documents);
        }
        self.levels.iter_mut().for_each(Vec::clear);
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        (&self.nodes.row, &mut self.numbers)
    }

    fn may_repeat(&self) -> bool {
        self.tokens_hold_spaces
    }

    fn memory(&self) -> usize {
        let runs: usize = self.runs.iter().map(Pairs::memory).sum();
        self.words.memory() + runs + self.nodes.memory() + self.spellings.len() * 64
    }

    fn forget(&mut self) {
        self.words.slots.clear();
        self.words.ids = Vec::new();
        self.words.places = Vec::new();
        self.words.arena = Vec::new();
        self.words.stems = HashMap::new();
        self.runs.iter_mut().for_each(Pairs::clear);
        self.nodes.clear();
        self.spellings = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::LocalIds;
    use super::*;
    use crate::analyzer::PADDING;
    use crate::segment::{term_at, term_size};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn count(ngrams: &mut Ngrams, tokens: &[String], group: usize) -> BTreeMap<String, u32> {
        ngrams.begin_document();
        let mut text = tokens.concat().into_bytes();
        text.extend_from_slice(&[0xEE; PADDING]);
        let mut end = 0u32;
        let spans = tokens.iter().map(|token| {
            end += token.len() as u32;
            [end - token.len() as u32, end]
        });
        // Groups of all sizes.
        let spans: Vec<Span> = spans.collect();
        spans.chunks(group).for_each(|spans| ngrams.terms(&text, spans));
        let (row, Numbers::Local(ids)) = ngrams.finish_document() else { panic!("local ids") };
        let (mut at, mut known) = (0, Vec::new());
        while let Some(term) = term_at(&ids.terms, at) {
            at += term_size(term.len());
            known.push(String::from_utf8(term.to_vec()).unwrap());
        }
        let mut found = BTreeMap::new();
        for posting in row.postings() {
            *found.entry(known[posting.number as usize].clone()).or_default() += posting.count;
        }
        assert_eq!(row.tokens, found.values().map(|&count| count as u64).sum::<u64>());
        found
    }

    proptest! {
        /// Few letters and many spaces, so that many n-grams have several spellings.
        #[test]
        fn as_joining_strings_does(
            documents in proptest::collection::vec(proptest::collection::vec("[ab ]{0,3}", 0..12), 1..5),
            least in 1usize..4, more in 0usize..3, group in 1usize..14,
        ) {
            let most = least + more;
            let mut ngrams =
                Ngrams::new(least..=most, true, TermFilter::default(), Numbers::Local(LocalIds::default()));
            for tokens in &documents {
                let mut expected: BTreeMap<String, u32> = BTreeMap::new();
                for size in least..=most {
                    for run in tokens.windows(size) {
                        *expected.entry(run.join(" ")).or_default() += 1;
                    }
                }
                prop_assert_eq!(count(&mut ngrams, tokens, group), expected);
            }
        }
    }
}
