//! The work of a bowline worker: from text to terms, from terms to rows, from rows to arrays.
//!
//! A module imports only modules to its right: `serve` > `worker` > `tally`, `pieces` > `emit`, `lines` > `texts`, `plan` > `count`,
//! `vocabulary`, `columns` > `cells`, `runs`, `absence`, `matrix_plan` > `segment`, `lexicon`, `hashing`, `idf`, `reader` > `opener`,
//! `encoding` > `documents`, `analyzer` > `protocol`, `failure`, `crash` > `heartbeat`, `row`, `mapped` > `ranges`. No module here
//! depends on the mode, the command line or the terminal. `texts` is the engine of a program that has texts in memory; the modules
//! that it imports start no process, open no file and share no memory.
//!
//! Without the feature `processes`, the crate is that engine alone: analyzers, the lexicon, hashing, segments in private memory, the
//! merge, cells and `texts`. It makes no call of the system but those of the standard library. `mapped` is then `unmapped.rs`, which
//! knows private memory only.

#![cfg_attr(
    not(feature = "processes"),
    expect(dead_code, reason = "what only worker processes need of modules that are the engine's, too")
)]

pub mod about;
pub mod absence;
pub mod analyzer;
pub mod cells;
pub mod columns;
pub mod count;
pub mod counted;
pub mod counted_rows;
#[cfg(feature = "processes")]
pub mod crash;
pub mod dictionary;
#[cfg(feature = "processes")]
pub mod documents;
#[cfg(feature = "processes")]
mod emit;
#[cfg(feature = "processes")]
pub mod encoding;
pub mod failure;
#[cfg(feature = "faults")]
mod faults;
pub mod hashing;
#[cfg(feature = "processes")]
pub mod heartbeat;
pub mod idf;
pub mod key;
pub mod lexicon;
#[cfg(feature = "processes")]
pub mod lines;
#[cfg(feature = "processes")]
pub mod mapped;
#[cfg(not(feature = "processes"))]
#[path = "unmapped.rs"]
pub mod mapped;
pub mod matrix_plan;
pub mod ngram;
#[cfg(feature = "processes")]
pub mod opener;
#[cfg(feature = "processes")]
pub mod pieces;
#[cfg(feature = "processes")]
pub mod plan;
mod private_log;
#[cfg(feature = "processes")]
pub mod protocol;
mod radix;
#[cfg(feature = "processes")]
pub(crate) mod ranges;
#[cfg(feature = "processes")]
pub mod read_limit;
#[cfg(feature = "processes")]
pub mod reader;
#[cfg(feature = "processes")]
pub mod records;
pub mod row;
pub mod runs;
pub mod segment;
#[cfg(feature = "processes")]
pub mod serve;
pub mod spelling;
#[cfg(feature = "processes")]
pub mod split;
#[cfg(feature = "processes")]
pub mod tally;
pub mod texts;
mod vocabulary;
#[cfg(feature = "processes")]
pub mod worker;
