//! Locks for which a task waits by letting others run. Outside of a simulation they are those of [`lock`].

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lock;

use super::{block, deadline, is_over, is_running, step};

/// A lock of `T`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(lock::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(lock::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        if !is_running() {
            return MutexGuard { mutex: self, held: self.0.lock() };
        }
        step();
        self.taken()
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if is_running() {
            step();
        }
        self.0.try_lock().map(|held| MutexGuard { mutex: self, held })
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Waiting for it must not block the thread, which everybody shares.
    fn taken(&self) -> MutexGuard<'_, T> {
        loop {
            if let Some(held) = self.0.try_lock() {
                return MutexGuard { mutex: self, held };
            }
            block(None);
        }
    }
}

/// Holds a [`Mutex`] until it is dropped.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: lock::MutexGuard<'a, T>,
}

impl<T> MutexGuard<'_, T> {
    /// Lets others run without the lock.
    fn released(self, until_ns: Option<u64>) -> Self {
        let mutex = self.mutex;
        drop(self);
        block(until_ns);
        mutex.taken()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

/// Who waits is told that something has changed.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    real: lock::Condvar,
    notified: AtomicU64,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { real: lock::Condvar::new(), notified: AtomicU64::new(0) }
    }

    pub(crate) fn notify_one(&self) {
        self.notify_all();
    }

    pub(crate) fn notify_all(&self) {
        self.notified.fetch_add(1, Ordering::Relaxed);
        self.real.notify_all();
    }

    /// Waits until it is notified, or for `timeout`; says whether that passed.
    pub(crate) fn wait_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        if !is_running() {
            let MutexGuard { mutex, held } = guard;
            let (held, timed_out) = self.real.wait_for(held, timeout);
            return (MutexGuard { mutex, held }, timed_out);
        }
        let (seen, until_ns) = (self.notified.load(Ordering::Relaxed), deadline(timeout));
        while self.notified.load(Ordering::Relaxed) == seen {
            if is_over(until_ns) {
                return (guard, true);
            }
            guard = guard.released(until_ns);
        }
        (guard, false)
    }

    /// Waits while `condition` holds, or for `timeout`.
    pub(crate) fn wait_while_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        if !is_running() {
            let MutexGuard { mutex, held } = guard;
            return MutexGuard { mutex, held: self.real.wait_while_for(held, condition, timeout) };
        }
        let until_ns = deadline(timeout);
        while condition(&mut guard) && !is_over(until_ns) {
            guard = guard.released(until_ns);
        }
        guard
    }
}
