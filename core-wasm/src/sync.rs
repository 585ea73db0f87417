//! The atomics of the crate: `core`'s, loom's when the model checker runs, or those of a simulation.
//!
//! Every atomic goes through here, so that no interleaving escapes `tests/loom.rs` or the simulator. Reference
//! counts stay outside: they carry no protocol of ours.

#[cfg(feature = "simulation")]
pub(crate) use crate::simulation::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(any(not(loom), feature = "simulation"))]
pub(crate) use core::sync::atomic::Ordering;
#[cfg(not(any(loom, feature = "simulation")))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(all(loom, not(feature = "simulation")))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
