//! How long things take: histograms of fixed buckets, filled by those who compute, store and listen.
//!
//! A cache has them only if it was built to ([`crate::Builder::timings`]), and a hit never touches them. Adds are
//! relaxed; what is read is not a snapshot of one instant.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::elapsed_ns;

/// Buckets with an upper bound. One more holds what is above all of them.
const BOUNDS: usize = 23;
/// The first bound is 16 microseconds, and each is twice the one before: the last is a little above a minute.
const FIRST_US: u64 = 16;

/// Counts of durations.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS + 1],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BOUNDS + 1], sum_ns: AtomicU64::new(0) }
    }
}

/// What a [`Histogram`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// How many were at most as long as the bound of the same place in [`Histogram::bounds_us`], and longer than the one
    /// before; the last is of those longer than all bounds.
    pub counts: Vec<u64>,
    /// All of them together, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// The upper bounds of the buckets, in microseconds, without the last one, which has none.
    pub fn bounds_us() -> impl Iterator<Item = u64> {
        (0..BOUNDS).map(|index| FIRST_US << index)
    }

    /// Adds a duration.
    pub fn add_ns(&self, ns: u64) {
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What has been added until now.
    pub fn read(&self) -> Durations {
        Durations {
            counts: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

fn bucket(ns: u64) -> usize {
    // How often the first bound has to be doubled.
    let times = ns.div_ceil(FIRST_US * 1_000).max(1);
    let index = u64::BITS - (times - 1).leading_zeros();
    (index as usize).min(BOUNDS)
}

/// What goes to where entries rest outside of the process, and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trip {
    /// An entry, or the log, is read.
    Read,
    /// An entry is stored or deleted, or something is invalidated.
    Write,
}

/// The histograms of one cache.
#[derive(Debug, Default)]
pub struct Timings {
    /// Computations that ended with a value.
    pub fills: Histogram,
    /// Reads of what rests outside of the process.
    pub reads: Histogram,
    /// Writes of it.
    pub writes: Histogram,
    /// How long ago something was invalidated when the server's message of it arrived here.
    pub lag: Histogram,
}

impl Timings {
    fn of(&self, trip: Trip) -> &Histogram {
        match trip {
            Trip::Read => &self.reads,
            Trip::Write => &self.writes,
        }
    }

    /// Measures a trip.
    pub(crate) fn time<R>(&self, trip: Trip, make: impl FnOnce() -> R) -> R {
        let began = Stopwatch::start();
        let result = make();
        self.of(trip).add_ns(began.elapsed_ns());
        result
    }

    /// Measures a trip that is awaited.
    #[cfg(feature = "redis")]
    pub(crate) async fn time_async<R>(&self, trip: Trip, make: impl Future<Output = R>) -> R {
        let began = Stopwatch::start();
        let result = make.await;
        self.of(trip).add_ns(began.elapsed_ns());
        result
    }
}

/// Says how much time has passed since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(u64);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(elapsed_ns())
    }

    /// Nanoseconds since the start.
    pub fn elapsed_ns(&self) -> u64 {
        elapsed_ns().saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let bounds: Vec<u64> = Histogram::bounds_us().collect();
        for ns in
            [0, 1, 15_999, 16_000, 16_001, 31_999, 32_000, 32_001, 1_000_000, 67_108_864_000, 67_108_864_001]
        {
            let histogram = Histogram::default();
            histogram.add_ns(ns);
            let expected = bounds.iter().position(|bound| ns <= bound * 1_000).unwrap_or(bounds.len());
            let read = histogram.read();
            assert_eq!(read.counts.iter().position(|count| *count == 1), Some(expected), "{ns}");
            assert_eq!(read.sum_ns, ns);
        }
        Histogram::default().add_ns(u64::MAX);
    }

    #[test]
    fn nothing_is_lost_among_threads() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|times| histogram.add_ns(times * 20_000)));
            }
        });
        assert_eq!(histogram.read().counts.iter().sum::<u64>(), 4_000);
    }
}
