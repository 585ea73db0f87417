//! The locks of the crate: those of [`lock`](crate::lock), or those of a simulation.
//!
//! Every lock that is held while something else could run goes through here, so that a simulation decides who does.

#[cfg(not(feature = "simulation"))]
pub(crate) use crate::lock::{Condvar, Mutex, MutexGuard};
#[cfg(feature = "simulation")]
pub(crate) use crate::simulation::locks::{Condvar, Mutex, MutexGuard};

#[cfg(feature = "simulation")]
pub(crate) use crate::simulation::undisturbed;

/// Runs what is run under a lock that does not go through here: a simulation runs nothing else meanwhile.
#[cfg(not(feature = "simulation"))]
#[inline]
pub(crate) fn undisturbed<R>(work: impl FnOnce() -> R) -> R {
    work()
}
