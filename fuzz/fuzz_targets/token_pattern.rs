//! The target `token_pattern`: see `src/token_pattern.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::token_pattern::run(data));
