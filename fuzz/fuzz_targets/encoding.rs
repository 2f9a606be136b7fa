//! The target `encoding`: see `src/encoding.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::encoding::run(data));
