//! See `src/header.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zoocache_core_fuzz::header::check(bytes));
