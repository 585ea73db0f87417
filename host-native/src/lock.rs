//! Locks for which a forked child can wait, whatever other threads were doing; and that no panic poisons.
//!
//! They are those of the standard library, where who waits is known to the lock alone. A library that queues all who
//! wait in one table of the process (`parking_lot`) is not for us: a thread may be at that table at the moment of a
//! fork, and whoever has to wait in the child, for whatever lock, then waits for ever. A lock that another thread
//! *holds* at that moment stays locked in the child, as everywhere: see [`gate`](crate::gate).

use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Holds a [`Mutex`] until it is dropped.
pub type MutexGuard<'a, T> = std::sync::MutexGuard<'a, T>;

/// Mutual exclusion.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Around `value`.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits until nobody else holds it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if nobody else holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// What it guards; nobody else can hold it now.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it guarded.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits is told that something has changed.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Nobody waits yet.
    pub const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    /// Wakes one thread that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until it is notified, or for `timeout`; says whether that passed. It may return early.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, timeout: Duration) -> (MutexGuard<'a, T>, bool) {
        let (guard, result) = self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner);
        (guard, result.timed_out())
    }

    /// Waits while `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        // The standard library's own loop ends when the lock is poisoned.
        while condition(&mut guard) {
            guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        guard
    }

    /// Waits while `condition` holds, or for `timeout` in all.
    pub fn wait_while_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        let began = now();
        while condition(&mut guard) {
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            (guard, _) = self.wait_for(guard, left);
        }
        guard
    }
}

/// The time by which threads wait, in a simulation too.
#[expect(clippy::disallowed_methods, reason = "a condition waits for the real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;

    use super::{Condvar, Duration, Mutex};

    /// A lock under which somebody has panicked.
    fn panicked() -> Mutex<bool> {
        let lock = Mutex::new(false);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("on purpose");
        }));
        lock
    }

    #[test]
    fn a_panic_poisons_no_lock() {
        let mut lock = panicked();
        assert!(!*lock.lock());
        assert!(lock.try_lock().is_some_and(|guard| !*guard));
        assert!(!*lock.get_mut() && !lock.into_inner());
    }

    #[test]
    fn who_waits_goes_on_waiting_after_a_panic() {
        let forever = Duration::MAX;
        let waits = |wait: &(dyn Fn(&Mutex<bool>, &Condvar) -> bool + Sync)| {
            let (lock, changed, (tell, told)) = (panicked(), Condvar::new(), mpsc::channel());
            thread::scope(|scope| {
                scope.spawn(|| tell.send(wait(&lock, &changed)).expect("somebody listens"));
                // Woken for nothing.
                for _ in 0..1_000 {
                    changed.notify_all();
                    thread::yield_now();
                }
                assert!(told.try_recv().is_err(), "it waits");
                *lock.lock() = true;
                changed.notify_all();
                assert!(told.recv().expect("it ends"));
            });
        };
        waits(&|lock, changed| *changed.wait_while(lock.lock(), |is_over| !*is_over));
        waits(&|lock, changed| *changed.wait_while_for(lock.lock(), |is_over| !*is_over, forever));
    }

    #[test]
    fn who_waits_for_a_time_stops_after_it() {
        let (lock, changed, time) = (Mutex::new(()), Condvar::new(), Duration::from_millis(2));
        drop(changed.wait_while_for(lock.lock(), |()| true, time));
        while !changed.wait_for(lock.lock(), time).1 {}
        assert!(lock.try_lock().is_some());
    }
}
