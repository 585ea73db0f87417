//! Fill x invalidate x read x prune, on two tags and two threads: every pair of short programs, each under every
//! interleaving.
//!
//! The source of truth is a number for each tag. A read must not return a number older than that of a write whose
//! invalidation had returned before the read began; and an entry is refused only for an invalidation that came after
//! its fill began.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Plain};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use zoocache_core::{DependencySet, DomainId, Engine, EngineConfig, Header, Sealed, Signals, Timestamp};

use crate::{NOW, tag};

const DOMAIN: DomainId = DomainId(1);
/// What the value depends on: a tag, and whatever lies below another.
const DEPENDENCIES: [&str; 2] = ["a:b", "a:c:*"];
/// What is written.
const WRITTEN: [&str; 2] = ["a:b", "a:c:d"];

/// One step of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Fill,
    Read,
    /// Writes one of the numbers and invalidates its tag.
    Write(usize),
    Prune,
    /// Invalidates what nothing depends on, close by: then a reader has to walk.
    Elsewhere,
}

const OPS: [Op; 5] = [Op::Fill, Op::Read, Op::Write(0), Op::Write(1), Op::Prune];

/// Where entries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    InMemory,
    /// As headers, which hold no node of the trie.
    Outside,
}

enum Freshness {
    Sealed(Sealed),
    Header(Header),
}

struct Entry {
    freshness: Freshness,
    as_of: Timestamp,
    numbers: [u64; 2],
}

struct World {
    kept: Kept,
    engine: Mutex<Engine>,
    signals: Arc<Signals>,
    /// One number in each half.
    source: AtomicU64,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    entry: Option<Arc<Entry>>,
    /// The numbers of the latest writes whose invalidations have returned.
    promised: [u64; 2],
}

impl World {
    fn new(kept: Kept) -> Self {
        let config = EngineConfig { entries_outside: kept == Kept::Outside, ..EngineConfig::new(DOMAIN) };
        let engine = Engine::new(config);
        let signals = engine.signals().clone();
        let (engine, store) = (Mutex::new(engine), Mutex::new(Store::default()));
        Self { kept, engine, signals, source: AtomicU64::new(0), store }
    }

    fn store(&self) -> loom::sync::MutexGuard<'_, Store> {
        self.store.lock().expect("no panic")
    }

    fn engine(&self) -> loom::sync::MutexGuard<'_, Engine> {
        self.engine.lock().expect("no panic")
    }

    fn run(&self, program: &[Op]) {
        for op in program {
            self.step(*op);
        }
    }

    fn step(&self, op: Op) {
        match op {
            Op::Fill => self.fill(),
            Op::Read => drop(self.read()),
            Op::Write(place) => self.write(place),
            Op::Elsewhere => drop(self.engine().invalidate(&[tag("a:q")], NOW)),
            Op::Prune => drop(self.engine().prune(Timestamp::MAX, usize::MAX)),
        }
    }

    fn fill(&self) {
        let fill = self.engine().begin(NOW);
        let as_of = fill.as_of();
        // A change of nothing reads the latest.
        let numbers = numbers(self.source.fetch_add(0, Ordering::AcqRel));
        let dependencies: DependencySet = {
            let mut engine = self.engine();
            DEPENDENCIES.iter().map(|text| engine.intern(&tag(text))).collect()
        };
        let sealed = self.engine().seal(fill, &dependencies, Timestamp::MAX, NOW);
        let Ok(sealed) = sealed else { return };
        let freshness = match self.kept {
            Kept::InMemory => Freshness::Sealed(sealed),
            Kept::Outside => {
                Freshness::Header(sealed.header(&self.signals, DOMAIN, NOW, 0).expect("one domain"))
            }
        };
        let entry = Some(Arc::new(Entry { freshness, as_of, numbers }));
        let replaced = std::mem::replace(&mut self.store().entry, entry);
        drop(replaced);
    }

    fn read(&self) -> Option<Arc<Entry>> {
        let (need, entry) = {
            let store = self.store();
            (store.promised, store.entry.clone()?)
        };
        let is_fresh = match &entry.freshness {
            Freshness::Sealed(sealed) => {
                let proved = sealed.is_proved(&self.signals);
                proved || sealed.judge(&self.signals).is_fresh()
            }
            Freshness::Header(header) => self.engine().judge(header, NOW).is_fresh(),
        };
        if !is_fresh {
            return None;
        }
        for (number, need) in entry.numbers.iter().zip(need) {
            assert!(*number >= need, "an old value is served");
        }
        Some(entry)
    }

    fn write(&self, place: usize) {
        let before = self.source.fetch_add(if place == 0 { 1 } else { 1 << 32 }, Ordering::AcqRel);
        self.engine().invalidate(&[tag(WRITTEN[place])], NOW).expect("positions are left");
        let promised = &mut self.store().promised[place];
        *promised = (numbers(before)[place] + 1).max(*promised);
    }

    /// When nothing else goes on.
    fn end(&self) {
        let hit = self.read();
        let entry = self.store().entry.clone();
        let latest = WRITTEN.map(|text| self.engine().latest(&tag(text)));
        if let Some(entry) = entry {
            let is_covered = latest.iter().any(|at| *at > entry.as_of);
            assert!(hit.is_none() || !is_covered, "fresh for ever");
            // A floor may be that of another tag.
            let is_exact = self.kept == Kept::InMemory;
            assert!(hit.is_some() || is_covered || !is_exact, "a false death");
        }
        self.fill();
        assert!(self.read().is_some(), "nothing is ever a hit");
    }
}

fn numbers(source: u64) -> [u64; 2] {
    [source & 0xffff_ffff, source >> 32]
}

/// Leaves out what no order of steps makes a difference to; and, as it takes long and shows nothing new, what prunes,
/// or writes the same number, twice.
fn are_of_interest(before: &[Op], one: &[Op], two: &[Op]) -> bool {
    let count = |wanted: Op| one.iter().chain(two).filter(|op| **op == wanted).count();
    let writes = [count(Op::Write(0)), count(Op::Write(1))];
    let has_entry = before.contains(&Op::Fill) || count(Op::Fill) > 0;
    let repeats = |ops: &[Op]| ops.windows(2).any(|pair| pair[0] == pair[1]);
    let is_short = !repeats(one) && !repeats(two) && count(Op::Prune) < 2 && !writes.contains(&2);
    has_entry && writes != [0, 0] && is_short
}

fn programs(steps: usize) -> Vec<Vec<Op>> {
    let longer = |programs: Vec<Vec<Op>>| {
        programs.into_iter().flat_map(|program| OPS.map(|op| [&program[..], &[op]].concat())).collect()
    };
    (0..steps).fold(vec![Vec::new()], |programs, _| longer(programs))
}

/// Runs all pairs of programs of so many steps after `before`, and says how many executions there were.
fn explore(kept: Kept, before: &'static [Op], steps: [usize; 2]) {
    let executions = Arc::new(AtomicUsize::new(0));
    for (place, one) in programs(steps[0]).into_iter().enumerate() {
        // Both threads are alike.
        let known = if steps[0] == steps[1] { place } else { 0 };
        for two in programs(steps[1]).into_iter().skip(known) {
            if !are_of_interest(before, &one, &two) {
                continue;
            }
            let (one, executions) = (one.clone(), executions.clone());
            let mut model = loom::model::Builder::new();
            model.max_branches = 10_000;
            model.check(move || {
                executions.fetch_add(1, Plain::Relaxed);
                let world = Arc::new(World::new(kept));
                world.run(before);
                let other = thread::spawn({
                    let (world, one) = (world.clone(), one.clone());
                    move || world.run(&one)
                });
                world.run(&two);
                other.join().expect("no panic");
                world.end();
            });
        }
    }
    println!("{} executions", executions.load(Plain::Relaxed));
}

#[test]
fn programs_on_entries_in_memory() {
    explore(Kept::InMemory, &[], [2, 2]);
}

#[test]
fn programs_on_an_entry_that_is_proved() {
    explore(Kept::InMemory, &[Op::Fill], [2, 2]);
}

#[test]
fn programs_on_an_entry_that_is_walked() {
    explore(Kept::InMemory, &[Op::Fill, Op::Elsewhere], [1, 2]);
}

#[test]
fn programs_on_entries_outside() {
    explore(Kept::Outside, &[Op::Write(1), Op::Fill], [2, 2]);
}
