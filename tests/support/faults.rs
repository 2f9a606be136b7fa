//! Documents that do harm on purpose (`workers/src/faults.rs`), and limits under which those that know no end soon do.

/// What there is, and what each is told as where it costs only itself.
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

/// The content of a fault document. What follows the first line must not be counted, since it fails.
pub fn fault(what: &str) -> String {
    format!("bowline-fault: {what}\nonlyinthefault")
}
