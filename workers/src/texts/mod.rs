//! Counts texts that a host has in memory: the engine without processes, files and shared memory.
//!
//! The threads of a call end with it. All memory is private, and two objects share none. The thread that calls gets the texts
//! from the host, batch by batch, and asks it now and then whether to go on; other threads count. Rows have the order of the
//! texts, and their values do not depend on the number of threads.

mod counts;
mod threads;
mod transformer;

pub use counts::{Counts, Frequencies, Rows};
pub use transformer::Transformer;

use crate::cells::Index;
use crate::failure::Failure;
use crate::matrix_plan::ValueSettings;
use std::io;

/// Texts that are counted by one thread.
pub trait Texts: Send {
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Text `index`.
    fn text(&self, index: usize) -> &[u8];
}

/// The program that has the texts. Its methods are called by the thread that calls the engine.
pub trait Host {
    /// Why it ends a call.
    type Error;
    /// Some of the texts.
    type Batch: Texts;
    /// The next texts, and whether they are the last. The calling thread drops them, too.
    ///
    /// # Errors
    /// The host's reason to end the call.
    fn next(&mut self) -> Result<(Self::Batch, bool), Self::Error>;
    /// Called at least each 50 ms while threads work.
    ///
    /// # Errors
    /// The host's reason to end the call.
    fn check(&mut self) -> Result<(), Self::Error>;
}

/// Why a call ended early.
#[derive(Debug)]
pub enum TextsError<E> {
    /// The host ended it.
    Host(E),
    /// Text number `index` of the call can't be counted. It is the first one of its kind.
    Text {
        /// The text's number, from 0.
        index: u64,
        /// Why not.
        failure: Failure,
    },
    /// The value of a cell is not finite.
    NotFinite {
        /// The row.
        row: usize,
        /// The column.
        column: u32,
    },
    /// There are more words, or more cells, than can be numbered.
    TooMany,
    /// The system has no thread or no memory.
    System(io::Error),
}

impl<E> From<io::Error> for TextsError<E> {
    fn from(error: io::Error) -> Self {
        TextsError::System(error)
    }
}

/// A matrix as compressed sparse rows, with sorted columns and no cell twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr<I, T> {
    /// The values of all cells, row after row.
    pub data: Vec<T>,
    /// Their columns.
    pub indices: Vec<I>,
    /// Where each row begins in both, and where the last one ends.
    pub indptr: Vec<I>,
}

/// A matrix whose indices are as narrow as its number of cells allows.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyCsr<T> {
    /// Up to 2,147,483,647 cells.
    Narrow(Csr<i32, T>),
    /// More.
    Wide(Csr<i64, T>),
}

/// Whether the places of this many cells fit in 32 bits.
fn are_narrow(cells: usize) -> bool {
    i32::try_from(cells).is_ok()
}

/// Where each row begins, and where the last one ends, by the rows' lengths.
fn indptr<I: Index>(lengths: impl Iterator<Item = usize>) -> Vec<I> {
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).map(I::from_place).collect()
}

/// The conversion from counts to values.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The weight, the norm and the element type.
    pub settings: ValueSettings,
    /// The idf of each column; empty where the weight has none.
    pub idf: &'a [f64],
    /// The mean number of terms of a document, for bm25.
    pub mean_length: f64,
}

impl Values<'_> {
    fn idf(&self, column: u32) -> f64 {
        self.idf.get(column as usize).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::{Grams, TextSettings, Tokenizer};
    use crate::count::CountSettings;
    use crate::count::Features;
    use crate::hashing::Buckets;
    use crate::lexicon::FixedVocabulary;
    use crate::matrix_plan::{Dtype, NO_COLUMN, Norm, Weight};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A host of a list, in batches of a few texts.
    struct List<'a> {
        texts: &'a [String],
        size: usize,
    }

    impl Texts for Vec<String> {
        fn len(&self) -> usize {
            self.len()
        }
        fn text(&self, index: usize) -> &[u8] {
            self[index].as_bytes()
        }
    }

    impl Host for List<'_> {
        type Error = ();
        type Batch = Vec<String>;
        fn next(&mut self) -> Result<(Vec<String>, bool), ()> {
            let (now, rest) = self.texts.split_at(self.size.min(self.texts.len()));
            self.texts = rest;
            Ok((now.to_vec(), rest.is_empty()))
        }
        fn check(&mut self) -> Result<(), ()> {
            Ok(())
        }
    }

    fn settings(grams: Grams, features: Features) -> CountSettings {
        CountSettings::new(TextSettings::new(grams), features)
    }

    fn values(weight: Weight, norm: Norm) -> Values<'static> {
        let settings = ValueSettings { weight, norm, dtype: Dtype::F64 };
        Values { settings, idf: &[], mean_length: 0.0 }
    }

    fn words() -> Grams {
        Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=1 }
    }

    fn narrow<T>(matrix: AnyCsr<T>) -> Csr<i32, T> {
        match matrix {
            AnyCsr::Narrow(matrix) => matrix,
            AnyCsr::Wide(_) => panic!("few cells"),
        }
    }

    /// N-grams of words of two letters and more.
    fn ngrams(text: &str, sizes: std::ops::RangeInclusive<usize>) -> BTreeMap<String, f64> {
        let words: Vec<&str> = text.split(' ').filter(|word| word.len() > 1).collect();
        let mut counts = BTreeMap::new();
        for size in sizes {
            words.windows(size).for_each(|words| *counts.entry(words.join(" ")).or_default() += 1.0);
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn counts_are_those_of_a_map(
            texts in proptest::collection::vec("([a-c]{1,3} ){0,12}", 0..40), longest in 1usize..4,
            size in 1usize..9, threads in 1usize..5, cut in 0usize..40, drops: bool,
        ) {
            let settings = settings(Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=longest }, Features::Vocabulary);
            let (first, second) = texts.split_at(cut.min(texts.len()));
            let mut counts = Counts::new(settings.clone());
            prop_assert_eq!(counts.add(&mut List { texts: first, size }, threads).unwrap() as usize, first.len());
            let mut others = Counts::new(settings.clone());
            others.add(&mut List { texts: second, size }, threads).unwrap();
            counts.merge(&mut others);
            let host = &mut List { texts: &[], size };
            let mut terms = Vec::new();
            counts.terms(host, threads, |term, documents, occurrences| {
                terms.push((String::from_utf8(term.to_vec()).unwrap(), documents as f64, occurrences as f64));
            }).unwrap();
            let rows: Vec<_> = texts.iter().map(|text| ngrams(text, 1..=longest)).collect();
            let mut expected: BTreeMap<String, (f64, f64)> = BTreeMap::new();
            for (term, count) in rows.iter().flatten() {
                let known = expected.entry(term.clone()).or_default();
                *known = (known.0 + 1.0, known.1 + count);
            }
            let expected: Vec<_> = expected.into_iter().map(|(term, (n, sum))| (term, n, sum)).collect();
            prop_assert_eq!(&terms, &expected);
            // Every second column, in the reverse order.
            let new = |old: usize| if old.is_multiple_of(2) { (terms.len() - 1 - old) as u32 } else { NO_COLUMN };
            let new_columns: Vec<u32> = (0..terms.len()).map(new).collect();
            let new_columns = drops.then_some(&new_columns[..]);
            let all = narrow(counts.matrix(host, threads, None, &values(Weight::Count, Norm::None)).unwrap());
            let offsets: Vec<i64> = all.indptr.into_iter().map(i64::from).collect();
            let columns: Vec<u32> = all.indices.into_iter().map(|column| column as u32).collect();
            let lengths = counts.lengths();
            let rows_of_all = Rows { lengths: &lengths, offsets: &offsets, columns: &columns, counts: &all.data };
            let spelled: Vec<&str> = terms.iter().map(|term| &*term.0).collect();
            let restored = Counts::restored(host, settings.clone(), &spelled, &rows_of_all).unwrap();
            let mut counts = restored.expect("parts of one whole");
            prop_assert_eq!(counts.frequencies(host, threads).unwrap().0.len(), terms.len());
            let matrix: Csr<i32, f64> = narrow(counts.matrix(host, threads, new_columns, &values(Weight::Count, Norm::None)).unwrap());
            prop_assert_eq!(matrix.indptr.len(), texts.len() + 1);
            for (row, expected) in rows.iter().enumerate() {
                let cells = matrix.indptr[row] as usize..matrix.indptr[row + 1] as usize;
                prop_assert!(matrix.indices[cells.clone()].is_sorted());
                let found: BTreeMap<i32, f64> = cells.map(|at| (matrix.indices[at], matrix.data[at])).collect();
                let place = |term: &String| terms.binary_search_by(|known| known.0.cmp(term)).unwrap();
                let column = |term| new_columns.map_or(place(term) as u32, |new| new[place(term)]);
                let expected = expected.iter().map(|(term, &count)| (column(term) as i32, count));
                let expected: BTreeMap<i32, f64> = expected.filter(|&(column, _)| column >= 0).collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn a_transformer_gives_the_rows_of_counts(
            texts in proptest::collection::vec("([a-c]{1,3} ){0,12}", 0..40), size in 1usize..9, threads in 1usize..5,
        ) {
            let vocabulary = ["bb", "aa", "bb cc", "zz"].map(|term| term.as_bytes().into());
            let fixed = Features::Fixed(FixedVocabulary::new(vocabulary.to_vec()).unwrap().into());
            for features in [fixed, Features::Hashed(Buckets { n_features: 7, alternate_sign: true })] {
                let settings = settings(Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=2 }, features);
                let mut counts = Counts::new(settings.clone());
                counts.add(&mut List { texts: &texts, size }, threads).unwrap();
                let values = values(Weight::Count, Norm::L2);
                let expected: AnyCsr<f64> = counts.matrix(&mut List { texts: &[], size }, threads, None, &values).unwrap();
                let transformer = Transformer::new(settings);
                for _ in 0..2 {
                    let host = &mut List { texts: &texts, size };
                    prop_assert_eq!(&transformer.transform::<_, f64>(host, threads, &values).unwrap(), &expected);
                }
            }
        }
    }

    #[test]
    fn a_call_that_fails_adds_nothing() {
        let mut counts = Counts::new(settings(Grams::Chars { sizes: 1..=1 }, Features::Vocabulary));
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        struct Ends<'a>(List<'a>, usize);
        impl Host for Ends<'_> {
            type Error = ();
            type Batch = Vec<String>;
            fn next(&mut self) -> Result<(Vec<String>, bool), ()> {
                self.1 = self.1.checked_sub(1).ok_or(())?;
                self.0.next()
            }
            fn check(&mut self) -> Result<(), ()> {
                Ok(())
            }
        }
        let (good, lost) = (texts(&["ab", "b", "c"]), texts(&["x", "y", "z"]));
        for threads in [1, 3] {
            counts.add(&mut List { texts: &good, size: 2 }, threads).unwrap();
            let ends = &mut Ends(List { texts: &lost, size: 1 }, 2);
            assert!(matches!(counts.add(ends, threads), Err(TextsError::Host(()))));
        }
        let (host, mut terms) = (&mut List { texts: &[], size: 1 }, Vec::new());
        counts.terms(host, 1, |term, documents, _| terms.push((term.to_vec(), documents))).unwrap();
        assert_eq!(terms, [(b"a".to_vec(), 2), (b"b".to_vec(), 4), (b"c".to_vec(), 2)]);
        assert_eq!((counts.rows(), counts.lengths()), (6, vec![2, 1, 1, 2, 1, 1]));
    }

    #[test]
    fn the_first_text_that_fails_is_named() {
        struct Bytes(Vec<Vec<u8>>);
        struct Text(Vec<u8>);
        impl Texts for Text {
            fn len(&self) -> usize {
                1
            }
            fn text(&self, _: usize) -> &[u8] {
                &self.0
            }
        }
        impl Host for Bytes {
            type Error = ();
            type Batch = Text;
            fn next(&mut self) -> Result<(Text, bool), ()> {
                let batch = Text(self.0.remove(0));
                Ok((batch, self.0.is_empty()))
            }
            fn check(&mut self) -> Result<(), ()> {
                Ok(())
            }
        }
        let texts = || {
            Bytes((0..40).map(|n| if n % 7 == 6 { b"a\xFF".to_vec() } else { b"a".repeat(n * 99) }).collect())
        };
        let buckets = Features::Hashed(Buckets { n_features: 7, alternate_sign: true });
        let transformer = Transformer::new(settings(words(), buckets));
        for threads in [1, 2, 8] {
            let failed =
                transformer.transform::<_, f64>(&mut texts(), threads, &values(Weight::Count, Norm::None));
            let Err(TextsError::Text { index, failure }) = failed else { panic!("{failed:?}") };
            assert_eq!((index, failure), (6, Failure::InvalidUtf8(1)));
        }
    }
}
