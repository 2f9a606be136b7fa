//! The target `segment`: see `src/segment.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bowline_fuzz::segment::run(data);
});
