//! What happened to the calls of one function, and of all functions of a cache by their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use zoocache::Count;
use zoocache::lock::Mutex;

/// Functions that are named to telemetry; what there are more is summed up under [`OTHER`].
const MAX_NAMES: usize = 200;
/// The name of those that are not named.
const OTHER: &str = "other";
/// The longest name, in bytes.
const LONGEST_NAME: usize = 200;
/// Of more functions with one name, those that are gone are looked for.
const MANY: usize = 16;

/// Counters of one function. Adds are loads and stores: the interpreter lock orders them, and a count
/// lost without it would be no harm.
#[derive(Debug)]
pub(crate) struct FunctionCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    expired: AtomicU64,
    errors: AtomicU64,
    /// Computations that were measured, and how long all of them took.
    measured: AtomicU64,
    measured_ns: AtomicU64,
    name: Arc<str>,
}

impl FunctionCounters {
    fn new(name: &Arc<str>) -> Self {
        Self {
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            measured_ns: AtomicU64::new(0),
            name: Arc::clone(name),
        }
    }

    #[inline]
    fn bump(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    #[inline]
    fn add(counter: &AtomicU64, more: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn hit(&self) {
        Self::bump(&self.hits);
    }

    pub(crate) fn miss(&self, why: Count) {
        Self::bump(match why {
            Count::Stale => &self.stale,
            Count::Expired => &self.expired,
            _ => &self.misses,
        });
    }

    pub(crate) fn error(&self) {
        Self::bump(&self.errors);
    }

    /// A computation took so long.
    pub(crate) fn took(&self, ns: u64) {
        Self::bump(&self.measured);
        Self::add(&self.measured_ns, ns);
    }

    /// What telemetry calls the function.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            hits: read(&self.hits),
            misses: read(&self.misses),
            stale: read(&self.stale),
            expired: read(&self.expired),
            errors: read(&self.errors),
            measured: read(&self.measured),
            measured_ns: read(&self.measured_ns),
        }
    }

    /// Writes the counters into `stats`.
    pub(crate) fn write_to(&self, stats: &Bound<'_, PyDict>) -> PyResult<()> {
        let Counted { hits, misses, stale, expired, errors, .. } = self.read();
        stats.set_item("hits", hits)?;
        stats.set_item("misses", misses + expired)?;
        stats.set_item("stale", stale)?;
        stats.set_item("errors", errors)
    }
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
    pub(crate) expired: u64,
    pub(crate) errors: u64,
    pub(crate) measured: u64,
    pub(crate) measured_ns: u64,
}

impl Counted {
    fn and(self, more: Self) -> Self {
        Self {
            hits: self.hits + more.hits,
            misses: self.misses + more.misses,
            stale: self.stale + more.stale,
            expired: self.expired + more.expired,
            errors: self.errors + more.errors,
            measured: self.measured + more.measured,
            measured_ns: self.measured_ns + more.measured_ns,
        }
    }

    /// What has been counted since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
            stale: self.stale.saturating_sub(before.stale),
            expired: self.expired.saturating_sub(before.expired),
            errors: self.errors.saturating_sub(before.errors),
            measured: self.measured.saturating_sub(before.measured),
            measured_ns: self.measured_ns.saturating_sub(before.measured_ns),
        }
    }
}

/// The functions of one cache, by name. Locked only with the interpreter's lock held, so never during a fork.
#[derive(Debug)]
pub(crate) struct Functions(Mutex<Names>);

#[derive(Debug)]
struct Names {
    all: Vec<Namesakes>,
    /// So many functions more before it is worth looking again whether a name is free.
    patience: usize,
}

/// Functions of one name: closures, and what was decorated anew.
#[derive(Debug)]
struct Namesakes {
    name: Arc<str>,
    alive: Vec<Arc<FunctionCounters>>,
    /// Of those that are gone.
    gone: Counted,
    many: usize,
}

impl Namesakes {
    fn new(name: &str) -> Self {
        Self { name: Arc::from(name), alive: Vec::new(), gone: Counted::default(), many: MANY }
    }

    fn forget_gone(&mut self) {
        let gone = &mut self.gone;
        self.alive.retain(|counters| {
            let is_alive = Arc::strong_count(counters) > 1;
            if !is_alive {
                *gone = gone.and(counters.read());
            }
            is_alive
        });
        self.many = MANY.max(2 * self.alive.len());
    }

    fn read(&self) -> Counted {
        self.alive.iter().fold(self.gone, |sum, counters| sum.and(counters.read()))
    }
}

impl Names {
    fn place(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|known| &*known.name == name)
    }

    /// Is there room for one name more? Names of functions that are all gone make room.
    fn has_room(&mut self) -> bool {
        if self.all.len() >= MAX_NAMES && self.patience == 0 {
            self.all.retain_mut(|namesakes| {
                namesakes.forget_gone();
                !namesakes.alive.is_empty() || &*namesakes.name == OTHER
            });
            self.patience = self.all.iter().map(|namesakes| namesakes.alive.len()).sum();
        }
        let has_room = self.all.len() < MAX_NAMES;
        self.patience = if has_room { 0 } else { self.patience.saturating_sub(1) };
        has_room
    }
}

impl Functions {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Names { all: Vec::new(), patience: 0 }))
    }

    /// The counters of a new function.
    pub(crate) fn add(&self, name: &str) -> Arc<FunctionCounters> {
        let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
        let mut names = self.0.lock();
        let name = if names.place(name).is_some() || names.has_room() { name } else { OTHER };
        let index = names.place(name).unwrap_or_else(|| {
            names.all.push(Namesakes::new(name));
            names.all.len() - 1
        });
        let namesakes = &mut names.all[index];
        if namesakes.alive.len() >= namesakes.many {
            namesakes.forget_gone();
        }
        let counters = Arc::new(FunctionCounters::new(&namesakes.name));
        namesakes.alive.push(Arc::clone(&counters));
        counters
    }

    /// What was counted under each name.
    pub(crate) fn read(&self) -> Vec<(Arc<str>, Counted)> {
        let names = self.0.lock();
        names.all.iter().map(|namesakes| (Arc::clone(&namesakes.name), namesakes.read())).collect()
    }
}
