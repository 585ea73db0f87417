//! See `src/entry.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zoocache_fuzz::entry::check(bytes));
