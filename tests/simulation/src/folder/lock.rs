//! A lock for which a task waits by letting others run.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use zoocache::simulation::step;

use crate::cluster::running;

/// A lock of `T`, which may be held while others run.
#[derive(Default)]
pub(super) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        step();
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            if let Some(cluster) = running() {
                cluster.world.wait(None);
            }
        }
    }

    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
