//! What every host has: a clock and randomness.

use super::bindings::wasi::clocks::wall_clock;
use super::bindings::wasi::random::random::get_random_u64;
use crate::DomainId;

/// Unix microseconds.
pub(super) fn now() -> u64 {
    let time = wall_clock::now();
    time.seconds.saturating_mul(1_000_000).saturating_add(u64::from(time.nanoseconds / 1_000))
}

/// The name of a domain that nobody else has.
pub(super) fn new_domain() -> DomainId {
    DomainId(u128::from(get_random_u64()) << 64 | u128::from(get_random_u64()))
}

/// Strangers must not know how tags are hashed.
pub(super) fn new_seed() -> u64 {
    get_random_u64()
}
