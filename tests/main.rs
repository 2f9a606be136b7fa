//! End-to-end tests. Each runs the built program in its own directory, under a hard time limit.
//!
//! `support` contains the directory, the runs and independent readers of the output. Each other module contains the
//! tests of one subject. A test that needs something that the machine lacks (another user, a small disk) is left out
//! with a notice on standard error.

mod disks;
mod embed;
mod errors;
mod goldens;
mod hostile;
mod identity;
mod inputs;
mod inspect;
mod large;
mod lists;
mod memory;
mod merging;
mod reads;
mod records;
mod reference;
mod supervision;
#[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "some of it is for documents with faults"))]
mod support;
mod vectorizers;
