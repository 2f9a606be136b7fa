//! Documents that cause faults on purpose (`workers/src/faults.rs`), and limits that end the endless ones soon.

/// All faults, each with its cause in the output if only its document fails.
pub const FAULTS: [(&str, &str); 8] = [
    ("segv", "its worker was killed by SIGSEGV"),
    ("abort", "its worker was killed by SIGABRT"),
    ("overflow", "its worker was killed by SIGSEGV"),
    ("exit", "its worker exited with code 7"),
    ("panic", "the analyzer panicked"),
    ("hang", "timed out"),
    ("memory", "out of memory"),
    ("scribble", "its worker was killed by SIGABRT"),
];

/// The content of a fault document. The text after the first line must not be counted, since the document fails.
pub fn fault(what: &str) -> String {
    format!("bowline-fault: {what}\nonlyinthefault")
}
