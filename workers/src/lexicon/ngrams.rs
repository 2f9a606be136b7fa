//! Counts runs of words by the ids of their parts: creates no string for an occurrence, and one for each distinct n-gram.
//!
//! The n-grams form a trie. A node is a word, or a node's extension by a word, found by the pair of their ids. Words
//! are joined by one space, as scikit-learn joins them. A new n-gram that gets a local id is listed by the ids of its
//! words and not spelled. A token that contains a space could make two nodes with the same spelling. So where tokens may
//! contain spaces, numbers are found by their spelling, too.
//!
//! Terms come in groups, and a group passes one level of the trie after the other: first all its words, then all
//! runs of two, and so on.
//! runs of two, and so on.

use super::counter::Counter;
use super::nodes::Nodes;
use super::numbers::{LocalIds, Numbers, TermFilter};
use super::pairs::Pairs;
use super::row::{Row, STOPPED, Stamp};
use super::slots::Slots;
use crate::analyzer::{Span, TermSink};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The counter of the word analyzer with n-grams.
pub struct Ngrams {
    sizes: RangeInclusive<usize>,
    /// Whether no two n-grams have the same spelling.
    are_tuples: bool,
    numbers: Numbers,
    words: Words,
    /// For each size from 2 on: pairs of the preceding run and the word that follows.
    runs: Vec<Pairs>,
    /// The number of each spelling, unless n-grams are tuples.
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
    /// The id of each word as it is in the text, or [`STOPPED`].
    slots: Slots,
    /// The number of different words.
    known: u32,
    /// Where n-grams are spelled: the place of each word's bytes in the arena.
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

    /// Appends the ids of the words of `text` to `ids`, without stop words. New words get the next ids, and are listed in
    /// `list` or else kept.
    fn look_up(&mut self, text: &[u8], spans: &[Span], ids: &mut Vec<u32>, mut list: Option<&mut LocalIds>) {
        let Words { term_filter, slots, known: known_words, places, arena, stems } = self;
        slots.look_up(text, spans, |[start, end], entry, is_new| {
            if is_new {
                entry.number = match term_filter.filtered(&text[start as usize..end as usize]) {
                    None => STOPPED,
                    Some(term) => {
                        let known = stems.get(&*term).copied();
                        known.unwrap_or_else(|| {
                            let id = *known_words;
                            *known_words += 1;
                            match &mut list {
                                Some(list) => list.word(&term),
                                None => {
                                    places.push((arena.len() as u64, term.len() as u32));
                                    arena.extend_from_slice(&term);
                                }
                            }
                            if term_filter.stemmer.is_some() {
                                stems.insert(term.into_owned().into_boxed_slice(), id);
                            }
                            id
                        })
                    }
                };
            }
            if entry.number != STOPPED {
                ids.push(entry.number);
            }
        });
    }

    fn memory(&self) -> usize {
        let places = self.places.capacity() * size_of::<(u64, u32)>();
        self.slots.memory() + places + self.arena.capacity() + self.stems.len() * 64
    }
}

impl Ngrams {
    /// Creates a counter of runs of `sizes` words; sizes begin at 1. `are_tuples` says that no word contains a space
    /// (`Grams::are_word_tuples`).
    pub fn new(
        sizes: RangeInclusive<usize>,
        are_tuples: bool,
        term_filter: TermFilter,
        numbers: Numbers,
    ) -> Self {
        let (places, arena, stems) = (Vec::new(), Vec::new(), HashMap::new());
        Ngrams {
            runs: (2..=*sizes.end()).map(|_| Pairs::new()).collect(),
            levels: vec![Vec::new(); *sizes.end()],
            sizes,
            are_tuples,
            numbers,
            words: Words { term_filter, slots: Slots::new(), known: 0, places, arena, stems },
            spellings: HashMap::new(),
            nodes: Nodes::default(),
            spelled: Vec::new(),
        }
    }
}

/// The number of the words `ids` as one term, found by its spelling. It must be called once for each distinct run.
fn spelled_number(
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
        let Ngrams { sizes, are_tuples, numbers, words, runs, spellings, levels, nodes, spelled } = self;
        let (first, rest) = levels.split_at_mut(1);
        let ids = &mut first[0];
        let before = ids.len();
        let are_tuples = *are_tuples;
        let list = match numbers {
            Numbers::Local(list) if are_tuples => Some(list),
            _ => None,
        };
        words.look_up(text, spans, ids, list);
        let mut number = |ids: &[u32]| match numbers {
            Numbers::Local(list) if are_tuples => list.ngram(ids),
            _ => spelled_number(words, ids, numbers, (!are_tuples).then_some(&mut *spellings), spelled),
        };
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
        !self.are_tuples
    }

    fn memory(&self) -> usize {
        let runs: usize = self.runs.iter().map(Pairs::memory).sum();
        self.words.memory() + runs + self.nodes.memory() + self.spellings.len() * 64
    }

    fn forget(&mut self) {
        self.words.slots.clear();
        self.words.known = 0;
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
    use super::*;
    use crate::analyzer::PADDING;
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
        let known: Vec<String> =
            ids.spelled().into_iter().map(|term| String::from_utf8(term).unwrap()).collect();
        let mut found = BTreeMap::new();
        for posting in row.postings() {
            *found.entry(known[posting.number as usize].clone()).or_default() += posting.count;
        }
        assert_eq!(row.tokens, found.values().map(|&count| count as u64).sum::<u64>());
        found
    }

    proptest! {
        /// Few letters and many spaces, so that many n-grams have several spellings; or none.
        #[test]
        fn as_joining_strings_does(
            documents in proptest::collection::vec(proptest::collection::vec("[ab ]{0,3}", 0..12), 1..5),
            least in 1usize..4, more in 0usize..3, group in 1usize..14, are_tuples: bool,
        ) {
            let most = least + more;
            let numbers = Numbers::Local(LocalIds::default());
            let mut ngrams = Ngrams::new(least..=most, are_tuples, TermFilter::default(), numbers);
            let mut documents = documents;
            if are_tuples {
                documents.iter_mut().flatten().for_each(|token| *token = token.replace(' ', "c"));
            }
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
