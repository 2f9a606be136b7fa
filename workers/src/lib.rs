//! All that a bowline worker knows: text to terms, terms to rows, rows to arrays.
//!
//! Imports run down this list: `serve` > `worker` > `tally`, `emit`, `lines`, `vocabulary` > `absence`, `plan` > `segment`,
//! `lexicon`, `hashing`, `idf`, `reader` > `opener` > `documents`, `analyzer` > `protocol`, `failure`, `crash` > `heartbeats`, `row`, `mapped` > `ranges`. Nothing here knows the
//! mode, the command line or the terminal.

pub mod absence;
pub mod analyzer;
pub mod crash;
pub mod documents;
mod emit;
pub mod failure;
#[cfg(feature = "faults")]
mod faults;
pub mod hashing;
pub mod heartbeat;
pub mod idf;
pub mod lexicon;
pub mod lines;
pub mod mapped;
pub mod opener;
pub mod plan;
pub mod protocol;
pub(crate) mod ranges;
pub mod read_limit;
pub mod reader;
pub mod row;
pub mod segment;
pub mod serve;
pub mod tally;
mod vocabulary;
pub mod worker;
