//! The work of a bowline worker: from text to terms, from terms to rows, from rows to arrays.
//!
//! A module imports only modules to its right: `serve` > `worker` > `tally`, `pieces` > `emit`, `lines` > `texts`, `plan` > `count`,
//! `vocabulary`, `columns` > `cells`, `runs`, `absence`, `matrix_plan` > `segment`, `lexicon`, `hashing`, `idf`, `reader` > `opener`,
//! `encoding` > `documents`, `analyzer` > `protocol`, `failure`, `crash` > `heartbeat`, `row`, `mapped` > `ranges`. No module here
//! depends on the mode, the command line or the terminal. `texts` is the engine of a program that has texts in memory; the modules
//! that it imports start no process, open no file and share no memory.

pub mod about;
pub mod absence;
pub mod analyzer;
pub mod cells;
pub mod columns;
pub mod count;
pub mod counted;
pub mod counted_rows;
pub mod crash;
pub mod dictionary;
pub mod documents;
mod emit;
pub mod encoding;
pub mod failure;
#[cfg(feature = "faults")]
mod faults;
pub mod hashing;
pub mod heartbeat;
pub mod idf;
pub mod lexicon;
pub mod lines;
pub mod mapped;
pub mod matrix_plan;
pub mod ngram;
pub mod opener;
pub mod pieces;
pub mod plan;
pub mod protocol;
mod radix;
pub(crate) mod ranges;
pub mod read_limit;
pub mod reader;
pub mod records;
pub mod row;
pub mod runs;
pub mod segment;
pub mod serve;
pub mod spelling;
pub mod split;
pub mod tally;
pub mod texts;
mod vocabulary;
pub mod worker;
