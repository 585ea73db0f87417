//! See `src/log.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zoocache_core_fuzz::log::check(bytes));
