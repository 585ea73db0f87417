//! A machine's clocks: one that never goes back and one that people set. Both run a little fast or slow.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use zoocache::WallClock;

/// When all simulations begin: Unix microseconds.
pub(crate) const BEGIN_US: u64 = 1_700_000_000_000_000;

/// The clocks of a machine. Written by the scheduler when time passes.
#[derive(Debug)]
pub(crate) struct Machine {
    boot_ns: AtomicU64,
    wall_us: AtomicU64,
    /// How much faster than the time, in millionths.
    rate_ppm: i64,
    /// When it was started.
    origin_ns: u64,
    offset_us: AtomicI64,
}

impl Machine {
    pub(crate) fn new(rate_ppm: i64, offset_us: i64, origin_ns: u64) -> Self {
        let machine = Self {
            boot_ns: AtomicU64::new(0),
            wall_us: AtomicU64::new(0),
            rate_ppm,
            origin_ns,
            offset_us: AtomicI64::new(offset_us),
        };
        machine.set_time(0);
        machine
    }

    /// So long it takes on this machine until its clock has gone on by so much.
    pub(crate) fn stretched(&self, ns: u64) -> u64 {
        // Each switch of tasks asks this: in 64 bits wherever these suffice, as they do for hours.
        let signed_ns = i64::try_from(ns).ok();
        if let Some(product) = signed_ns.and_then(|ns| ns.checked_mul(self.rate_ppm)) {
            return ns.checked_add_signed(product / 1_000_000).unwrap_or(0);
        }
        let difference = i128::from(ns) * i128::from(self.rate_ppm) / 1_000_000;
        u64::try_from(i128::from(ns) + difference).unwrap_or(0)
    }

    /// The time at which this machine's clock will show this.
    pub(crate) fn time_of(&self, boot_ns: u64) -> u64 {
        let passed_ns = i128::from(boot_ns.saturating_sub(self.origin_ns));
        u64::try_from(passed_ns * 1_000_000 / i128::from(1_000_000 + self.rate_ppm) + 1).unwrap_or(u64::MAX)
    }

    /// So much time has passed since the beginning.
    pub(crate) fn set_time(&self, now_ns: u64) {
        let passed_ns = self.stretched(now_ns);
        self.boot_ns.store(self.origin_ns + passed_ns, Ordering::Relaxed);
        let wall_us =
            (BEGIN_US + passed_ns / 1_000).saturating_add_signed(self.offset_us.load(Ordering::Relaxed));
        self.wall_us.store(wall_us, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, by_us: i64) {
        self.offset_us.fetch_add(by_us, Ordering::Relaxed);
    }

    pub(crate) fn boot_ns(&self) -> u64 {
        self.boot_ns.load(Ordering::Relaxed)
    }
}

impl WallClock for Machine {
    fn now_us(&self) -> u64 {
        self.wall_us.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.boot_ns() / 1_000_000
    }
}
