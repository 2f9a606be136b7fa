//! The target `parquet`: see `src/parquet.rs`.
#![no_main]

// The crate `parquet` panics on some corrupt input, and the reader catches that. libFuzzer's hook would end the process
// before. Without it, a panic that nothing catches still does.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| bowline_fuzz::parquet::run(data));
