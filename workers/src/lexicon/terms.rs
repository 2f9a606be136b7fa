//! Counts terms as they come. An entry contains the last document with the term and the term's place in that document's
//! row, so that a repeated term takes one probe and no search.

use super::counter::Counter;
use super::numbers::{Numbers, SiftedNumbers, TermFilter};
use super::row::{Row, Stamp};
use super::slots::Slots;
use crate::analyzer::{Span, TermSink};

/// The counter of the word analyzer without n-grams, and of character n-grams.
pub struct Terms {
    slots: Slots,
    numbers: SiftedNumbers,
    stamp: Stamp,
    row: Row,
}

impl Terms {
    /// A counter without terms.
    pub fn new(term_filter: TermFilter, numbers: Numbers) -> Self {
        Terms {
            slots: Slots::new(),
            numbers: SiftedNumbers::new(term_filter, numbers),
            stamp: Stamp::default(),
            row: Row::default(),
        }
    }
}

impl TermSink for Terms {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let Terms { slots, numbers, stamp, row } = self;
        slots.look_up(text, spans, |[start, end], entry, is_new| {
            if is_new {
                entry.number = numbers.number(&text[start as usize..end as usize]);
            }
            row.count(*stamp, entry.number, &mut entry.seen, 1);
        });
    }
}

impl Counter for Terms {
    fn begin_document(&mut self) {
        if self.stamp.advance() {
            self.slots.wipe_documents();
        }
        self.row.clear();
    }

    fn finish_document(&mut self) -> (&Row, &mut Numbers) {
        (&self.row, &mut self.numbers.numbers)
    }

    fn may_repeat(&self) -> bool {
        self.numbers.may_share()
    }

    fn memory(&self) -> usize {
        self.slots.memory() + self.numbers.memory()
    }

    fn forget(&mut self) {
        self.slots.clear();
        self.numbers.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::LocalIds;
    use super::super::row::Posting;
    use super::*;
    use crate::analyzer::PADDING;
    use proptest::prelude::*;
    use std::collections::HashMap;

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
