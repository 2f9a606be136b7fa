//! Counts terms as they come, by their ids. A term gets its number when it occurs for the first time; the numbers of a
//! document's terms are looked up at its end.

use super::counter::Counter;
use super::numbers::{Numbers, SiftedNumbers, TermFilter};
use super::row::{Occurrences, Row};
use super::slots::Slots;
use crate::analyzer::{Span, TermSink};

/// The counter of the word analyzer without n-grams, and of character n-grams.
pub struct Terms {
    slots: Slots,
    numbers: SiftedNumbers,
    /// The number of each term by its id.
    numbers_by_id: Vec<u32>,
    /// Occurrences of terms that are not in the row yet.
    occurrences: Occurrences,
    row: Row,
    /// The ids of the current group of terms.
    ids: Vec<u32>,
}

impl Terms {
    /// A counter without terms.
    pub fn new(term_filter: TermFilter, numbers: Numbers) -> Self {
        Terms {
            slots: Slots::new(),
            numbers: SiftedNumbers::new(term_filter, numbers),
            numbers_by_id: Vec::new(),
            occurrences: Occurrences::default(),
            row: Row::default(),
            ids: Vec::new(),
        }
    }
}

impl TermSink for Terms {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let Terms { slots, numbers, numbers_by_id, occurrences, ids, .. } = self;
        slots.look_up(text, spans, ids, |[start, end]| {
            numbers_by_id.push(numbers.number(&text[start as usize..end as usize]));
        });
        occurrences.count(ids, slots.len());
    }
}

impl Counter for Terms {
    fn begin_document(&mut self) {
        // A document that failed has left occurrences.
        self.occurrences.take(|_, _| ());
        self.row.clear();
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        let Terms { numbers, numbers_by_id, occurrences, row, .. } = self;
        occurrences.take(|id, count| row.add(numbers_by_id[id as usize], count));
        (row, &mut numbers.numbers)
    }

    fn may_repeat(&self) -> bool {
        self.numbers.may_share()
    }

    fn memory(&self) -> usize {
        let numbers = self.numbers_by_id.capacity() * size_of::<u32>();
        self.slots.memory() + numbers + self.occurrences.memory() + self.numbers.memory()
    }

    fn forget(&mut self) {
        self.slots.clear();
        self.numbers_by_id = Vec::new();
        self.occurrences = Occurrences::default();
        self.numbers.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::{FixedVocabulary, LocalIds};
    use super::super::row::Posting;
    use super::*;
    use crate::analyzer::PADDING;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn counter() -> Terms {
        Terms::new(TermFilter::default(), Numbers::Local(LocalIds::default()))
    }

    fn give(terms: &mut Terms, term: &[u8]) {
        let mut padded = term.to_vec();
        // Bytes behind a term must have no effect.
        padded.extend_from_slice(&[0xEE; PADDING]);
        terms.terms(&padded, &[[0, term.len() as u32]]);
    }

    /// The terms that have a number so far, in the order of their numbers.
    fn known(terms: &mut Terms) -> Vec<Vec<u8>> {
        let (_, Numbers::Local(ids)) = terms.finish_document() else { panic!("local ids") };
        ids.spelled()
    }

    proptest! {
        #[test]
        fn counts_as_a_map_does(documents in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(0u8..3, 0..40), 0..60), 1..8)) {
            let mut terms = counter();
            for document in &documents {
                let mut expected: HashMap<Vec<u8>, u32> = HashMap::new();
                terms.begin_document();
                for term in document {
                    give(&mut terms, term);
                    *expected.entry(term.clone()).or_default() += 1;
                }
                let row = terms.finish_document().0.clone();
                let known = known(&mut terms);
                let found: HashMap<Vec<u8>, u32> =
                    row.postings().map(|p| (known[p.number as usize].clone(), p.count)).collect();
                prop_assert_eq!(row.postings().len(), found.len());
                prop_assert_eq!(found, expected);
                prop_assert_eq!((row.tokens, row.unknown), (document.len() as u64, 0));
            }
        }
    }

    #[test]
    fn grows_and_forgets() {
        let mut terms = counter();
        for round in 0..2 {
            terms.begin_document();
            for n in 0..20_000u32 {
                give(&mut terms, format!("{n}{}", "x".repeat(n as usize % 24)).as_bytes());
            }
            assert_eq!(terms.finish_document().0.postings().len(), 20_000);
            assert_eq!(known(&mut terms).len(), 20_000, "round {round}");
        }
        terms.forget();
        terms.begin_document();
        give(&mut terms, b"0");
        assert!(terms.finish_document().0.postings().eq([Posting { number: 20_000, count: 1 }]));
    }

    /// Stop words, stems and unknown words pass the same table as all other words.
    #[test]
    fn words_count_as_their_terms_do() {
        let stop_words = ["the", "of"].into_iter().collect();
        let stemmer = crate::analyzer::stems::Stemmer::new("english").expect("a stemmer");
        let filter = TermFilter { stop_words: Some(Arc::new(stop_words)), stemmer: Some(Arc::new(stemmer)) };
        let vocabulary = FixedVocabulary::new(vec![b"run"[..].into(), b"house"[..].into()]).unwrap();
        let mut terms = Terms::new(filter, Numbers::Fixed(Arc::new(vocabulary)));
        for _ in 0..2 {
            terms.begin_document();
            for word in ["the", "running", "of", "runs", "houses", "the", "zebra", "run", "zebra", "run"] {
                give(&mut terms, word.as_bytes());
            }
            let row = terms.finish_document().0;
            let mut counts: Vec<_> = row.postings().map(|p| (p.number, p.count)).collect();
            counts.sort_unstable();
            // Three spellings share column 0; "hous" and "zebra" are not in the vocabulary.
            assert_eq!(counts, [(0, 1), (0, 1), (0, 2)]);
            assert_eq!((row.tokens, row.unknown), (7, 3));
            terms.forget();
        }
    }

    #[test]
    fn a_document_that_ends_early_leaves_no_count() {
        let mut terms = counter();
        for forgets in [false, true] {
            terms.begin_document();
            give(&mut terms, b"lost");
            if forgets {
                terms.forget();
            }
            terms.begin_document();
            give(&mut terms, b"kept");
            let row = terms.finish_document().0;
            assert_eq!((row.postings().len(), row.tokens), (1, 1));
        }
    }

    #[test]
    fn a_term_of_zero_bytes_is_a_term() {
        let mut terms = counter();
        terms.begin_document();
        for term in [&b""[..], b"\0", b"\0\0", b"", &[0; 16], &[0; 17]] {
            give(&mut terms, term);
        }
        assert_eq!(terms.finish_document().0.postings().len(), 5);
        assert_eq!(terms.finish_document().0.postings().next().unwrap().count, 2);
    }
}
