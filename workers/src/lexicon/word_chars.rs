//! Counts the character n-grams of words (scikit-learn's `char_wb`).
//!
//! A word's n-grams depend on the word alone. So they are found once for each distinct word, and counted once for each
//! document that contains it, times its occurrences. Of the n-grams that begin at one character, a word counts the
//! longest only. The shorter ones are its prefixes: once for each distinct n-gram of the document, the n-gram's count is
//! added to that of its prefix, longest n-grams first.

use super::counter::Counter;
use super::numbers::Numbers;
use super::prefetch;
use super::row::{Carried, Row};
use super::slots::Slots;
use crate::analyzer::chars::{is_continuation, longest_ngrams};
use crate::analyzer::{Span, TermSink};
use std::ops::{Range, RangeInclusive};

/// Maximum length in bytes of a word whose n-grams are kept.
const KEPT_WORD: u32 = 256;

/// Items before which an item is prefetched.
const AHEAD: usize = 8;

/// The counter of the `char-wb` analyzer, whose terms are words with a space on each side.
pub struct WordChars {
    sizes: RangeInclusive<usize>,
    numbers: Numbers,
    /// The id of each word.
    spellings: Slots,
    words: Vec<Word>,
    /// Ids of the longest n-grams at each character of the words.
    parts: Vec<u32>,
    /// The id of each n-gram.
    slots: Slots,
    ngrams: Vec<Ngram>,
    /// Words of the current document.
    document: Present,
    /// N-grams of the current document by their sizes, the smallest first. A word shorter than that is among them.
    levels: Vec<Present>,
    row: Row,
    /// Ids of the words of the current group, or of n-grams.
    group: Vec<u32>,
    /// New words of the current group.
    new: Vec<Span>,
    /// N-grams to look up.
    spans: Vec<Span>,
    /// New n-grams with a prefix.
    longer: Vec<(u32, Span)>,
}

/// A word.
#[derive(Clone, Copy)]
struct Word {
    /// The place in `parts` where its n-grams begin.
    start: usize,
    /// The number of those n-grams.
    length: u32,
    /// Its occurrences in the current document, without those carried.
    count: u32,
}

/// An n-gram.
#[derive(Clone, Copy)]
struct Ngram {
    count: u32,
    number: u32,
    /// The n-gram without its last character; 0 if it is of the smallest size.
    prefix: u32,
}

/// The ids that occur in the current document, in order of first occurrence.
#[derive(Clone, Default)]
struct Present {
    /// The ids, then elements without meaning.
    ids: Vec<u32>,
    length: usize,
    carried: Carried,
}

impl Present {
    /// Makes room for `more` ids.
    fn make_room(&mut self, more: usize) {
        let length = self.length + more;
        if self.ids.len() < length {
            self.ids.resize(length.next_power_of_two(), 0);
        }
    }

    /// Adds `times` occurrences of `id` to its count, which is 0 before the first one. There must be room.
    #[inline]
    fn count(&mut self, count: &mut u32, id: u32, times: u64) {
        // Without a branch, since the processor could not predict it.
        self.ids[self.length] = id;
        self.length += usize::from(*count == 0);
        self.carried.add(count, id, times);
    }

    /// Removes and returns all ids, and what their counts do not hold.
    fn take(&mut self) -> (&[u32], Carried) {
        (&self.ids[..std::mem::take(&mut self.length)], std::mem::take(&mut self.carried))
    }
}

impl WordChars {
    /// Creates a counter of n-grams of `sizes` characters; sizes begin at 1.
    pub fn new(sizes: RangeInclusive<usize>, numbers: Numbers) -> Self {
        WordChars {
            levels: vec![Present::default(); sizes.clone().count()],
            sizes,
            numbers,
            spellings: Slots::new(),
            words: Vec::new(),
            parts: Vec::new(),
            slots: Slots::new(),
            ngrams: Vec::new(),
            document: Present::default(),
            row: Row::default(),
            group: Vec::new(),
            new: Vec::new(),
            spans: Vec::new(),
            longer: Vec::new(),
        }
    }

    /// Appends the ids of the n-grams at `self.spans` to `parts`. Looks up the prefixes of new ones, too.
    fn take_parts(&mut self, text: &[u8]) {
        let mut spans = std::mem::take(&mut self.spans);
        self.look_up(text, &spans);
        // The prefixes of new n-grams, the prefixes of new ones among these, and so on.
        let kept = self.parts.len();
        while !self.longer.is_empty() {
            let longer = std::mem::take(&mut self.longer);
            spans.clear();
            spans.extend(longer.iter().map(|&(_, prefix)| prefix));
            self.look_up(text, &spans);
            for (&(ngram, _), prefix) in longer.iter().zip(self.parts.drain(kept..)) {
                self.ngrams[ngram as usize].prefix = prefix;
            }
        }
        spans.clear();
        self.spans = spans;
    }

    /// Appends the ids of the n-grams at `spans` to `parts`, and to `longer` the new ones that have a prefix.
    fn look_up(&mut self, text: &[u8], spans: &[Span]) {
        let WordChars { sizes, numbers, parts, slots, ngrams, longer, group, .. } = self;
        slots.look_up(text, spans, group, |[start, end]| {
            let (ngram, id) = (&text[start as usize..end as usize], ngrams.len() as u32);
            ngrams.push(Ngram { count: 0, number: numbers.number(ngram), prefix: 0 });
            let starts = ngram.iter().enumerate().filter(|(_, byte)| !is_continuation(**byte));
            if let Some((last, _)) = starts.skip(*sizes.start()).last() {
                longer.push((id, [start, start + last as u32]));
            }
        });
        parts.extend_from_slice(group);
    }

    /// Counts words whose n-grams are kept.
    fn count_words(&mut self, text: &[u8], spans: &[Span]) {
        let WordChars { spellings, words, document, new, group, .. } = self;
        spellings.look_up(text, spans, group, |span| {
            words.push(Word { start: 0, length: 0, count: 0 });
            new.push(span);
        });
        document.make_room(spans.len());
        group.iter().for_each(|&id| document.count(&mut words[id as usize].count, id, 1));
        if self.new.is_empty() {
            return;
        }
        let first = self.words.len() - self.new.len();
        for (word, span) in self.words[first..].iter_mut().zip(self.new.drain(..)) {
            let before = self.spans.len();
            push_longest(text, span, &self.sizes, &mut self.spans);
            word.start = self.parts.len() + before;
            word.length = (self.spans.len() - before) as u32;
        }
        self.take_parts(text);
    }

    /// Counts a word whose n-grams are not kept.
    fn count_passing(&mut self, text: &[u8], word: Span) {
        let kept = self.parts.len();
        push_longest(text, word, &self.sizes, &mut self.spans);
        self.take_parts(text);
        count_parts(&mut self.levels, &mut self.ngrams, &self.parts[kept..], 1);
        self.parts.truncate(kept);
    }
}

/// Appends the places of the longest n-grams of the word at `word` to `spans`.
fn push_longest(text: &[u8], [start, end]: Span, sizes: &RangeInclusive<usize>, spans: &mut Vec<Span>) {
    longest_ngrams(&text[start as usize..end as usize], sizes, &mut |ngram: Range<usize>| {
        spans.push([start + ngram.start as u32, start + ngram.end as u32]);
    });
}

/// Counts `times` occurrences of the longest n-grams of a word. Those of the last characters are smaller than the others:
/// the last one is of the smallest size, the one before it of the next size.
fn count_parts(levels: &mut [Present], ngrams: &mut [Ngram], parts: &[u32], times: u64) {
    let Some((largest, smaller)) = levels.split_last_mut() else { return };
    let (longest, rest) = parts.split_at(parts.len().saturating_sub(smaller.len()));
    largest.make_room(longest.len());
    longest.iter().for_each(|&id| largest.count(&mut ngrams[id as usize].count, id, times));
    for (level, &id) in smaller.iter_mut().zip(rest.iter().rev()) {
        level.make_room(1);
        level.count(&mut ngrams[id as usize].count, id, times);
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
        // Counts of a document that failed.
        let WordChars { document, words, levels, ngrams, row, .. } = self;
        document.take().0.iter().for_each(|&word| words[word as usize].count = 0);
        for level in levels {
            level.take().0.iter().for_each(|&ngram| ngrams[ngram as usize].count = 0);
        }
        row.clear();
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        let WordChars { words, parts, ngrams, document, levels, row, .. } = self;
        let (document, carried) = document.take();
        for (index, &id) in document.iter().enumerate() {
            if let Some(&next) = document.get(index + 2) {
                let word = words[next as usize];
                for &part in &parts[word.start..][..word.length as usize] {
                    prefetch(ngrams, part as usize);
                }
            }
            if let Some(&next) = document.get(index + AHEAD) {
                prefetch(parts, words[next as usize].start);
            }
            let word = &mut words[id as usize];
            let times = carried.total(id, std::mem::take(&mut word.count));
            count_parts(levels, ngrams, &parts[word.start..][..word.length as usize], times);
        }
        let mut rest = levels.as_mut_slice();
        while let Some((level, smaller)) = rest.split_last_mut() {
            if let Some(prefixes) = smaller.last_mut() {
                prefixes.make_room(level.length);
            }
            let (ids, carried) = level.take();
            for (index, &id) in ids.iter().enumerate() {
                if let Some(&next) = ids.get(index + 2 * AHEAD) {
                    prefetch(ngrams, next as usize);
                }
                if let Some(&next) = ids.get(index + AHEAD) {
                    prefetch(ngrams, ngrams[next as usize].prefix as usize);
                }
                let Ngram { count, number, prefix } = ngrams[id as usize];
                ngrams[id as usize].count = 0;
                let count = carried.total(id, count);
                if let Some(prefixes) = smaller.last_mut() {
                    prefixes.count(&mut ngrams[prefix as usize].count, prefix, count);
                }
                row.add(number, count);
            }
            rest = smaller;
        }
        (&self.row, &mut self.numbers)
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn memory(&self) -> usize {
        let words = self.words.capacity() * size_of::<Word>();
        let ngrams = self.ngrams.capacity() * size_of::<Ngram>();
        let ids = self.parts.capacity() * size_of::<u32>();
        self.spellings.memory() + self.slots.memory() + words + ngrams + ids
    }

    fn forget(&mut self) {
        self.spellings.clear();
        self.slots.clear();
        self.words = Vec::new();
        self.parts = Vec::new();
        self.ngrams = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::LocalIds;
    use super::*;
    use crate::analyzer::chars::is_space;
    use crate::analyzer::chunks::Chunk;
    use crate::analyzer::{Analyzer, Grams, TextSettings};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// scikit-learn's `_char_wb_ngrams`, line for line, over characters.
    fn naive_wb_grams(text: &str, min: usize, max: usize) -> Vec<String> {
        let mut found = Vec::new();
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            let word: Vec<char> = format!(" {word} ").chars().collect();
            for n in min..=max {
                let mut offset = 0;
                found.push(word[offset..(offset + n).min(word.len())].iter().collect());
                while offset + n < word.len() {
                    offset += 1;
                    found.push(word[offset..offset + n].iter().collect());
                }
                if offset == 0 {
                    break;
                }
            }
        }
        found
    }

    fn letters() -> impl Strategy<Value = String> {
        let letters = proptest::sample::select("ab  \n\u{A0}é中😀".chars().collect::<Vec<_>>());
        let text =
            proptest::collection::vec(letters, 0..60).prop_map(|letters| letters.into_iter().collect());
        // Words whose n-grams are kept, and words whose are not.
        prop_oneof![8 => text, 1 => "[ab]{250,260} [ab]{250,260}"]
    }

    #[test]
    fn occurrences_beyond_32_bits_are_tokens() {
        let mut counter = WordChars::new(1..=2, Numbers::Local(LocalIds::default()));
        let text = [&b" ab "[..], &[0xEE; crate::analyzer::PADDING]].concat();
        for times in [1, u32::MAX as u64 + 1] {
            counter.begin_document();
            counter.terms(&text, &[[0, 4]]);
            if times > 1 {
                counter.words[0].count = u32::MAX;
                counter.terms(&text, &[[0, 4]]);
            }
            // Four characters, and three pairs of them.
            let row = counter.finish_document().0;
            assert_eq!((row.tokens, row.postings().len()), (7 * times, 6));
            assert!(row.postings().all(|posting| posting.count as u64 >= times.min(u32::MAX as u64)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn counts_are_the_definitions(
            documents in proptest::collection::vec((letters(), any::<bool>()), 1..6),
            min in 1usize..5, more in 0usize..5,
        ) {
            let sizes = min..=min + more;
            let grams = Grams::WordChars { sizes: sizes.clone() };
            let settings =
                TextSettings { lowercase: false, ..TextSettings::new(grams) };
            let mut analyzer = Analyzer::new(&settings);
            let mut counter = WordChars::new(sizes, Numbers::Local(LocalIds::default()));
            for (text, fails) in &documents {
                counter.begin_document();
                analyzer.analyze(&mut text.clone().into_bytes(), Chunk::WHOLE, &mut counter).unwrap();
                if *fails {
                    continue;
                }
                let mut expected: BTreeMap<String, u32> = BTreeMap::new();
                for ngram in naive_wb_grams(text, min, min + more) {
                    *expected.entry(ngram).or_default() += 1;
                }
                let (row, Numbers::Local(ids)) = counter.finish_document() else { panic!("local ids") };
                let known: Vec<String> =
                    ids.spelled().into_iter().map(|term| String::from_utf8(term).unwrap()).collect();
                let found = row.postings().map(|p| (known[p.number as usize].clone(), p.count));
                prop_assert_eq!(row.tokens, expected.values().map(|&count| count as u64).sum::<u64>());
                prop_assert_eq!(row.postings().len(), expected.len());
                prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
            }
        }
    }
}
