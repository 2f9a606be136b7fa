//! The target `records`: see `src/records.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::records::run(data));
