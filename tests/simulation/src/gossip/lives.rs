//! How nodes begin, end, and begin again: from nothing, or from what was saved of an earlier life.

use std::rc::Rc;

use zoocache_core::{Engine, EngineConfig, Order};

use super::Run;
use super::node::{Announced, Node};
use super::reads::DOMAIN;
use crate::truth::Versions;
use crate::world::Place;

/// What a node saved of itself, and what it knew and could tell then.
#[derive(Clone)]
pub(super) struct Saved {
    bytes: Vec<u8>,
    known: Versions,
    tellable: Versions,
    /// Changes that were announced, and until when they stand at least, by the clock.
    announced: Vec<(&'static str, u64)>,
}

impl Run {
    /// Starts a node on a machine, and its tasks.
    pub(super) fn start(self: &Rc<Self>, machine: usize, from: Option<Saved>) {
        let place = self.world.add_process(&self.timeless);
        let node = Rc::new(self.begin_life(place, machine, from));
        self.nodes.borrow_mut()[machine] = Some(Rc::clone(&node));
        let begin = |work: fn(&Node, &Run)| {
            let (run, node) = (Rc::clone(self), Rc::clone(&node));
            self.world.begin(place, move || work(&node, &run));
        };
        begin(Node::listen);
        begin(Node::ask);
        // At the end of a run nothing is to happen any more.
        for _ in (0..self.setup.tasks).filter(|_| !self.is_settling()) {
            self.busy.set(self.busy.get() + 1);
            begin(|node, run| {
                node.work(run);
                run.busy.set(run.busy.get() - 1);
            });
        }
    }

    fn begin_life(&self, place: Place, machine: usize, from: Option<Saved>) -> Node {
        self.lives.set(self.lives.get() + 1);
        let config = EngineConfig {
            domain: DOMAIN,
            order: Order::Gossip,
            max_drift_us: self.terms.drift_us,
            hash_seed: self.setup.seed,
            // A new one for each life.
            node_id: self.lives.get(),
            entries_outside: true,
        };
        let Some(saved) = from else {
            self.judge.tell(|| format!("process {place} begins on machine {machine}, from nothing"));
            let node = Node::new(place, machine, Engine::new(config));
            if self.terms.floors {
                node.raise_floor(self);
            }
            return node;
        };
        self.judge.tell(|| format!("process {place} begins on machine {machine}, from what was saved"));
        let engine = Engine::restore(config, &saved.bytes).expect("invariant: it was saved by an engine");
        let node = Node::new(place, machine, engine);
        self.judge.knows(place, &saved.known);
        self.promises.can_tell(place, &saved.tellable);
        let now_us = self.clocks[machine].now_us(&self.world);
        for (tag, until_us) in saved.announced {
            let timeout_us = until_us.saturating_sub(now_us);
            if timeout_us > 0 {
                let (since_ns, forth_us) = (self.world.now_ns(), self.clocks[machine].forth_us());
                self.judge.announced(place, &[tag], since_ns + timeout_us * 998, false);
                node.announced.borrow_mut().push(Announced { tag, since_ns, timeout_us, forth_us });
            }
        }
        node
    }

    /// Kills the node of a machine.
    pub(super) fn kill(&self, machine: usize) -> bool {
        let Some(node) = self.nodes.borrow_mut()[machine].take() else { return false };
        self.judge.tell(|| format!("process {} is killed", node.place));
        self.world.kill(node.place);
        self.judge.died(node.place);
        true
    }

    /// Lets the node of a machine save what it knows.
    pub(super) fn save(&self, machine: usize) {
        let Some(node) = self.node(machine) else { return };
        let place = node.place;
        self.judge.tell(|| format!("process {place} saves what it knows"));
        // Told the time first, so that it is clear how far marks have come.
        let bytes = node.call(self, |engine, now_us| {
            let _ = engine.expire_marks(now_us);
            engine.snapshot()
        });
        let (now_us, present_ns) = (self.clocks[machine].now_us(&self.world), self.world.now_ns());
        let until = |mark: &Announced| {
            let over_us =
                (present_ns - mark.since_ns) / 998 + 1 + self.clocks[machine].forth_us() - mark.forth_us;
            (mark.tag, now_us + mark.timeout_us.saturating_sub(over_us))
        };
        let announced = node.announced.borrow().iter().map(until).collect();
        let (known, tellable) = (self.judge.known(place), self.promises.told_by(place));
        self.saved.borrow_mut()[machine].push(Saved { bytes, known, tellable, announced });
    }

    /// Something that was saved on a machine.
    pub(super) fn any_saved(&self, machine: usize) -> Option<Saved> {
        let saved = self.saved.borrow();
        let index = usize::try_from(self.world.below(saved[machine].len() as u64)).ok()?;
        saved[machine].get(index).cloned()
    }

    /// Everything that the nodes could tell one another.
    pub(super) fn tellable(&self) -> Versions {
        let nodes = self.nodes.borrow();
        let each = nodes.iter().flatten().map(|node| self.promises.told_by(node.place));
        each.fold(Versions::default(), |all, one| crate::truth::highest(&all, &one))
    }

    /// A tag of a leaf, or of something above it.
    pub(super) fn tag_above(&self, leaf: usize) -> &'static str {
        crate::tasks::tag_above(&self.world, leaf)
    }
}
