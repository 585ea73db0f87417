//! A node's clock: it runs a little fast or slow, and people set it, within what was agreed; unless it is poisoned.

use std::cell::Cell;

use crate::machine::BEGIN_US;
use crate::world::World;

/// Positions count on by one when things happen at the same time: so far they may run ahead of a clock.
const AHEAD_US: u64 = 1_000;

pub(super) struct Clock {
    rate_ppm: i64,
    offset_us: Cell<i64>,
    bound_us: i64,
    /// So far it is ahead of what it would show otherwise.
    poison_us: Cell<u64>,
    /// How far it was set forth, all in all.
    forth_us: Cell<u64>,
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Clock {
    pub(super) fn new(world: &World, drift_us: u64) -> Self {
        let clock = Self {
            rate_ppm: signed(world.below(2_001)) - 1_000,
            offset_us: Cell::new(0),
            bound_us: signed(drift_us - AHEAD_US),
            poison_us: Cell::new(0),
            forth_us: Cell::new(0),
        };
        clock.set(world);
        clock.forth_us.set(0);
        clock
    }

    pub(super) fn now_us(&self, world: &World) -> u64 {
        let passed_us = world.now_ns() / 1_000;
        (BEGIN_US + passed_us).saturating_add_signed(self.off_us(passed_us)) + self.poison_us.get()
    }

    /// How far it is off: whoever keeps clocks right sees to it that it is no more.
    fn off_us(&self, passed_us: u64) -> i64 {
        let off_us = self.offset_us.get() + signed(passed_us) * self.rate_ppm / 1_000_000;
        off_us.clamp(-self.bound_us, self.bound_us)
    }

    /// Somebody sets it; often as wrongly as can be. Says whether it went forth.
    pub(super) fn set(&self, world: &World) -> bool {
        let passed_us = world.now_ns() / 1_000;
        let before_us = self.off_us(passed_us);
        let to_us = match world.below(4) {
            0 => self.bound_us,
            1 => -self.bound_us,
            _ => signed(world.below(self.bound_us.unsigned_abs() * 2)) - self.bound_us,
        };
        self.offset_us.set(to_us - signed(passed_us) * self.rate_ppm / 1_000_000);
        self.went(to_us.saturating_sub(before_us))
    }

    fn went(&self, by_us: i64) -> bool {
        let forth_us = u64::try_from(by_us).unwrap_or(0);
        self.forth_us.set(self.forth_us.get() + forth_us);
        forth_us > 0
    }

    /// Sets it hours ahead.
    pub(super) fn poison(&self, by_us: u64) {
        self.poison_us.set(by_us);
        self.went(signed(by_us));
    }

    pub(super) fn heal(&self) {
        self.poison_us.set(0);
    }

    /// Is it hours ahead?
    pub(super) fn is_poisoned(&self) -> bool {
        self.poison_us.get() > 0
    }

    pub(super) fn forth_us(&self) -> u64 {
        self.forth_us.get()
    }
}
