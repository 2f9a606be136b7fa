//! The target `analyze`: see `src/analyze.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::analyze::run(data));
