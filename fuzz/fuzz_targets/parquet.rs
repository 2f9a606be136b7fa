//! The target `parquet`: see `src/parquet.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bowline_fuzz::parquet::run(data));
