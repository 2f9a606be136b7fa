//! End-to-end tests: every one runs the built program in a directory of its own, under a hard time limit.
//!
//! `support` has the directory, the runs and independent readers of the output; a module a subject has the tests.
//! What can't be tried on a machine (another user, a small disk) is left out with a notice on standard error.

mod disks;
mod embed;
mod errors;
mod goldens;
mod hostile;
mod identity;
mod inspect;
mod large;
mod lists;
mod memory;
mod reads;
mod reference;
mod supervision;
#[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "some of it is for documents with faults"))]
mod support;
mod vectorizers;
