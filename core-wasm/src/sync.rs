//! The atomics of the crate: `core`'s, or loom's when the model checker runs.
//!
//! Every atomic goes through here, so that no interleaving escapes `tests/loom.rs`. Reference
//! counts stay outside: they carry no protocol of ours.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
