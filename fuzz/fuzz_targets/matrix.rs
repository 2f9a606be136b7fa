//! The target `matrix`: see `src/matrix.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::matrix::run(data));
