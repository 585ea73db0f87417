//! What the tasks of a node do: they read, they change things, and they tidy up.

use zoocache_core::{SettleError, Timestamp};

use super::Run;
use super::node::{Announced, Node, tag};
use crate::truth::LEAVES;

impl Node {
    /// Runs operations until there are none left, or its process is killed.
    pub(super) fn work(&self, run: &Run) {
        for _ in 0..run.setup.operations {
            if self.is_over(run) {
                return;
            }
            run.think(run.terms.think_ns);
            self.operate(run);
            run.world.step();
            self.tell(run);
        }
    }

    fn operate(&self, run: &Run) {
        let world = &run.world;
        if world.one_in(run.setup.reads_per_change) {
            match world.below(16) {
                0..10 => self.change(run),
                10..13 => self.announced_change(run),
                13 | 14 => self.tidy(run),
                _ => self.invalidate(run, &["*"]),
            }
        } else if world.one_in(16) {
            self.tidy(run);
        } else {
            self.read(run, run.key());
        }
    }

    /// Writes a leaf, and invalidates it or something above it.
    fn change(&self, run: &Run) {
        let leaf = run.leaf();
        run.judge.write(leaf);
        run.think(run.terms.compute_ns);
        if self.is_over(run) {
            return;
        }
        let other = run.leaf();
        if run.world.one_in(8) {
            self.invalidate(run, &[LEAVES[leaf], LEAVES[other]]);
        } else {
            self.invalidate(run, &[run.tag_above(leaf)]);
        }
    }

    /// Writes a leaf between the announcement and the end of the change; sometimes it never ends.
    fn announced_change(&self, run: &Run) {
        let (judge, world) = (&run.judge, &run.world);
        let leaf = run.leaf();
        let text = run.tag_above(leaf);
        if self
            .announced
            .borrow()
            .iter()
            .any(|mark| mark.tag.trim_end_matches(":*") == text.trim_end_matches(":*"))
        {
            return; // when one of two ends, it could not be said which
        }
        let timeout_us = 1 + world.below(4 * run.terms.drift_us);
        let mark = self.call(run, |engine, now_us| engine.change(&[tag(text)], now_us + timeout_us, now_us));
        let (since_ns, forth_us) = (world.now_ns(), run.clocks[self.machine].forth_us());
        self.announced.borrow_mut().push(Announced { tag: text, since_ns, timeout_us, forth_us });
        // By a clock that may be fast.
        let known = judge.announced(self.place, &[text], since_ns + timeout_us * 998, false);
        run.think(run.terms.compute_ns);
        judge.write(leaf);
        run.think(run.terms.compute_ns);
        if world.one_in(3) || self.is_over(run) {
            // It is given up: the deadline ends it.
            judge.tell(|| "gives its change up".to_owned());
            return;
        }
        let invalidation = judge.invalidation_begins(self.place, &[text]);
        judge.change_ends(known);
        match self.call(run, |engine, now_us| engine.settle(mark, now_us)) {
            Ok(at) => {
                self.announced.borrow_mut().retain(|mark| mark.tag != text);
                self.has_made(run, &invalidation, Ok(at));
            }
            Err(SettleError::Clock(error)) => self.has_made(run, &invalidation, Err(error)),
            Err(error) => judge.broken("mark", format!("process {}: {error}", self.place)),
        }
    }

    /// Frees memory, and forgets what it can.
    fn tidy(&self, run: &Run) {
        let world = &run.world;
        let horizon = |now_us: u64, world: &crate::world::World| match world.below(3) {
            0 => Timestamp::MAX,
            1 => Timestamp::from_micros(now_us),
            _ => Timestamp::from_micros(now_us).saturating_sub(world.below(8 * run.terms.drift_us)),
        };
        match world.below(4) {
            0 => {
                let key = run.key();
                run.judge.tell(|| format!("evicts key {key}"));
                self.near.borrow_mut().remove(&key);
            }
            1 => {
                run.judge.tell(|| "evicts everything".to_owned());
                self.near.borrow_mut().clear();
            }
            2 => {
                let budget = if world.one_in(2) { usize::MAX } else { 3 };
                let many = self.call(run, |engine, now_us| engine.prune(horizon(now_us, world), budget));
                run.judge.tell(|| format!("prunes {many} tags"));
            }
            _ => {
                run.judge.tell(|| "may forget from now on".to_owned());
                self.call(run, |engine, now_us| engine.set_horizon(horizon(now_us, world)));
            }
        }
    }
}
