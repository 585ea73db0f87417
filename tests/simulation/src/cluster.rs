//! One run: the processes, what their tasks do, and how it ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zoocache::engine::NativeEngine;
use zoocache::simulation::build_over;
use zoocache::{Builder, Cache, Consistency, Event, Observer};

use crate::entered::Entered;
use crate::folder::{Folder, FolderRows, FolderSequencer};
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
    pub(crate) folder: Arc<Folder>,
    machines: Vec<Arc<Machine>>,
    /// Which process runs on each machine, from its beginning on.
    places: RefCell<Vec<Option<Place>>>,
    /// One for each machine; none while it is down.
    pub(crate) processes: RefCell<Vec<Option<Rc<Process>>>>,
    /// Tasks of clients that have something left to do.
    pub(crate) busy: Cell<usize>,
    /// How far wall clocks were set back, all in all.
    pub(crate) set_back_us: Cell<u64>,
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

/// The run of this thread.
pub(crate) fn running() -> Option<Rc<Cluster>> {
    RUN.with_borrow(Clone::clone)
}

/// Runs what `setup` says from the beginning to the end.
pub(crate) fn run(setup: Setup, is_told: bool) -> Outcome {
    if setup.ground == Ground::Gossip {
        return crate::gossip::run(setup, is_told);
    }
    fastrand::seed(setup.seed);
    let world = World::new(setup.seed, setup.steps_per_switch);
    let judge = Judge::new(&world, setup.promised(), is_told);
    let mut machines: Vec<_> = (0..setup.processes).map(|_| Arc::new(machine(&world))).collect();
    if setup.ground == Ground::Folder {
        // All of them are the same.
        machines = vec![Arc::clone(&machines[0]); setup.processes];
    }
    let processes = RefCell::new((0..setup.processes).map(|_| None).collect());
    let places = RefCell::new(vec![None; setup.processes]);
    let (busy, set_back_us, folder) = (Cell::new(0), Cell::new(0), Folder::new());
    let server = world.machine(world.add_process(&Arc::new(machine(&world))));
    let net = Rc::new(Net::new(server, setup.weather));
    let entered = Entered(Rc::clone(&world), Rc::clone(&net));
    let world_there = Rc::clone(&world);
    let cluster = Cluster {
        setup,
        world: world_there,
        judge,
        net,
        folder,
        machines,
        places,
        processes,
        busy,
        set_back_us,
    };
    let cluster = Rc::new(cluster);
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
    cluster.net.close();
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
        self.places.borrow_mut()[machine] = Some(place);
        self.begin(place, move |cluster| {
            let Some(cache) = cluster.open(place).filter(|_| !cluster.world.is_dead(place)) else { return };
            let process = Rc::new(Process { place, cache });
            cluster.judge.tell(|| "has started".to_owned());
            if !cluster.judge.is_broken() {
                cluster.processes.borrow_mut()[machine] = Some(Rc::clone(&process));
            }
            if matches!(cluster.setup.ground, Ground::Redis | Ground::Bus) {
                let (cluster, process) = (Rc::clone(cluster), Rc::clone(&process));
                let world = Rc::clone(&cluster.world);
                world.begin(place, move || tasks::janitor(&cluster, &process));
            }
            for _ in 0..cluster.setup.tasks {
                let process = Rc::clone(&process);
                cluster.begin(place, move |cluster| tasks::client(cluster, &process));
            }
            if cluster.setup.ground == Ground::Folder {
                cluster.begin(place, move |cluster| tasks::sweeper(cluster, &process));
            }
        });
    }

    /// Begins a task whose end is waited for.
    fn begin(self: &Rc<Self>, place: Place, work: impl FnOnce(&Rc<Self>) + 'static) {
        let cluster = Rc::clone(self);
        self.busy.set(self.busy.get() + 1);
        self.world.begin(place, move || {
            work(&cluster);
            cluster.busy.set(cluster.busy.get() - 1);
        });
    }

    /// Somebody sets a machine's clock.
    pub(crate) fn jump(&self, machine: usize, by_us: i64) {
        self.machines[machine].jump(by_us);
        self.judge.clock_was_set();
        if by_us > 0 {
            let jumped = Arc::clone(&self.machines[machine]);
            self.judge.marks_may_have_ended(|place| Arc::ptr_eq(&self.world.machine(place), &jumped));
        } else {
            self.set_back_us.set(self.set_back_us.get() + by_us.unsigned_abs());
        }
    }

    /// Kills the process of a machine.
    pub(crate) fn kill(&self, machine: usize) -> bool {
        let Some(place) = self.places.borrow_mut()[machine].take() else { return false };
        let process = self.processes.borrow_mut()[machine].take();
        self.judge.tell(|| format!("process {place} is killed"));
        self.world.kill(place);
        self.judge.died(place);
        drop(process);
        true
    }

    /// A process dies by itself, here and now; another one comes in its place.
    pub(crate) fn die(self: &Rc<Self>, place: Place) {
        let machine = self.places.borrow().iter().position(|there| *there == Some(place));
        let Some(machine) = machine.filter(|machine| self.kill(*machine)) else { return };
        self.begin(NOWHERE, move |cluster| {
            cluster.world.pause(cluster.world.below(1_000_000));
            cluster.start(machine);
        });
    }

    /// What a process opens when it begins; nothing, if it is killed before.
    fn open(self: &Rc<Self>, place: Place) -> Option<Cache<Arc<Value>>> {
        let mut builder = Cache::builder().clock(self.world.machine(place)).observer(Arc::new(Watching));
        if let Some(entries) = self.setup.max_entries {
            builder = builder.max_entries(entries);
        }
        match self.setup.ground {
            // Nodes that gossip have engines, and no caches.
            Ground::Memory | Ground::Gossip => {}
            Ground::Folder => return self.open_folder(place, builder),
            Ground::Redis => builder = builder.redis("redis://simulated", Codec),
            Ground::Bus => builder = builder.bus("redis://simulated"),
        }
        let consistency = match self.setup.delta_ns {
            Some(delta_ns) => Consistency::Bounded(Duration::from_nanos(delta_ns)),
            None => Consistency::Strong,
        };
        builder = builder.consistency(consistency).max_age(Duration::from_micros(self.setup.max_age_us));
        Some(builder.build().expect("invariant: the settings are right"))
    }

    fn open_folder(&self, place: Place, mut builder: Builder<Arc<Value>>) -> Option<Cache<Arc<Value>>> {
        if let Some(entries) = self.setup.near_entries {
            builder = builder.near_entries(entries);
        }
        builder = builder.use_interval(Duration::from_millis(1));
        while !self.world.is_dead(place) {
            let machine = self.world.machine(place);
            let opened = self.folder.open(place).and_then(|(handle, new_domain)| {
                let max_age_us = self.setup.max_age_us;
                let (sequencer, domain) =
                    FolderSequencer::open(handle.clone(), machine, max_age_us, new_domain)?;
                Ok((sequencer, domain, FolderRows::new(handle, self.setup.max_entries)))
            });
            match opened {
                Ok((sequencer, domain, rows)) => {
                    let engine = NativeEngine::following_a_log(domain, self.world.below(u64::MAX));
                    let below = (Arc::new(rows) as _, Arc::new(Codec) as _);
                    let built = build_over(builder, Arc::new(engine), Arc::new(sequencer), below);
                    return Some(built.expect("invariant: the settings are right"));
                }
                Err(_) => self.world.pause(1_000_000),
            }
        }
        None
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
