//! Freeing what nobody will read again.
//!
//! Reads never remove anything. A background thread, started with the first stored entry, looks now and
//! then for entries that are expired or stale and for tags that nothing needs any more, in small steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use zoocache_core::{Timestamp, Verdict};

use super::stand_in::Now;
use super::{Cache, Shared};
use crate::entry::Entry;
use crate::event::Event;
use crate::gate;
use crate::storage::Storage;
use crate::sync::Mutex;

/// Nodes that one hold of the engine's lock may look at: some tens of microseconds.
const PRUNE_STEP: usize = 512;

#[derive(Default)]
pub(super) struct Sweeper {
    runs: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Sweeper {
    /// This is a forked child: the thread is gone. The next stored entry starts another one.
    pub(super) fn forget(&self) {
        *self.thread.lock() = None;
        self.runs.store(false, Ordering::Release);
    }
}

impl<V> Drop for Shared<V> {
    fn drop(&mut self) {
        // Let the thread notice at once that its cache is gone.
        if let Some(thread) = self.sweeper.thread.lock().take() {
            thread.unpark();
        }
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Frees expired and stale entries, unless their [`Retention`](crate::Retention) keeps them, and
    /// forgets tags that nothing needs. Returns how many entries were freed. The cache does this by itself
    /// every `sweep_interval`.
    ///
    /// # Complexity
    /// O(entries + tags), locking one shard of the storage at a time.
    pub fn sweep(&self) -> usize {
        let now = self.now();
        self.sweep_if(&|entry| self.is_dead(entry, now) && !self.is_kept(entry, now))
    }

    /// [`sweep`](Self::sweep) that no retention holds up.
    pub(super) fn sweep_all(&self) -> usize {
        let now = self.now();
        self.sweep_if(&|entry| self.is_dead(entry, now))
    }

    fn is_dead(&self, entry: &Entry<V>, now: Now) -> bool {
        entry.is_expired(now.monotonic_ms)
            || matches!(
                self.shared.parts.engine.judge(entry.sealed()),
                Verdict::Stale | Verdict::Foreign | Verdict::Expired
            )
    }

    fn sweep_if(&self, is_dead: &dyn Fn(&Entry<V>) -> bool) -> usize {
        let shared = &*self.shared;
        let passed = gate::pass();
        let dead = shared.parts.storage.sweep(is_dead);
        let freed = dead.len();
        // With no lock held: dropping a value may run foreign code. Before the gate: it may take locks of
        // its own that must not be held across a fork.
        drop(dead);
        drop(passed);
        let freed = freed + self.sweep_below();
        self.prune_until(Timestamp::MAX);
        if freed > 0 {
            shared.observe(&Event::Swept { entries: freed });
        }
        freed
    }

    /// Forgets unneeded tags up to `horizon`, a little at a time, until there are no more of them.
    pub(super) fn prune_until(&self, horizon: Timestamp) -> usize {
        let _passed = gate::pass();
        let engine = &self.shared.parts.engine;
        let mut pruned = 0;
        // A turn forgets leaves; what was above them is a leaf in the next one.
        for _ in 0..zoocache_core::limits::MAX_TAG_DEPTH {
            let before = pruned;
            let mut left = engine.stats().nodes;
            while left > 0 {
                pruned += engine.prune(horizon, PRUNE_STEP);
                left = left.saturating_sub(PRUNE_STEP);
            }
            if pruned == before {
                break;
            }
        }
        pruned
    }

    /// Starts the background thread unless it runs already.
    #[inline]
    pub(super) fn ensure_sweeper(&self) {
        if !self.shared.sweeper.runs.load(Ordering::Relaxed) {
            self.start_sweeper();
        }
    }

    #[cold]
    fn start_sweeper(&self) {
        #[cfg(feature = "simulation")]
        if crate::simulation::is_running() {
            // It sweeps when it likes.
            return;
        }
        let sweeper = &self.shared.sweeper;
        if sweeper.runs.swap(true, Ordering::AcqRel) {
            return;
        }
        let cache = Arc::downgrade(&self.shared);
        let interval = self.shared.parts.sweep_interval;
        let started = std::thread::Builder::new()
            .name("zoocache-sweep".to_owned())
            .spawn(move || sweep_while_alive(&cache, interval));
        // Without the thread (no more threads allowed) memory is freed by eviction and `sweep` only.
        if let Ok(handle) = started {
            *sweeper.thread.lock() = Some(handle.thread().clone());
        }
    }
}

fn sweep_while_alive<V: Send + Sync + 'static>(cache: &Weak<Shared<V>>, interval: Duration) {
    loop {
        std::thread::park_timeout(interval);
        let Some(shared) = cache.upgrade() else { return };
        let cache = Cache { shared };
        // Foreign code (a value that is dropped, an observer) may panic: that is no reason to free nothing
        // from then on. The panic hook has told of it.
        let _ = catch_unwind(AssertUnwindSafe(|| cache.sweep()));
        // If nobody else has the cache any more, all of it is freed here.
        let _passed = gate::pass();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(cache)));
    }
}
