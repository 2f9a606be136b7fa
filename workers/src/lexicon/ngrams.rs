//! Counts runs of words by the ids of their parts: creates no string for an occurrence, and one for each distinct n-gram.
//!
//! The n-grams form a trie. A node is a word, or a node's extension by a word, found by the pair of their ids. Words
//! are joined by one space, as scikit-learn joins them. A new n-gram that gets a local id is listed by the ids of its
//! words and not spelled. A token that contains a space could make two nodes with the same spelling. So where tokens may
//! contain spaces, numbers are found by their spelling, too.
//!
//! Terms come in groups, and a group passes one level of the trie after the other: first all its words, then all
//! runs of two, and so on.

use super::counter::Counter;
use super::numbers::{LocalIds, Numbers, TermFilter};
use super::pairs::Pairs;
use super::row::{Occurrences, Row, STOPPED};
use super::slots::Slots;
use crate::analyzer::{Span, TermSink};
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The counter of the word analyzer with n-grams.
pub struct Ngrams {
    sizes: RangeInclusive<usize>,
    nodes: Nodes,
    words: Words,
    /// The node of each word, if words are terms.
    word_nodes: Vec<u32>,
    /// For each size from 2 on: pairs of the preceding run and the word that follows. The id of a pair is its node, or,
    /// where runs of this size are no terms, its place in the order of first occurrence.
    runs: Vec<Pairs>,
    /// For each size: the ids of the runs that end with each word of the group. A few words of the previous group precede
    /// those of this group.
    levels: Vec<Vec<u32>>,
    /// Occurrences of nodes in the current document, and then its row.
    occurrences: Occurrences,
    row: Row,
    /// Nodes of the words of the current group.
    group: Vec<u32>,
}

/// The nodes that are terms, in order of first occurrence.
struct Nodes {
    /// Whether no two of them have the same spelling.
    are_tuples: bool,
    numbers: Numbers,
    /// The number of each node. Empty if that is the node itself: where tuples get local ids.
    numbers_by_node: Vec<u32>,
    /// The number of each spelling, unless n-grams are tuples.
    spellings: HashMap<Box<[u8]>, u32>,
    spelled: Vec<u8>,
}

impl Nodes {
    /// Adds the node of the words `ids`. It must be called once for each distinct run.
    #[inline]
    fn add(&mut self, words: &Words, ids: &[u32]) -> u32 {
        match &mut self.numbers {
            Numbers::Local(list) if self.are_tuples => list.ngram(ids),
            _ => {
                let number = self.number(words, ids);
                self.numbers_by_node.push(number);
                self.numbers_by_node.len() as u32 - 1
            }
        }
    }

    /// The number of the words `ids` as one term, found by its spelling.
    fn number(&mut self, words: &Words, ids: &[u32]) -> u32 {
        let Nodes { are_tuples, numbers, spellings, spelled, .. } = self;
        spelled.clear();
        for (index, &id) in ids.iter().enumerate() {
            if index > 0 {
                spelled.push(b' ');
            }
            spelled.extend_from_slice(words.bytes(id));
        }
        if *are_tuples {
            return numbers.number(spelled);
        }
        if let Some(&number) = spellings.get(spelled.as_slice()) {
            return number;
        }
        let number = numbers.number(spelled);
        spellings.insert(spelled.as_slice().into(), number);
        number
    }

    /// The number of nodes.
    fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Local(list) if self.are_tuples => list.len() as usize,
            _ => self.numbers_by_node.len(),
        }
    }

    /// The number of a node.
    #[inline]
    fn number_of(&self, node: u32) -> u32 {
        self.numbers_by_node.get(node as usize).copied().unwrap_or(node)
    }

    /// Where new words are listed, if their n-grams are not spelled here.
    fn list(&mut self) -> Option<&mut LocalIds> {
        match &mut self.numbers {
            Numbers::Local(list) if self.are_tuples => Some(list),
            _ => None,
        }
    }
}

/// The distinct words.
struct Words {
    term_filter: TermFilter,
    slots: Slots,
    /// The id of each word of `slots`, or [`STOPPED`].
    ids: Vec<u32>,
    /// The words of the current group, by their ids in `slots`.
    group: Vec<u32>,
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
        let Words { term_filter, slots, ids: ids_by_slot, group, known, places, arena, stems } = self;
        slots.look_up(text, spans, group, |[start, end]| {
            let Some(term) = term_filter.filtered(&text[start as usize..end as usize]) else {
                return ids_by_slot.push(STOPPED);
            };
            if let Some(&id) = stems.get(&*term) {
                return ids_by_slot.push(id);
            }
            match &mut list {
                Some(list) => list.word(&term),
                None => {
                    places.push((arena.len() as u64, term.len() as u32));
                    arena.extend_from_slice(&term);
                }
            }
            ids_by_slot.push(*known);
            if term_filter.stemmer.is_some() {
                stems.insert(term.into_owned().into_boxed_slice(), *known);
            }
            *known += 1;
        });
        ids.extend(group.iter().map(|&slot| ids_by_slot[slot as usize]).filter(|&id| id != STOPPED));
    }

    fn memory(&self) -> usize {
        let places = self.places.capacity() * size_of::<(u64, u32)>();
        let ids = self.ids.capacity() * size_of::<u32>();
        self.slots.memory() + ids + places + self.arena.capacity() + self.stems.len() * 64
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
            nodes: Nodes {
                are_tuples,
                numbers,
                numbers_by_node: Vec::new(),
                spellings: HashMap::new(),
                spelled: Vec::new(),
            },
            words: Words {
                term_filter,
                slots: Slots::new(),
                ids: Vec::new(),
                group: Vec::new(),
                known: 0,
                places,
                arena,
                stems,
            },
            word_nodes: Vec::new(),
            occurrences: Occurrences::default(),
            row: Row::default(),
            group: Vec::new(),
        }
    }
}

impl TermSink for Ngrams {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let Ngrams { sizes, nodes, words, word_nodes, runs, levels, occurrences, group, .. } = self;
        let (first, rest) = levels.split_at_mut(1);
        let ids = &mut first[0];
        let before = ids.len();
        words.look_up(text, spans, ids, nodes.list());
        if sizes.contains(&1) {
            (word_nodes.len() as u32..words.known).for_each(|id| word_nodes.push(nodes.add(words, &[id])));
            group.clear();
            group.extend(ids[before..].iter().map(|&id| word_nodes[id as usize]));
            occurrences.count(group, nodes.len());
        }
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
            if size < *sizes.start() {
                let mut next = runs.len() as u32;
                runs.look_up(firsts, &ids[start..], level, |_| {
                    next += 1;
                    next - 1
                });
                continue;
            }
            runs.look_up(firsts, &ids[start..], level, |place| {
                let end = start + place + 1;
                nodes.add(words, &ids[end - size..end])
            });
            occurrences.count(&level[start..], nodes.len());
        }
        // The words that the next group's runs begin with.
        let kept = *sizes.end() - 1;
        let passed = ids.len().saturating_sub(kept);
        levels.iter_mut().for_each(|level| drop(level.drain(..passed.min(level.len()))));
    }
}

impl Counter for Ngrams {
    fn begin_document(&mut self) {
        // A document that failed has left occurrences.
        self.occurrences.take(|_, _| ());
        self.row.clear();
        self.levels.iter_mut().for_each(Vec::clear);
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        let Ngrams { nodes, occurrences, row, .. } = self;
        occurrences.take(|node, count| row.add(nodes.number_of(node), count));
        (row, &mut nodes.numbers)
    }

    fn may_repeat(&self) -> bool {
        !self.nodes.are_tuples
    }

    fn memory(&self) -> usize {
        let runs: usize = self.runs.iter().map(Pairs::memory).sum();
        let nodes = self.nodes.numbers_by_node.capacity() + self.word_nodes.capacity();
        let spellings = self.nodes.spellings.len() * 64;
        self.words.memory() + runs + nodes * size_of::<u32>() + spellings + self.occurrences.memory()
    }

    fn forget(&mut self) {
        self.words.slots.clear();
        self.words.ids = Vec::new();
        self.words.known = 0;
        self.words.places = Vec::new();
        self.words.arena = Vec::new();
        self.words.stems = HashMap::new();
        self.word_nodes = Vec::new();
        self.runs.iter_mut().for_each(Pairs::clear);
        self.nodes.numbers_by_node = Vec::new();
        self.nodes.spellings = HashMap::new();
        self.occurrences = Occurrences::default();
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
