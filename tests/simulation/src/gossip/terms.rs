//! What a seed decides about nodes that gossip, besides what it does for every ground.

use fastrand::Rng;

use crate::setup::Setup;

/// Whose time is far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    Nobody,
    /// The clock of this machine, by hours.
    Clock(usize),
    /// That of a message which nobody has sent, near the end of all times.
    Message,
}

/// The terms of one run.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct Terms {
    /// How far a clock may be off, as the engines are told.
    pub(super) drift_us: u64,
    pub(super) think_ns: u64,
    pub(super) compute_ns: u64,
    pub(super) delay_ns: u64,
    pub(super) one_in_lost: u64,
    pub(super) one_in_doubled: u64,
    /// Does a node send on what it was sent?
    pub(super) sends_on: bool,
    /// A node asks another for its tail so often.
    pub(super) pull_ns: u64,
    pub(super) store_ns: u64,
    /// Does the store give what was there before, sometimes?
    pub(super) store_lags: bool,
    pub(super) poison: Poison,
    /// So many entries a node keeps in memory.
    pub(super) max_near: Option<usize>,
    /// Does a node that knows nothing raise its floor?
    pub(super) floors: bool,
    /// Does it so, too, if it has missed something, instead of clearing everywhere?
    pub(super) floors_late: bool,
    /// Are dependencies interned when they are found? Else when the value is sealed.
    pub(super) interns_early: bool,
    /// Is what was used as of its header, or as of the entry that was made of it?
    pub(super) binds_by_header: bool,
}

impl Terms {
    pub(super) fn of(setup: &Setup) -> Self {
        let random = &mut Rng::with_seed(setup.seed ^ 0x0060_551b);
        let one_of = |random: &mut Rng, choices: &[u64]| choices[random.usize(..choices.len())];
        let drift_us = one_of(random, &[500_000, 500_000, 20_000]);
        let ns = drift_us * 1_000;
        let poison = match random.u8(..8) {
            0 => Poison::Message,
            1 => Poison::Clock(random.usize(..setup.processes)),
            _ => Poison::Nobody,
        };
        Self {
            drift_us,
            think_ns: one_of(random, &[ns / 200, ns / 10, ns, 3 * ns]),
            compute_ns: one_of(random, &[0, ns / 500, ns / 5, ns]),
            delay_ns: one_of(random, &[ns / 500, ns / 20, ns / 2, 4 * ns]),
            one_in_lost: one_of(random, &[0, 0, 2, 10]),
            one_in_doubled: one_of(random, &[0, 2, 10]),
            sends_on: random.bool(),
            pull_ns: one_of(random, &[ns / 5, 2 * ns, 20 * ns]),
            store_ns: one_of(random, &[0, 1_000, ns / 50]),
            store_lags: random.u8(..4) == 0,
            poison,
            max_near: (random.u8(..4) == 0).then(|| random.usize(..=3)),
            floors: random.bool(),
            floors_late: random.bool(),
            interns_early: random.bool(),
            binds_by_header: random.bool(),
        }
    }

    /// Two clocks differ by no more than this.
    pub(super) fn window_ns(&self) -> u64 {
        2_000 * self.drift_us
    }
}
