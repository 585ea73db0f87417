//! Nodes without a common sequencer: each has an engine of its own, as the hosts of the component do, and they tell each
//! other what was invalidated. They share a store of entries.
//!
//! Promised is: (a) nothing is served that was computed before an invalidation which this node has made or applied; (b) nor
//! after it was restored from what was saved after that; (c) when everybody has asked everybody, everything counts
//! everywhere; (d) P8: when nothing happens any more, what is read twice is a hit, and a node takes what another has stored;
//! (e) what a change concerns that was announced here is not served here, and its end counts as an invalidation.

mod client;
mod clock;
mod faults;
mod lives;
mod node;
mod post;
mod promises;
mod reads;
mod settle;
mod store;
mod tails;
mod terms;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use clock::Clock;
use lives::Saved;
use node::Node;
use post::Post;
use promises::Promises;
use store::Store;
use terms::Terms;

use crate::cluster::Outcome;
use crate::judge::Judge;
use crate::machine::Machine;
use crate::setup::Setup;
use crate::truth::LEAVES;
use crate::world::{NOWHERE, World};

/// A run that goes on.
struct Run {
    setup: Setup,
    terms: Terms,
    world: Rc<World>,
    judge: Judge,
    promises: Promises,
    clocks: Vec<Clock>,
    /// Processes have clocks of their own, which are not those of a machine.
    timeless: Arc<Machine>,
    store: Store,
    post: Post,
    /// One for each machine; none while it is down.
    nodes: RefCell<Vec<Option<Rc<Node>>>>,
    saved: RefCell<Vec<Vec<Saved>>>,
    /// Nodes that have begun.
    lives: Cell<u64>,
    /// Tasks that have something left to do.
    busy: Cell<usize>,
    /// Keys that were computed in this round of reads.
    computed: Cell<u64>,
    is_settling: Cell<bool>,
    is_over: Cell<bool>,
}

/// Runs what `setup` says from the beginning to the end.
pub(crate) fn run(setup: Setup, is_told: bool) -> Outcome {
    let terms = Terms::of(&setup);
    let world = World::new(setup.seed, setup.steps_per_switch);
    let run = Rc::new(Run {
        judge: Judge::new(&world, setup.promised(), is_told),
        promises: Promises::default(),
        clocks: (0..setup.processes).map(|_| Clock::new(&world, terms.drift_us)).collect(),
        timeless: Arc::new(Machine::new(0, 0, 0)),
        store: Store::new(terms.store_ns, terms.store_lags),
        post: Post::new(setup.processes),
        nodes: RefCell::new(vec![None; setup.processes]),
        saved: RefCell::new(vec![Vec::new(); setup.processes]),
        lives: Cell::new(0),
        busy: Cell::new(0),
        computed: Cell::new(0),
        is_settling: Cell::new(false),
        is_over: Cell::new(false),
        setup,
        terms,
        world: Rc::clone(&world),
    });
    run.judge.tell(|| format!("{:?} {:?}", run.setup, run.terms));
    run.begin();
    if let Err(cause) = world.run() {
        run.judge.broken("progress", cause);
    }
    run.nodes.borrow_mut().fill(None);
    Outcome {
        violations: run.judge.violations(),
        counts: run.judge.counts.get(),
        story: run.judge.story(),
        trace: world.trace(),
    }
}

impl Run {
    /// Begins the tasks: nodes, some of which come late, the post, and what happens to them.
    fn begin(self: &Rc<Self>) {
        for machine in 0..self.setup.processes {
            let run = Rc::clone(self);
            let is_late = machine > 0 && self.world.one_in(4);
            self.busy.set(self.busy.get() + 1);
            self.world.begin(NOWHERE, move || {
                if is_late {
                    run.world.pause(run.world.below(30 * run.terms.think_ns));
                }
                run.start(machine, None);
                run.busy.set(run.busy.get() - 1);
            });
        }
        let run = Rc::clone(self);
        self.world.begin(NOWHERE, move || Post::carry(&run));
        let run = Rc::clone(self);
        self.world.begin(NOWHERE, move || run.govern());
        if self.world.one_in(2) {
            self.poison();
        }
    }

    fn node(&self, machine: usize) -> Option<Rc<Node>> {
        self.nodes.borrow()[machine].clone()
    }

    fn is_over(&self) -> bool {
        self.is_over.get() || self.judge.is_broken()
    }

    fn is_settling(&self) -> bool {
        self.is_settling.get()
    }

    /// Pauses up to so long.
    fn think(&self, at_most_ns: u64) {
        match self.world.below(at_most_ns + 1) {
            0 => self.world.step(),
            ns => self.world.pause(ns),
        }
    }

    fn key(&self) -> usize {
        let keys = &self.setup.keys;
        keys[usize::try_from(self.world.below(keys.len() as u64)).unwrap_or(0)]
    }

    fn leaf(&self) -> usize {
        usize::try_from(self.world.below(LEAVES.len() as u64)).unwrap_or(0)
    }
}
