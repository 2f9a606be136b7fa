//! A worker's lexicon: the map from terms to numbers, and the row of the current document (`row`).
//!
//! Three counters (`counter`) share the tables of `slots` and `pairs`. `terms` counts terms as they come. `ngrams`
//! counts runs of words by the ids of their parts. `word_chars` counts each distinct word once and then adds the counts
//! of its character n-grams. `numbers` determines a term's number (a local id, a bucket, a column of a fixed
//! vocabulary), once for each distinct term. `table` is the open addressing under both maps, `pages` the memory under
//! it.

mod counter;
mod ngrams;
mod numbers;
mod pages;
mod pairs;
mod row;
mod slots;
mod table;
mod terms;
mod word_chars;

pub use counter::Counter;
pub use ngrams::Ngrams;
pub use numbers::{FixedVocabulary, LocalIds, Numbers, TermFilter};
pub(crate) use pages::prefetch;
pub use row::{Posting, Row};
pub use terms::Terms;
pub use word_chars::WordChars;
