//! The way of messages between machines: they are late, lost, doubled, and overtake each other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use zoocache_core::Invalidation;

use super::Run;
use super::terms::Terms;
use crate::world::World;

struct Letter {
    from: usize,
    to: usize,
    message: Rc<Invalidation>,
}

pub(super) struct Post {
    /// By the time at which each arrives.
    queue: RefCell<BTreeMap<(u64, u64), Letter>>,
    number: Cell<u64>,
    /// Until when each machine is cut off.
    cut_ns: RefCell<Vec<u64>>,
    is_healthy: Cell<bool>,
}

impl Post {
    pub(super) fn new(machines: usize) -> Self {
        let cut_ns = RefCell::new(vec![0; machines]);
        Self { queue: RefCell::default(), number: Cell::new(0), cut_ns, is_healthy: Cell::new(false) }
    }

    pub(super) fn cut_off(&self, world: &World, machine: usize, for_ns: u64) {
        self.cut_ns.borrow_mut()[machine] = world.now_ns() + for_ns;
    }

    pub(super) fn heal(&self) {
        self.is_healthy.set(true);
        self.cut_ns.borrow_mut().fill(0);
    }

    pub(super) fn is_connected(&self, world: &World, one: usize, other: usize) -> bool {
        [one, other].iter().all(|machine| self.cut_ns.borrow()[*machine] <= world.now_ns())
    }

    /// How long something is on its way.
    pub(super) fn delay_ns(world: &World, terms: &Terms) -> u64 {
        let longest_ns = if world.one_in(10) { 8 * terms.delay_ns } else { terms.delay_ns };
        1 + world.below(longest_ns)
    }

    pub(super) fn send(
        &self,
        world: &World,
        terms: &Terms,
        (from, to): (usize, usize),
        message: &Rc<Invalidation>,
    ) {
        if !self.is_healthy.get() && terms.one_in_lost > 0 && world.one_in(terms.one_in_lost) {
            return;
        }
        let is_doubled = terms.one_in_doubled > 0 && world.one_in(terms.one_in_doubled);
        for _ in 0..=u8::from(is_doubled) {
            self.number.set(self.number.get() + 1);
            let at = (world.now_ns() + Self::delay_ns(world, terms), self.number.get());
            self.queue.borrow_mut().insert(at, Letter { from, to, message: Rc::clone(message) });
            world.step(); // something has happened: who waits for it may look
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    fn due_ns(&self) -> Option<u64> {
        self.queue.borrow().keys().next().map(|(due_ns, _)| *due_ns)
    }

    /// Takes messages to the nodes, until the run is over.
    pub(super) fn carry(run: &Run) {
        let (post, world) = (&run.post, &run.world);
        while !run.is_over() {
            if post.due_ns().is_some_and(|due_ns| due_ns <= world.now_ns()) {
                let letter = post.queue.borrow_mut().pop_first();
                if let Some((_, Letter { from, to, message })) = letter
                    && post.is_connected(world, from, to)
                    && let Some(node) = run.node(to)
                {
                    node.inbox.borrow_mut().push_back(message);
                }
                world.step();
            } else {
                world.wait(post.due_ns());
            }
        }
    }
}
