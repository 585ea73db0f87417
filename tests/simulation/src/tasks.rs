//! What the tasks of a process do: they read, they change things, and they do what few programs do.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zoocache::simulation::computing;
use zoocache::{Error, Fill, Finish, Lookup, Tolerance, current_fill};

use crate::cluster::{Cluster, Process};
use crate::judge::Reading;
use crate::keys::{Declared, Recipe, name, recipe};
use crate::net::Weather;
use crate::setup::Ground;
use crate::truth::{LEAVES, Versions, highest};
use crate::value::Value;
use crate::world::World;

/// Runs a client's operations until there are none left, or its process is killed.
pub(crate) fn client(cluster: &Rc<Cluster>, process: &Rc<Process>) {
    let run = Client { cluster, process };
    for _ in 0..cluster.setup.operations {
        if run.is_over() {
            return;
        }
        run.think(cluster.setup.think_ns);
        run.operate();
    }
}

/// Frees what is dead and forgets what is old, now and then, as long as clients work.
pub(crate) fn janitor(cluster: &Rc<Cluster>, process: &Rc<Process>) {
    let (world, judge) = (&cluster.world, &cluster.judge);
    loop {
        world.pause(5_000_000 + world.below(50_000_000));
        if world.is_dead(process.place) || judge.is_broken() || cluster.busy.get() == 0 {
            return;
        }
        process.cache.sweep();
    }
}

/// Does in a process what the background does: it frees what is dead, now and then.
pub(crate) fn sweeper(cluster: &Rc<Cluster>, process: &Rc<Process>) {
    let run = Client { cluster, process };
    for _ in 0..cluster.setup.operations / 3 {
        if run.is_over() {
            return;
        }
        run.think(4 * cluster.setup.think_ns.max(20_000));
        process.cache.sweep();
    }
}

/// Lets clients work, with faults; then checks that all is well again.
pub(crate) fn govern(cluster: &Rc<Cluster>) {
    let world = &cluster.world;
    for _ in 0..cluster.setup.faults {
        world.pause(world.below(20 * cluster.setup.think_ns.max(50_000)));
        crate::faults::happen(cluster);
    }
    let healthy = Weather { one_in_fails: 0, one_in_lost: 0, ..cluster.setup.weather };
    cluster.net.heal(healthy);
    cluster.folder.heal();
    if !world.wait_until(600_000_000_000, || cluster.busy.get() == 0 || cluster.judge.is_broken()) {
        cluster.judge.broken("progress", "some tasks never end".to_owned());
    }
    if !cluster.judge.is_broken() {
        settle(cluster);
    }
    // Others may run while a cache ends.
    let ended = cluster.processes.take();
    cluster.processes.replace(vec![None; ended.len()]);
    drop(ended);
}

/// P8: when nothing happens any more, whatever is read twice is a hit. Each process has had something to do before,
/// twice: so it knows how late it is, and what the others have found out by then.
fn settle(cluster: &Rc<Cluster>) {
    let (world, processes) = (&cluster.world, cluster.processes.borrow().clone());
    if cluster.setup.ground == Ground::Folder {
        // A clock that was set back keeps marks for longer.
        world.pause(cluster.set_back_us.get() * 1_001);
    }
    for is_expected in [false, false, true] {
        world.pause(10_000_000_000);
        for process in processes.iter().flatten() {
            let done = Rc::new(Cell::new(false));
            let (own, process, flag) = (Rc::clone(cluster), Rc::clone(process), Rc::clone(&done));
            world.begin(process.place, move || {
                Client { cluster: &own, process: &process }.read_all_twice(is_expected);
                flag.set(true);
            });
            if !world.wait_until(600_000_000_000, || done.get()) {
                cluster.judge.broken("progress", "a read never ends".to_owned());
                return;
            }
        }
    }
}

/// The tag of a leaf, or of something above it.
pub(crate) fn tag_above(world: &World, leaf: usize) -> &'static str {
    let leaf = LEAVES[leaf];
    let parent = leaf.rsplit_once(':').map_or(leaf, |(parent, _)| parent);
    match world.below(20) {
        0 => "*",
        1 | 2 => leaf.split(':').next().unwrap_or(leaf),
        3..7 => parent,
        7 if parent == "a:b" => "a:b:*",
        _ => leaf,
    }
}

/// Why something is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// A read that began then.
    By(u64),
    /// Whether or not it is stored.
    Ahead,
    /// The same, and whoever else computes it.
    Beside,
}

struct Client<'a> {
    cluster: &'a Rc<Cluster>,
    process: &'a Rc<Process>,
}

type Computed = Result<Arc<Value>, Error>;

impl Client<'_> {
    fn is_over(&self) -> bool {
        self.cluster.world.is_dead(self.process.place) || self.cluster.judge.is_broken()
    }

    /// Pauses up to so long.
    fn think(&self, at_most_ns: u64) {
        let world = &self.cluster.world;
        let ns = world.below(at_most_ns + 1);
        if ns > 0 { world.pause(ns) } else { world.step() }
    }

    /// Reads every key twice; is a hit expected, as nothing happens meanwhile?
    fn read_all_twice(&self, is_expected: bool) {
        let Self { cluster, process } = self;
        for key in cluster.setup.keys.clone() {
            self.read(key);
            let is_kept = recipe(key).ttl_ms.is_none() && cluster.setup.max_entries.is_none();
            if self.read(key) && is_expected && is_kept {
                let why = process.cache.explain(name(key));
                cluster.judge.broken(
                    "P8",
                    format!("process {} computes key {key} twice in a row: {why:?}", process.place),
                );
            }
        }
    }

    fn key(&self) -> usize {
        let keys = &self.cluster.setup.keys;
        keys[usize::try_from(self.cluster.world.below(keys.len() as u64)).unwrap_or(0)]
    }

    fn operate(&self) {
        let world = &self.cluster.world;
        if world.one_in(self.cluster.setup.reads_per_change) {
            match world.below(16) {
                0..10 => self.change(),
                10 | 11 => self.announced_change(),
                12 => self.refresh(),
                13 => self.delete(),
                14 => self.tidy(),
                _ => self.replace(),
            }
        } else {
            match world.below(16) {
                0 => self.look(),
                1 => self.read_stale(self.key()),
                _ => drop(self.read(self.key())),
            }
        }
    }

    // ---- Reads -------------------------------------------------------------------------------------

    /// Reads a key; says whether it was computed for this.
    fn read(&self, key: usize) -> bool {
        let judge = &self.cluster.judge;
        let reading = judge.read_begins(self.process.place, key);
        let (value, is_own) = self.value(key, &reading, false);
        if let Ok(value) = &value {
            judge.read_ends(&reading, value, is_own);
        }
        is_own
    }

    /// The value of a key, and whether it was computed for this.
    fn value(&self, key: usize, reading: &Reading, may_be_stale: bool) -> (Computed, bool) {
        let mut is_own = false;
        let recipe = recipe(key);
        let policy = recipe.policy().cluster_lock(self.cluster.setup.has_locks && key.is_multiple_of(2));
        let value = self.process.cache.get_or_compute(name(key), &policy, |fill| {
            is_own = true;
            Ok::<_, Error>(self.compute(key, &recipe, fill, Asked::By(reading.began), may_be_stale))
        });
        (value, is_own)
    }

    fn compute(
        &self,
        key: usize,
        recipe: &Recipe,
        fill: &Fill,
        asked: Asked,
        may_be_stale: bool,
    ) -> Arc<Value> {
        let (judge, compute_ns) = (&self.cluster.judge, self.cluster.setup.compute_ns);
        let by_reader = if let Asked::By(began) = asked { Some(began) } else { None };
        let needs_no_reason = by_reader.is_none() || recipe.ttl_ms.is_some();
        let (place, since) = (self.process.place, by_reader.unwrap_or_else(|| judge.next()));
        let number = judge.fill_begins(place, key, since, asked == Asked::Beside, needs_no_reason);
        if judge.is_broken() {
            // Also if nobody is told: what a run does must not depend on that.
            let why = self.process.cache.explain(name(key));
            judge.tell(|| format!("{why:?}"));
        }
        let (mut seen, mut is_tainted) = (Versions::default(), false);
        let mut read = |leaf: usize, declared: Declared| {
            self.think(compute_ns);
            if declared == Declared::Before {
                self.depend_on(fill, LEAVES[leaf]);
            }
            self.think(compute_ns);
            seen[leaf] = judge.truth.read(leaf);
            if declared == Declared::After {
                self.think(compute_ns);
                self.depend_on(fill, LEAVES[leaf]);
            }
        };
        for (leaf, declared) in recipe.reads {
            read(*leaf, *declared);
        }
        if let Some(leaf) = recipe.sometimes
            && judge.truth.read(0).is_multiple_of(2)
        {
            read(leaf, Declared::After);
        }
        for inner in recipe.keys {
            self.think(compute_ns);
            let (value, was_stale) = self.inner(*inner, may_be_stale);
            if let Some(value) = value {
                seen = highest(&seen, &value.seen);
                is_tainted |= was_stale || value.is_tainted;
            }
        }
        self.think(compute_ns);
        Arc::new(judge.fill_ends(number, seen, is_tainted))
    }

    fn depend_on(&self, fill: &Fill, tag: &str) {
        fill.depend_on_text(tag).expect("invariant: leaves are tags");
        self.cluster.world.step();
    }

    /// A key that is read inside of a computation, and whether it was stale on purpose.
    fn inner(&self, key: usize, may_be_stale: bool) -> (Option<Arc<Value>>, bool) {
        if may_be_stale && let Some(value) = self.stand_in(key) {
            return (Some(value), true);
        }
        let judge = &self.cluster.judge;
        let reading = judge.read_begins(self.process.place, key);
        let (value, is_own) = self.value(key, &reading, may_be_stale);
        if let Ok(value) = &value {
            judge.read_ends(&reading, value, is_own);
        }
        (value.ok(), false)
    }

    /// What is stored under a key, if it is not fresh any more.
    fn stand_in(&self, key: usize) -> Option<Arc<Value>> {
        let (cache, name) = (&self.process.cache, name(key));
        if let Lookup::Hit(_) = cache.lookup(&name) {
            return None;
        }
        let stand_in =
            cache.stand_in(&name, &Tolerance { expired_ms: u64::MAX, invalidated_ms: u64::MAX })?;
        self.cluster.world.step();
        cache.absorb_stand_in(current_fill().as_ref(), &stand_in.entry);
        self.cluster.judge.count(|counts| counts.stand_ins += 1);
        Some(Arc::clone(stand_in.entry.value()))
    }

    /// Only what is there.
    fn look(&self) {
        let key = self.key();
        let judge = &self.cluster.judge;
        let reading = judge.read_begins(self.process.place, key);
        if let Some(value) = self.process.cache.get(name(key)) {
            judge.read_ends(&reading, &value, false);
        }
    }

    /// Takes what is stale and computes it anew; or takes what is stale inside of a computation.
    fn read_stale(&self, key: usize) {
        if self.stand_in(key).is_some() {
            self.compute_aside(key, false);
        } else {
            let judge = &self.cluster.judge;
            let reading = judge.read_begins(self.process.place, key);
            let (value, is_own) = self.value(key, &reading, true);
            if let Ok(value) = value {
                judge.read_ends(&reading, &value, is_own);
            }
        }
    }

    // ---- Changes -----------------------------------------------------------------------------------

    /// Writes a leaf, and invalidates it or something above it.
    fn change(&self) {
        let leaf = self.leaf();
        self.cluster.judge.write(leaf);
        self.think(self.cluster.setup.compute_ns);
        if !self.is_over() {
            self.invalidate(&[tag_above(&self.cluster.world, leaf)]);
        }
    }

    fn leaf(&self) -> usize {
        usize::try_from(self.cluster.world.below(LEAVES.len() as u64)).unwrap_or(0)
    }

    fn invalidate(&self, tags: &[&str]) {
        let judge = &self.cluster.judge;
        let invalidation = judge.invalidation_begins(self.process.place, tags);
        let told = self.process.cache.invalidate(tags);
        judge.invalidation_returns(&invalidation, told.is_ok());
        if let Ok(position) = told
            && self.cluster.world.one_in(4)
        {
            self.read_after(position);
        }
    }

    /// P6: whoever has reached a position knows of it; here the process that was given it does.
    fn read_after(&self, position: zoocache::Timestamp) {
        if !self.process.cache.has_reached(position) && !self.is_over() {
            self.cluster.judge.tell(|| "has not reached its own position".to_owned());
        }
        self.read(self.key());
    }

    /// Writes a leaf between the announcement and the end of the change; sometimes it never ends.
    fn announced_change(&self) {
        let (judge, world) = (&self.cluster.judge, &self.cluster.world);
        let leaf = self.leaf();
        let tag = tag_above(&self.cluster.world, leaf);
        let timeout_ms = 1 + world.below(50);
        let tags = [zoocache::Tag::parse(tag).expect("invariant: these are tags")];
        // By a clock that may be fast.
        let deadline_ns = world.now_ns() + timeout_ms * 998_000;
        let (failures, set_forth) = (judge.failures(self.process.place), judge.times_set_forth());
        let Ok(mark) = self.process.cache.change(&tags, Duration::from_millis(timeout_ms)) else { return };
        // It goes on here, and nowhere else, if others could not be told.
        let is_told = judge.failures(self.process.place) == failures;
        // If a clock was set forth meanwhile, it may have ended already.
        let concerned: &[&str] = if judge.times_set_forth() > set_forth { &[] } else { &[tag] };
        let known = judge.announced(self.process.place, concerned, deadline_ns, is_told);
        self.think(self.cluster.setup.compute_ns);
        judge.write(leaf);
        self.think(self.cluster.setup.compute_ns);
        if world.one_in(4) || self.is_over() {
            // It is given up: the deadline ends it.
            judge.change_ends(known);
            judge.tell(|| "gives its change up".to_owned());
            return;
        }
        let invalidation = judge.invalidation_begins(self.process.place, &[tag]);
        judge.change_ends(known);
        match self.process.cache.settle(mark) {
            Ok(_) => judge.invalidation_returns(&invalidation, true),
            Err(Error::Settle(_)) => self.invalidate(&[tag]),
            Err(_) => judge.invalidation_returns(&invalidation, false),
        }
    }

    // ---- What few programs do ----------------------------------------------------------------------

    /// Computes a key although it may be stored.
    fn refresh(&self) {
        let (key, place) = (self.key(), self.process.place);
        self.cluster.judge.touching(place, key, || self.compute_aside(key, true));
    }

    /// Computes a key as its flight, unless there is one; or beside whatever there is.
    fn compute_aside(&self, key: usize, is_beside: bool) {
        let (cache, name) = (&self.process.cache, name(key));
        let leader =
            if is_beside { Some(cache.lead_alone(&name, None, false)) } else { cache.lead_refresh(&name) };
        let Some(leader) = leader else { return };
        let recipe = recipe(key);
        leader.declare(&recipe.policy());
        let fill = Arc::clone(leader.fill());
        let asked = if is_beside { Asked::Beside } else { Asked::Ahead };
        let value = computing(&fill, || self.compute(key, &recipe, &fill, asked, false));
        leader.finish_with(value, Finish::default());
    }

    fn delete(&self) {
        let (key, place) = (self.key(), self.process.place);
        let judge = &self.cluster.judge;
        judge.tell(|| format!("deletes key {key}"));
        let (began, failures) = (judge.next(), judge.failures(place));
        judge.touching(place, key, || self.process.cache.delete(name(key)));
        let has_failed = judge.failures(place) != failures;
        match self.cluster.setup.ground {
            // What cannot be deleted in a folder is still there, and its caller was told.
            Ground::Folder if has_failed => {}
            ground => judge.deleted(place, key, began, ground != Ground::Bus && !has_failed),
        }
        judge.tell(|| format!("has deleted key {key}"));
    }

    /// Frees what is dead, and forgets what it can.
    fn tidy(&self) {
        let cache = &self.process.cache;
        self.cluster.judge.tell(|| "tidies up".to_owned());
        match self.cluster.world.below(3) {
            0 => drop(cache.sweep()),
            1 => drop(cache.prune(Duration::ZERO)),
            _ => drop(cache.prune(Duration::from_millis(1))),
        }
    }

    fn replace(&self) {
        if self.cluster.world.one_in(3) {
            let judge = &self.cluster.judge;
            let invalidation = judge.invalidation_begins(self.process.place, &["*"]);
            let told = self.process.cache.clear();
            judge.invalidation_returns(&invalidation, told.is_ok());
        } else {
            self.refresh();
        }
    }
}
