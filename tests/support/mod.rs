//! The support of all tests: a directory for each test, runs with a time limit, and readers that share no code with the
//! program.
//!
//! Knows the form of the command line (`embed --output OUT OPTIONS CORPUS`) and the formats of the output. Expectations
//! belong to the tests.

mod dir;
pub mod faults;
mod invocation;
mod matrix;
mod npy;
mod output;
pub mod processes;
mod random;
pub mod wrapper;

pub use dir::Dir;
pub use invocation::{Finished, Invocation, Refused, Running, bowline, repository};
pub use matrix::{Csr, Npz};
pub use npy::Array;
#[cfg(feature = "faults")]
pub use output::assert_same_but_causes;
pub use output::{DocumentLine, Output, assert_costs_only_themselves, assert_same_bytes};
pub use random::Random;
