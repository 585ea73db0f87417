//! Locks for which a task waits by letting others run. Outside of a simulation they are those of `parking_lot`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{MutexGuard, WaitTimeoutResult};

use super::{block, deadline, is_over, is_running, step};

/// A lock of `T`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        if !is_running() {
            return self.0.lock();
        }
        step();
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            block(None);
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// Who waits is told that something has changed.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    real: parking_lot::Condvar,
    notified: AtomicU64,
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { real: parking_lot::Condvar::new(), notified: AtomicU64::new(0) }
    }

    pub(crate) fn notify_one(&self) {
        self.notify_all();
    }

    pub(crate) fn notify_all(&self) {
        self.notified.fetch_add(1, Ordering::Relaxed);
        self.real.notify_all();
    }

    /// Waits until it is notified, or for `timeout`.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> TimedOut {
        if !is_running() {
            return TimedOut(self.real.wait_for(guard, timeout).timed_out());
        }
        let (seen, until_ns) = (self.notified.load(Ordering::Relaxed), deadline(timeout));
        while self.notified.load(Ordering::Relaxed) == seen {
            if is_over(until_ns) {
                return TimedOut(true);
            }
            release(guard, until_ns);
        }
        TimedOut(false)
    }

    /// Waits while `condition` holds.
    pub(crate) fn wait_while<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        if !is_running() {
            self.real.wait_while(guard, condition);
            return;
        }
        while condition(guard) {
            release(guard, None);
        }
    }

    /// Waits while `condition` holds, or for `timeout`.
    pub(crate) fn wait_while_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) {
        if !is_running() {
            let _: WaitTimeoutResult = self.real.wait_while_for(guard, condition, timeout);
            return;
        }
        let until_ns = deadline(timeout);
        while condition(guard) && !is_over(until_ns) {
            release(guard, until_ns);
        }
    }
}

/// Has the time passed?
pub(crate) struct TimedOut(bool);

impl TimedOut {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

/// Lets others run without the lock. Taking it back must not block the thread, which everybody shares.
fn release<T>(guard: &mut MutexGuard<'_, T>, until_ns: Option<u64>) {
    let mutex = MutexGuard::mutex(guard);
    MutexGuard::unlocked(guard, || {
        block(until_ns);
        while mutex.is_locked() {
            block(None);
        }
    });
}
