//! See `src/snapshot.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zoocache_core_fuzz::snapshot::check(bytes));
