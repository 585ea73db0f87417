//! The end of a run: all is well again, everything is told, and then whatever is read twice is a hit.

use std::cell::Cell;
use std::rc::Rc;

use super::Run;
use super::node::Node;
use super::terms::Poison;
use crate::keys::recipe;

/// Time enough for whatever waits.
const LONG_NS: u64 = 600_000_000_000;

/// So often all keys are read on all nodes until everything is found: what was used is computed anew first, and what nodes
/// find out by headers, one thing after the other, is told on. If it took longer, it would for ever.
const ROUNDS: u64 = 15;

impl Run {
    /// Lets nodes work, with faults; then checks that all is well again.
    pub(super) fn govern(self: &Rc<Self>) {
        let world = &self.world;
        for _ in 0..self.setup.faults {
            world.pause(world.below(8 * self.terms.think_ns));
            self.fault();
        }
        if !world.wait_until(LONG_NS, || self.busy.get() == 0 || self.judge.is_broken()) {
            self.judge.broken("progress", "some tasks never end".to_owned());
        }
        if !self.judge.is_broken() {
            self.settle();
        }
        self.is_over.set(true);
    }

    fn settle(self: &Rc<Self>) {
        self.judge.tell(|| "all is well from now on".to_owned());
        self.is_settling.set(true);
        self.post.heal();
        self.store.heal();
        if let Poison::Clock(machine) = self.terms.poison {
            // Its positions are hours ahead, and would be for hours.
            self.clocks[machine].heal();
            self.kill(machine);
            self.start(machine, None);
        }
        // Announced changes that were given up come to their end.
        self.world.pause(6 * self.terms.window_ns());
        self.everywhere(|node, run| {
            let _ = node.call(run, zoocache_core::Engine::expire_marks);
            node.tell(run);
        });
        self.drain();
        self.tell_everything();
        for round in 1..=ROUNDS {
            self.world.pause(3 * self.terms.window_ns());
            self.judge.tell(|| format!("round {round} of reads"));
            self.computed.set(0);
            self.everywhere(if round == ROUNDS { Node::expect_all } else { Node::read_all });
            self.drain();
            if self.computed.get() == 0 || self.judge.is_broken() {
                return;
            }
        }
    }

    /// Everybody asks everybody; so each knows whatever anybody can tell.
    fn tell_everything(self: &Rc<Self>) {
        let tellable = self.tellable();
        self.everywhere(|node, run| {
            for machine in (0..run.setup.processes).filter(|machine| *machine != node.machine) {
                node.pull(run, machine);
            }
        });
        self.drain();
        for node in self.nodes.borrow().iter().flatten() {
            self.judge.knows(node.place, &tellable);
        }
    }

    /// Waits until all messages have arrived.
    fn drain(&self) {
        let is_quiet = || {
            let nodes = self.nodes.borrow();
            self.post.is_empty() && nodes.iter().flatten().all(|node| node.inbox.borrow().is_empty())
        };
        if !self.world.wait_until(LONG_NS, || is_quiet() || self.judge.is_broken()) {
            self.judge.broken("P8", "messages go round for ever".to_owned());
        }
    }

    /// Lets all nodes do something, one after the other.
    fn everywhere(self: &Rc<Self>, work: fn(&Node, &Run)) {
        let nodes = self.nodes.borrow().clone();
        for node in nodes.into_iter().flatten() {
            let done = Rc::new(Cell::new(false));
            let (run, flag) = (Rc::clone(self), Rc::clone(&done));
            self.world.begin(node.place, move || {
                work(&node, &run);
                flag.set(true);
            });
            if !self.world.wait_until(LONG_NS, || done.get()) {
                self.judge.broken("progress", "a task never ends".to_owned());
            }
        }
    }
}

impl Node {
    /// Forgets all that it has in memory, and reads every key twice.
    fn read_all(&self, run: &Run) {
        self.read_each(run, false);
    }

    /// The same, and everything must be found.
    fn expect_all(&self, run: &Run) {
        self.read_each(run, true);
    }

    fn read_each(&self, run: &Run, is_expected: bool) {
        self.near.borrow_mut().clear();
        for key in run.setup.keys.clone() {
            for number in ["first", "second"] {
                let is_hit = self.read(run, key);
                run.world.step();
                self.tell(run);
                if is_hit || recipe(key).ttl_ms.is_some() {
                    continue;
                }
                run.computed.set(run.computed.get() + 1);
                if is_expected {
                    let what =
                        format!("computes key {key} at its {number} read, though nothing happens any more");
                    run.judge.broken("P8", format!("process {} {what}", self.place));
                }
            }
        }
    }
}
