//! Reading time.
//!
//! Owns the one seam through which the host learns what time it is ([`WallClock`]), the system's
//! implementation and one that tests move by hand. Safety never depends on these readings: positions in
//! a domain are ordered by the engine's clock, and time decides only expiry, ages and deadlines.
//! This is the only file that may read a clock, or sleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Lets this thread sleep. For waiting on other processes, who can wake nobody.
pub(crate) fn pause(time: Duration) {
    #[cfg(feature = "simulation")]
    if crate::simulation::pause(time) {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    std::thread::sleep(time);
}

/// Nanoseconds of a clock that never goes back and goes on while the machine is suspended.
#[cfg(feature = "redis")]
#[inline]
pub(crate) fn boot_ns() -> u64 {
    #[cfg(target_os = "linux")]
    const BOOT: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const BOOT: ClockId = ClockId::Monotonic;
    #[cfg(feature = "simulation")]
    if let Some(now_ns) = crate::simulation::boot_ns() {
        return now_ns;
    }
    let now = clock_gettime(BOOT);
    // Never negative: the origin is the machine's start.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Nanoseconds of a clock that never goes back, for measuring how long something takes.
#[inline]
pub(crate) fn elapsed_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Never negative: the origin is the machine's start.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The longest that the coarse clock stands still.
#[cfg(feature = "redis")]
pub(crate) const COARSE_STEP_NS: u64 = 10_000_000;

/// Nanoseconds of the clock that never goes back, as the kernel refreshes it every 1 to 10 ms.
#[cfg(feature = "redis")]
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    #[cfg(target_os = "linux")]
    const COARSE: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const COARSE: ClockId = ClockId::Monotonic;
    #[cfg(feature = "simulation")]
    if let Some(now_ns) = crate::simulation::boot_ns() {
        return now_ns - now_ns % (COARSE_STEP_NS / 2);
    }
    let now = clock_gettime(COARSE);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Where a cache reads the time. All methods must be cheap and must not block.
pub trait WallClock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch. May jump in both directions.
    fn now_us(&self) -> u64;

    /// Milliseconds of a clock that never goes back. Its origin is arbitrary but fixed in a process.
    ///
    /// Called on every hit of an entry that can expire: a resolution of some milliseconds is enough,
    /// a system call is not acceptable.
    fn monotonic_ms(&self) -> u64;
}

/// The operating system's clocks.
///
/// `monotonic_ms` reads `CLOCK_MONOTONIC_COARSE`, which the kernel refreshes every 1 to 10 ms and
/// which costs a few nanoseconds because it never leaves user space. It does not count the time a
/// machine was suspended.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now_us(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    #[inline]
    fn monotonic_ms(&self) -> u64 {
        #[cfg(target_os = "linux")]
        const COARSE: ClockId = ClockId::MonotonicCoarse;
        #[cfg(not(target_os = "linux"))]
        const COARSE: ClockId = ClockId::Monotonic;
        let now = clock_gettime(COARSE);
        // Never negative: the origin is the machine's start.
        now.tv_sec.cast_unsigned() * 1_000 + now.tv_nsec.cast_unsigned() / 1_000_000
    }
}

/// A clock that stands still until it is moved; for tests and simulations.
///
/// ```
/// use zoocache::{ManualClock, WallClock};
/// let clock = ManualClock::at(1_000_000);
/// clock.advance_ms(5);
/// assert_eq!(clock.now_us(), 1_005_000);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    wall_us: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock whose wall time is `wall_us` microseconds since the Unix epoch.
    pub const fn at(wall_us: u64) -> Self {
        Self { wall_us: AtomicU64::new(wall_us), monotonic_ms: AtomicU64::new(1) }
    }

    /// Moves both clocks forward by `ms` milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.wall_us.fetch_add(ms.saturating_mul(1_000), Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or NTP would; the monotonic clock does not notice.
    pub fn set_wall_us(&self, wall_us: u64) {
        self.wall_us.store(wall_us, Ordering::SeqCst);
    }
}

impl WallClock for ManualClock {
    fn now_us(&self) -> u64 {
        self.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }
}
