//! The target `vocabulary`: see `src/vocabulary.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::vocabulary::run(data));
