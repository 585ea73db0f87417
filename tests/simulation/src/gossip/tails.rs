//! Anti-entropy: a node asks another for its tail, and what it does if that is not all.

use zoocache_core::{Engine, Invalidation, Timestamp};

use super::Run;
use super::node::Node;
use super::post::Post;

impl Node {
    /// Asks others now and then, until its process is killed.
    pub(super) fn ask(&self, run: &Run) {
        let world = &run.world;
        while !self.is_over(run) {
            world.pause(1 + world.below(2 * run.terms.pull_ns));
            let machine = usize::try_from(world.below(run.setup.processes as u64)).unwrap_or(0);
            if machine != self.machine && !self.is_over(run) && !run.is_settling() {
                self.pull(run, machine);
            }
        }
    }

    /// Asks the node of a machine for its tail; it may be in vain.
    pub(super) fn pull(&self, run: &Run, machine: usize) {
        let world = &run.world;
        let Some(peer) = run.node(machine) else { return };
        world.pause(Post::delay_ns(world, &run.terms));
        if world.is_dead(peer.place) || !run.post.is_connected(world, self.machine, machine) {
            return;
        }
        // A position of another life says nothing.
        let known = self.asked.borrow().get(&peer.place).copied().unwrap_or(Timestamp::ZERO);
        let tail = peer.engine.borrow().tail(known);
        world.pause(Post::delay_ns(world, &run.terms));
        if self.is_over(run) || !run.post.is_connected(world, self.machine, machine) {
            return;
        }
        for message in &tail.messages {
            self.hear(run, message);
            world.step();
        }
        if !tail.is_complete {
            self.forget_all(run);
        }
        run.judge
            .tell(|| format!("process {} has asked process {} until {}", self.place, peer.place, tail.to));
        self.asked.borrow_mut().insert(peer.place, tail.to);
        self.tell(run);
    }

    /// Something was missed, which could have concerned anything.
    fn forget_all(&self, run: &Run) {
        if run.terms.floors_late { self.raise_floor(run) } else { self.invalidate(run, &["*"]) }
    }

    /// Takes all that was computed until now for stale.
    pub(super) fn raise_floor(&self, run: &Run) {
        let versions = run.judge.versions_now(&["*"]);
        self.call(run, |engine: &mut Engine, now_us| {
            let floor = Timestamp::from_micros(now_us).max(engine.stats().clock).saturating_add(1);
            engine.raise_floor(floor);
        });
        run.judge.tell(|| format!("process {} raises its floor", self.place));
        run.judge.knows(self.place, &versions);
    }
}

/// A message that nobody sends, with a time near the end.
pub(super) fn forged(run: &Run, text: &str) -> Invalidation {
    let (origin, at) = (u64::MAX, Timestamp::MAX.saturating_sub(run.world.below(20)));
    run.promises.name(origin, at.as_micros(), run.judge.versions_now(&[text]));
    Invalidation { origin, at, tags: vec![super::node::tag(text)] }
}
