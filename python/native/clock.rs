//! The clock of the caches: the system's, unless a test has stopped it.
//!
//! Stopped time is one for the whole process, because a test wants "a minute later" for everything that it
//! looks at. A cache that is read then costs one relaxed load more than without this file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;
use zoocache::{SystemClock, WallClock};

/// Reads the system's clocks, or the time at which a test has stopped them.
#[derive(Debug)]
pub(crate) struct StoppableClock;

static STOPPED: AtomicBool = AtomicBool::new(false);
static WALL_US: AtomicU64 = AtomicU64::new(0);
static MONOTONIC_MS: AtomicU64 = AtomicU64::new(0);

impl WallClock for StoppableClock {
    fn now_us(&self) -> u64 {
        if STOPPED.load(Ordering::Relaxed) { WALL_US.load(Ordering::SeqCst) } else { SystemClock.now_us() }
    }

    #[inline]
    fn monotonic_ms(&self) -> u64 {
        if STOPPED.load(Ordering::Relaxed) {
            MONOTONIC_MS.load(Ordering::SeqCst)
        } else {
            SystemClock.monotonic_ms()
        }
    }
}

/// The time that caches read: microseconds since the Unix epoch, and monotonic milliseconds.
#[pyfunction]
pub(crate) fn clock() -> (u64, u64) {
    (StoppableClock.now_us(), StoppableClock.monotonic_ms())
}

/// Stops the clocks at these readings, or moves clocks that stand still.
#[pyfunction]
pub(crate) fn stop_clock(wall_us: u64, monotonic_ms: u64) {
    WALL_US.store(wall_us, Ordering::SeqCst);
    MONOTONIC_MS.store(monotonic_ms, Ordering::SeqCst);
    STOPPED.store(true, Ordering::SeqCst);
}

/// Lets the clocks run again.
#[pyfunction]
pub(crate) fn run_clock() {
    STOPPED.store(false, Ordering::SeqCst);
}
