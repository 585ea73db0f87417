//! Randomness of the operating system's, for names that must differ between processes: a forked child inherits the
//! state of every generator that lives in the process.

use rustix::rand::{GetRandomFlags, getrandom};

/// A random number.
pub(crate) fn random_u64() -> u64 {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_running() {
        return fastrand::u64(..);
    }
    let mut bytes = [0; 8];
    // It gives so few bytes at once, or none on a system too early in its start.
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        _ => fastrand::u64(..) ^ u64::from(std::process::id()).rotate_left(32),
    }
}

/// A random number that is not 0.
pub(crate) fn random_nonzero() -> u64 {
    random_u64().max(1)
}

pub(crate) fn random_u128() -> u128 {
    u128::from(random_u64()) << 64 | u128::from(random_u64())
}
