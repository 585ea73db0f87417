//! One run: the processes, what their tasks do, and how it ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zoocache::{Cache, Consistency, Event, Observer};

use crate::entered::Entered;
use crate::judge::{Counts, Judge, Violation};
use crate::keys;
use crate::machine::Machine;
use crate::net::Net;
use crate::setup::{Ground, Setup};
use crate::tasks;
use crate::value::{Codec, Value};
use crate::world::{NOWHERE, Place, World};

/// A process that takes part.
pub(crate) struct Process {
    pub(crate) place: Place,
    pub(crate) cache: Cache<Arc<Value>>,
}

/// A run that goes on.
pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) world: Rc<World>,
    pub(crate) judge: Judge,
    pub(crate) net: Rc<Net>,
    machines: Vec<Arc<Machine>>,
    /// One for each machine; none while it is down.
    pub(crate) processes: RefCell<Vec<Option<Rc<Process>>>>,
    /// Tasks of clients that have something left to do.
    pub(crate) busy: Cell<usize>,
}

/// What became of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: Counts,
    pub(crate) story: Vec<String>,
    pub(crate) trace: u64,
}

thread_local! {
    /// The run of this thread: observers have to be able to cross threads.
    static RUN: RefCell<Option<Rc<Cluster>>> = const { RefCell::new(None) };
}

/// Runs what `setup` says from the beginning to the end.
pub(crate) fn run(setup: Setup, is_told: bool) -> Outcome {
    if setup.ground == Ground::Gossip {
        return crate::gossip::run(setup, is_told);
    }
    fastrand::seed(setup.seed);
    let world = World::new(setup.seed, setup.steps_per_switch);
    let judge = Judge::new(&world, setup.promised(), is_told);
    let machines = (0..setup.processes).map(|_| Arc::new(machine(&world))).collect();
    let processes = RefCell::new((0..setup.processes).map(|_| None).collect());
    let busy = Cell::new(0);
    let server = world.machine(world.add_process(&Arc::new(machine(&world))));
    let net = Rc::new(Net::new(server, setup.weather));
    let entered = Entered(Rc::clone(&world), Rc::clone(&net));
    let cluster = Rc::new(Cluster { setup, world: Rc::clone(&world), judge, net, machines, processes, busy });
    zoocache::simulation::enter(Some(Rc::new(entered)));
    RUN.set(Some(Rc::clone(&cluster)));
    cluster.judge.tell(|| format!("{:?}", cluster.setup));
    for number in 0..cluster.setup.processes {
        cluster.start(number);
    }
    let ending = Rc::clone(&cluster);
    world.begin(NOWHERE, move || tasks::govern(&ending));
    let ran = world.run();
    if let Err(cause) = ran {
        cluster.judge.broken("progress", cause);
    }
    RUN.set(None);
    zoocache::simulation::enter(None);
    if !cluster.judge.is_broken() {
        // Else tasks may still hold on to it.
    }
    Outcome {
        violations: cluster.judge.violations(),
        counts: cluster.judge.counts.get(),
        story: cluster.judge.story(),
        trace: world.trace(),
    }
}

fn machine(world: &World) -> Machine {
    let rate_ppm = i64::try_from(world.below(2_001)).unwrap_or(0) - 1_000;
    let offset_us = i64::try_from(world.below(20_000_001)).unwrap_or(0) - 10_000_000;
    Machine::new(rate_ppm, offset_us, 1_000_000_000 + world.below(1 << 40))
}

impl Cluster {
    /// Starts a process on a machine, and its tasks.
    pub(crate) fn start(self: &Rc<Self>, machine: usize) {
        let place = self.world.add_process(&self.machines[machine]);
        let cluster = Rc::clone(self);
        self.busy.set(self.busy.get() + 1);
        self.world.begin(place, move || {
            let process = Rc::new(Process { place, cache: cluster.open(place) });
            cluster.judge.tell(|| "has started".to_owned());
            cluster.processes.borrow_mut()[machine] = Some(Rc::clone(&process));
            for _ in 0..cluster.setup.tasks {
                let (cluster, process) = (Rc::clone(&cluster), Rc::clone(&process));
                cluster.busy.set(cluster.busy.get() + 1);
                let world = Rc::clone(&cluster.world);
                world.begin(place, move || {
                    tasks::client(&cluster, &process);
                    cluster.busy.set(cluster.busy.get() - 1);
                });
            }
            cluster.busy.set(cluster.busy.get() - 1);
        });
    }

    /// Somebody sets a machine's clock.
    pub(crate) fn jump(&self, machine: usize, by_us: i64) {
        self.machines[machine].jump(by_us);
        if by_us > 0 {
            let jumped = Arc::clone(&self.machines[machine]);
            self.judge.marks_may_have_ended(|place| Arc::ptr_eq(&self.world.machine(place), &jumped));
        }
    }

    /// Kills the process of a machine.
    pub(crate) fn kill(&self, machine: usize) -> bool {
        let Some(process) = self.processes.borrow_mut()[machine].take() else { return false };
        self.judge.tell(|| format!("process {} is killed", process.place));
        self.world.kill(process.place);
        self.judge.died(process.place);
        true
    }

    fn open(self: &Rc<Self>, place: Place) -> Cache<Arc<Value>> {
        let mut builder = Cache::builder().clock(self.world.machine(place)).observer(Arc::new(Watching));
        if let Some(entries) = self.setup.max_entries {
            builder = builder.max_entries(entries);
        }
        match self.setup.ground {
            // Nodes that gossip have engines, and no caches.
            Ground::Memory | Ground::Gossip => {}
            Ground::Redis => builder = builder.redis("redis://simulated", Codec),
            Ground::Bus => builder = builder.bus("redis://simulated"),
        }
        let consistency = match self.setup.delta_ns {
            Some(delta_ns) => Consistency::Bounded(Duration::from_nanos(delta_ns)),
            None => Consistency::Strong,
        };
        builder = builder.consistency(consistency).max_age(Duration::from_millis(self.setup.max_age_ms));
        builder.build().expect("invariant: the settings are right")
    }
}

/// Tells the checker what a cache does.
struct Watching;

impl Observer for Watching {
    fn on_event(&self, event: &Event<'_>) {
        let Some(cluster) = RUN.with_borrow(Clone::clone) else { return };
        match event {
            Event::Filled { key, .. } => cluster.judge.stored(cluster.world.here(), keys::number(key)),
            Event::StorageFailed { error } => cluster.judge.failed(error),
            _ => {}
        }
    }
}
