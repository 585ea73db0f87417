//! Counters: plain relaxed adds, summed when somebody asks.
//!
//! Each [`Counters`] is striped so that threads that hit different keys do not share a cache line.
//! The sums are not a snapshot of one instant.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

/// What a lookup or a fill ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// A fresh entry was served.
    Hits,
    /// Nothing was stored under the key.
    Misses,
    /// An entry was found, but a dependency had been invalidated.
    Stale,
    /// An entry was found, but its time had run out.
    Expired,
    /// A computed value was not stored because a dependency was invalidated while it was computed.
    BornStale,
    /// A computation failed.
    Errors,
    /// A computation was run.
    Computations,
    /// A caller waited for somebody else's computation.
    Waits,
    /// A wait passed its deadline.
    Timeouts,
    /// An entry that is not fresh was served on purpose.
    StaleServed,
    /// A computation was begun for an entry that could still be served.
    Refreshes,
    /// An entry was found in the storage below the near cache, where processes share them.
    SharedHits,
    /// That storage could not be read or written.
    StorageErrors,
    /// What was found there was damaged, of another format, or not authentic.
    Rejected,
    /// A caller became the one for whom others may wait.
    Leads,
}

const KINDS: usize = Count::Leads as usize + 1;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe([AtomicU64; KINDS]);

/// A set of counters. Cheap to add to from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    stripes: [Stripe; STRIPES],
}

impl Counters {
    /// Adds one.
    #[inline]
    pub fn add(&self, what: Count) {
        self.stripes[stripe_of_this_thread()].0[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub fn sum(&self, what: Count) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0[what as usize].load(Ordering::Relaxed)).sum()
    }
}

#[inline]
fn stripe_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    MINE.with(|stripe| *stripe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_of_all_threads_are_summed() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| counters.add(Count::Hits)));
            }
        });
        assert_eq!(counters.sum(Count::Hits), 8_000);
        assert_eq!(counters.sum(Count::Misses), 0);
    }
}
