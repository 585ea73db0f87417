//! Freeing what nobody will read again.
//!
//! Reads never remove anything. A background thread, started with the first stored entry, looks now and
//! then for entries that are expired or stale and for tags that nothing needs any more, in small steps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use zoocache_core::{Timestamp, Verdict};

use super::{Cache, Shared};
use crate::entry::Entry;
use crate::event::Event;
use crate::storage::Storage;

/// Nodes that one hold of the engine's lock may look at: some tens of microseconds.
const PRUNE_STEP: usize = 512;

#[derive(Default)]
pub(super) struct Sweeper {
    runs: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Sweeper {
    /// The thread is gone (this is a forked child): the next stored entry starts another one.
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
    /// Frees expired and stale entries and forgets tags that nothing needs. Returns how many entries
    /// were freed. The cache does this by itself every `sweep_interval`.
    ///
    /// # Complexity
    /// O(entries + tags), locking one shard of the storage at a time.
    pub fn sweep(&self) -> usize {
        let shared = &*self.shared;
        let now_ms = shared.parts.clock.monotonic_ms();
        let is_dead = |entry: &Entry<V>| {
            entry.is_expired(now_ms)
                || matches!(
                    shared.parts.engine.judge(entry.sealed()),
                    Verdict::Stale | Verdict::Foreign | Verdict::Expired
                )
        };
        let freed = shared.parts.storage.sweep(&is_dead);
        self.prune_until(Timestamp::MAX);
        if freed > 0 {
            shared.observe(&Event::Swept { entries: freed });
        }
        freed
    }

    /// Forgets unneeded tags up to `horizon`, a little at a time, until the whole trie was looked at.
    pub(super) fn prune_until(&self, horizon: Timestamp) -> usize {
        let engine = &self.shared.parts.engine;
        let mut left = engine.stats().nodes;
        let mut pruned = 0;
        while left > 0 {
            pruned += engine.prune(horizon, PRUNE_STEP);
            left = left.saturating_sub(PRUNE_STEP);
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
        Cache { shared }.sweep();
    }
}
