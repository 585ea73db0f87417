//! See `src/range.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zoocache_fuzz::range::check(bytes));
