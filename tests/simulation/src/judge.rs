//! The checker: what was promised, against what happened. It knows when each truth was written, when each invalidation was
//! called and returned, when each read began and what it returned, and nothing of how the cache works.
//!
//! Names of promises are those of the design: P1 (and P1-delta), P2, P4 (which is P1 after losses), P5, P6, P7, P8, P9; and that what was deleted is gone.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::keys;
use crate::truth::{Covered, LEAVES, Truth, Versions, covered, highest};
use crate::value::Value;
use crate::world::{Place, World};

/// What the readers of a run are promised.
#[expect(clippy::struct_excessive_bools, reason = "each is a promise of its own")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promised {
    /// Within which time others learn of an invalidation; `None` for at once.
    pub(crate) delta_ns: Option<u64>,
    /// Are hits monotonic across processes, as all of them share what is stored, and ask for news each time?
    pub(crate) is_shared: bool,
    /// Are hits monotonic in each process at least?
    pub(crate) is_monotonic: bool,
    /// Is each key computed by one task at a time, as far as others could wait for it?
    pub(crate) is_alone: bool,
    /// Are entries lost for no other reason than those that the checker sees?
    pub(crate) is_kept: bool,
    /// For how long an entry that never expires rests at most.
    pub(crate) life_ns: Option<u64>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) text: String,
}

/// An invalidation that has been called.
pub(crate) struct Invalidation {
    place: Place,
    versions: Versions,
    began: u64,
    call: usize,
}

struct Deleted {
    place: Place,
    key: usize,
    began: u64,
    returned_ns: u64,
    is_told: bool,
}

impl Invalidation {
    /// What must be seen afterwards.
    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }
}

struct Called {
    returned: u64,
    leaves: Covered,
}

/// A change that was announced.
struct Mark {
    place: Place,
    leaves: Covered,
    is_told: bool,
    returned_ns: u64,
    /// From when on it may have ended by itself.
    deadline_ns: u64,
    /// The versions that were there when it ended, or may have.
    ended: Option<Versions>,
}

/// A read that goes on.
pub(crate) struct Reading {
    place: Place,
    key: usize,
    pub(crate) began: u64,
    began_ns: u64,
    need: Versions,
    need_own: Versions,
    newest: Newest,
    /// When a deletion of the key was called that is known by now.
    deleted: u64,
}

/// The latest computation of which a hit has been seen.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    began: u64,
    began_ns: u64,
}

/// A computation.
#[derive(Debug, Clone)]
struct Fill {
    place: Place,
    key: usize,
    began: u64,
    began_ns: u64,
    /// When it was asked for: no later than it could be waited for.
    asked: u64,
    is_beside: bool,
    ended: Option<u64>,
    seen: Versions,
}

/// What the process holds under a key, as far as can be seen.
#[derive(Clone)]
struct Stored {
    began: u64,
    /// When its computation had ended, and when it was stored.
    ended: u64,
    at: u64,
    leaves: Covered,
}

/// How much was seen: a run that shows nothing proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) computed: u64,
    pub(crate) waited: u64,
    pub(crate) stand_ins: u64,
    pub(crate) invalidations: u64,
    pub(crate) faults: u64,
}

impl Counts {
    fn numbers(&mut self) -> [&mut u64; 7] {
        let Self { reads, hits, computed, waited, stand_ins, invalidations, faults } = self;
        [reads, hits, computed, waited, stand_ins, invalidations, faults]
    }

    /// Reads what was written.
    pub(crate) fn read(text: &str) -> Self {
        let mut counts = Self::default();
        let words = text.split(' ').map(|word| word.parse().unwrap_or(0));
        counts.numbers().into_iter().zip(words).for_each(|(number, word)| *number = word);
        counts
    }

    pub(crate) fn in_words(&self) -> String {
        let Self { reads, hits, computed, waited, stand_ins, invalidations, faults } = self;
        format!(
            "{reads} reads checked ({hits} hits, {computed} computed, {waited} waited for), {stand_ins} stale on purpose, \
             {invalidations} invalidations, {faults} faults"
        )
    }

    /// Did so many runs show enough for their silence to mean something?
    pub(crate) fn are_telling(&self, runs: u64) -> bool {
        let each = [self.hits, self.computed, self.invalidations];
        runs < 100 || (each.iter().all(|seen| *seen > runs) && self.waited > 0 && self.faults > runs / 2)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = *other;
        self.numbers().into_iter().zip(other.numbers()).for_each(|(number, more)| *number += *more);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counts = *self;
        let words = counts.numbers().map(|number| number.to_string());
        formatter.write_str(&words.join(" "))
    }
}

#[derive(Default)]
struct Seen {
    /// Invalidations that have returned: when, and the highest versions until then.
    returned: Vec<(u64, Versions)>,
    own: BTreeMap<Place, Versions>,
    marks: Vec<Mark>,
    /// By scope and key: the latest beginning of a computation whose stored result was hit.
    newest: BTreeMap<(Place, usize), Newest>,
    fills: Vec<Fill>,
    /// The fills whose results were stored.
    committed: BTreeSet<u64>,
    /// The latest fill of a task for a key, which may be stored next.
    finished: BTreeMap<(usize, usize), usize>,
    stored: BTreeMap<(Place, usize), Stored>,
    /// When invalidations began and returned, and what they cover.
    called: Vec<Called>,
    /// Deletions that have returned: of which key, when they were called and returned, whether everybody was told.
    deleted: Vec<Deleted>,
    /// When something happened to a key other than that a computation began.
    touched: BTreeMap<(Place, usize), u64>,
    /// When it was deleted, or computed whatever was stored.
    removed: BTreeMap<(Place, usize), u64>,
    /// How many such things are going on.
    changing: BTreeMap<(Place, usize), usize>,
}

pub(crate) struct Judge {
    pub(crate) truth: Truth,
    world: Rc<World>,
    promised: Promised,
    order: Cell<u64>,
    seen: RefCell<Seen>,
    pub(crate) counts: Cell<Counts>,
    violations: RefCell<Vec<Violation>>,
    /// Were entries lost of which near caches know?
    has_lost: Cell<bool>,
    /// When the server's data went back last, unnoticed.
    went_back: Cell<u64>,
    /// When somebody learnt last that rows of the log were forgotten.
    floor_rose: Cell<u64>,
    /// When a machine's wall clock was set last, and how often marks may have ended by that.
    clock_set_ns: Cell<Option<u64>>,
    set_forth: Cell<u64>,
    /// May something be computed and not be stored, though nothing happened to it?
    stores_may_fail: Cell<bool>,
    /// Failures of the storage that each process was told of.
    failures: RefCell<BTreeMap<Place, u64>>,
    /// What happened, for people; only if somebody wants to read it.
    story: RefCell<Option<Vec<String>>>,
}

fn leaf_names(versions: &Versions) -> String {
    let named = LEAVES.iter().zip(versions).filter(|(_, version)| **version > 0);
    named.map(|(leaf, version)| format!("{leaf} v{version}")).collect::<Vec<_>>().join(", ")
}

impl Judge {
    pub(crate) fn new(world: &Rc<World>, promised: Promised, is_told: bool) -> Self {
        Self {
            truth: Truth::default(),
            world: Rc::clone(world),
            promised,
            order: Cell::new(0),
            seen: RefCell::default(),
            counts: Cell::default(),
            clock_set_ns: Cell::default(),
            set_forth: Cell::default(),
            stores_may_fail: Cell::default(),
            violations: RefCell::default(),
            has_lost: Cell::new(false),
            went_back: Cell::default(),
            floor_rose: Cell::default(),
            failures: RefCell::default(),
            story: RefCell::new(is_told.then(Vec::new)),
        }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        count(&mut counts);
        self.counts.set(counts);
    }

    /// The place of an event in the order of all.
    pub(crate) fn next(&self) -> u64 {
        self.order.set(self.order.get() + 1);
        self.world.note(self.order.get());
        self.order.get()
    }

    /// A process is told that its storage has failed.
    pub(crate) fn failed(&self, cause: &dyn std::fmt::Display) {
        *self.failures.borrow_mut().entry(self.world.here()).or_default() += 1;
        self.tell(|| format!("is told: {cause}"));
    }

    pub(crate) fn failures(&self, place: Place) -> u64 {
        self.failures.borrow().get(&place).copied().unwrap_or(0)
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if self.story.borrow().is_some() {
            let line = line();
            let (us, place) = (self.world.now_ns() / 1_000, self.world.here());
            let who = if place == 0 { "the world".to_owned() } else { format!("process {place}") };
            let told =
                format!("{:>6}.{:03} ms  {who}, task {}: {line}", us / 1_000, us % 1_000, self.world.task());
            self.story.borrow_mut().iter_mut().for_each(|story| story.push(told.clone()));
        }
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.story.borrow_mut().take().unwrap_or_default()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.borrow().clone()
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.violations.borrow().is_empty()
    }

    pub(crate) fn broken(&self, promise: &'static str, text: String) {
        if self.world.is_dead(self.world.here()) {
            return;
        }
        self.tell(|| format!("BROKEN {promise}: {text}"));
        self.violations.borrow_mut().push(Violation { promise, text });
    }

    // ---- The truth and its changes -----------------------------------------------------------------

    pub(crate) fn write(&self, leaf: usize) {
        if self.world.is_dead(self.world.here()) {
            return;
        }
        self.truth.write(leaf, self.world.now_ns());
        self.tell(|| format!("writes {} v{}", LEAVES[leaf], self.truth.read(leaf)));
    }

    pub(crate) fn invalidation_begins(&self, place: Place, tags: &[&str]) -> Invalidation {
        let began = self.next();
        let leaves = Self::covered(tags);
        let mut seen = self.seen.borrow_mut();
        seen.called.push(Called { returned: u64::MAX, leaves });
        self.tell(|| format!("invalidates {tags:?}"));
        let versions = self.truth.at(self.world.now_ns(), leaves);
        Invalidation { place, versions, began, call: seen.called.len() - 1 }
    }

    fn covered(tags: &[&str]) -> Covered {
        let each: Vec<_> = tags.iter().map(|tag| covered(tag)).collect();
        std::array::from_fn(|leaf| each.iter().any(|covered| covered[leaf]))
    }

    /// The versions as they are, where a tag covers them.
    pub(crate) fn versions_now(&self, tags: &[&str]) -> Versions {
        self.truth.at(self.world.now_ns(), Self::covered(tags))
    }

    /// From now on a process must see these versions.
    pub(crate) fn knows(&self, place: Place, versions: &Versions) {
        if !self.world.is_dead(place) {
            let mut seen = self.seen.borrow_mut();
            let own = seen.own.entry(place).or_default();
            *own = highest(own, versions);
        }
    }

    /// The versions that a process must see.
    pub(crate) fn known(&self, place: Place) -> Versions {
        self.seen.borrow().own.get(&place).copied().unwrap_or_default()
    }

    /// It has returned: for everybody, or, with an error, for the process that called.
    pub(crate) fn invalidation_returns(&self, invalidation: &Invalidation, is_told: bool) {
        let Invalidation { place, versions, began, call } = *invalidation;
        if self.world.is_dead(place) {
            return;
        }
        let returned = self.next();
        self.count(|counts| counts.invalidations += 1);
        self.tell(|| {
            format!("has invalidated (event {began}), {}", if is_told { "everybody knows" } else { "queued" })
        });
        let mut seen = self.seen.borrow_mut();
        seen.called[call].returned = returned;
        let own = seen.own.entry(place).or_default();
        *own = highest(own, &versions);
        if is_told {
            let before = seen.returned.last().map_or(Versions::default(), |(_, versions)| *versions);
            seen.returned.push((self.world.now_ns(), highest(&before, &versions)));
        }
    }

    /// A change was announced, to everybody if they were told; its mark stands until then at least, by the time.
    pub(crate) fn announced(&self, place: Place, tags: &[&str], deadline_ns: u64, is_told: bool) -> usize {
        let leaves = if self.world.is_dead(place) { Covered::default() } else { Self::covered(tags) };
        let mut seen = self.seen.borrow_mut();
        let returned_ns = self.world.now_ns();
        seen.marks.push(Mark { place, leaves, is_told, returned_ns, deadline_ns, ended: None });
        self.tell(|| format!("has announced a change of {tags:?}"));
        seen.marks.len() - 1
    }

    /// Its end was called for, or whoever announced it has died.
    pub(crate) fn change_ends(&self, mark: usize) {
        let now_ns = self.world.now_ns();
        self.seen.borrow_mut().marks[mark].end(&self.truth, now_ns);
    }

    /// Marks may have ended by themselves: a clock was set forth.
    pub(crate) fn marks_may_have_ended(&self, concerns: impl Fn(Place) -> bool) {
        let now_ns = self.world.now_ns();
        self.set_forth.set(self.set_forth.get() + 1);
        for mark in self.seen.borrow_mut().marks.iter_mut().filter(|mark| concerns(mark.place)) {
            mark.end(&self.truth, now_ns);
        }
    }

    /// The server has gone back to what it had, and only those whose own changes are lost can know of it.
    pub(crate) fn told_may_be_lost(&self) {
        let mut seen = self.seen.borrow_mut();
        seen.returned.clear();
        seen.marks.iter_mut().for_each(|mark| mark.is_told = false);
        // Nobody remembers what was deleted, as everybody does what was invalidated: it is back until that is noticed.
        seen.deleted.clear();
        self.went_back.set(self.order.get());
    }

    /// How often that was so.
    pub(crate) fn times_set_forth(&self) -> u64 {
        self.set_forth.get()
    }

    /// A machine's wall clock was set.
    pub(crate) fn clock_was_set(&self) {
        self.clock_set_ns.set(Some(self.world.now_ns()));
    }

    /// Storing may fail, for a reason that is none of a key's.
    pub(crate) fn stores_may_fail(&self) {
        self.stores_may_fail.set(true);
    }

    /// May a key live on in memory, as its clock is never set, while what is stored of it has expired? Or have expired by what
    /// a sweeper had taken for the time.
    fn outlives_itself(&self, key: usize) -> bool {
        let lives_ns = keys::recipe(key).ttl_ms.map_or(0, |ttl_ms| 20 * ttl_ms * 1_000_000);
        self.clock_set_ns.get().is_some_and(|set_ns| self.world.now_ns() < set_ns + lives_ns)
    }

    /// What is stored may be lost: hits are monotonic as long as it is not.
    pub(crate) fn entries_may_be_lost(&self) {
        self.has_lost.set(true);
        self.seen.borrow_mut().newest.clear();
    }

    /// A process that goes on has learnt of a higher floor. What is below has gone stale though nothing was invalidated, so a
    /// computation that began before it may be stored in its place: hits are monotonic from now on. (Where rows are
    /// kept for as long as they should be, no computation takes that long.)
    pub(crate) fn floor_has_risen(&self) {
        self.floor_rose.set(self.order.get());
        self.seen.borrow_mut().newest.clear();
    }

    /// A process is killed.
    pub(crate) fn died(&self, place: Place) {
        let now_ns = self.world.now_ns();
        let mut seen = self.seen.borrow_mut();
        seen.own.remove(&place);
        seen.marks
            .iter_mut()
            .filter(|mark| mark.place == place)
            .for_each(|mark| mark.end(&self.truth, now_ns));
    }

    // ---- Reads -------------------------------------------------------------------------------------

    /// Among whom hits on a key are monotonic.
    fn scope(&self, place: Place) -> Place {
        if self.promised.is_shared && !self.has_lost.get() { 0 } else { place }
    }

    pub(crate) fn read_begins(&self, place: Place, key: usize) -> Reading {
        let (began, began_ns) = (self.next(), self.world.now_ns());
        let mut seen = self.seen.borrow_mut();
        // Clocks run fast or slow by a thousandth.
        let told_ns =
            began_ns.saturating_sub(self.promised.delta_ns.map_or(0, |delta_ns| delta_ns + delta_ns / 500));
        let known = seen.returned.partition_point(|(returned_ns, _)| *returned_ns <= told_ns);
        let mut need = known.checked_sub(1).map_or(Versions::default(), |last| seen.returned[last].1);
        let mut need_own = seen.own.get(&place).copied().unwrap_or_default();
        for mark in &mut seen.marks {
            if began_ns >= mark.deadline_ns {
                mark.end(&self.truth, mark.deadline_ns);
            }
            if mark.is_told && mark.returned_ns <= told_ns {
                need = highest(&need, &mark.versions(&self.truth, told_ns));
            }
            if mark.place == place {
                need_own = highest(&need_own, &mark.versions(&self.truth, began_ns));
            }
        }
        let newest = seen.newest.get(&(self.scope(place), key)).copied().unwrap_or_default();
        let concerns = |gone: &&Deleted| {
            gone.key == key && (gone.place == place || gone.is_told && gone.returned_ns <= told_ns)
        };
        let deleted = seen.deleted.iter().filter(concerns).map(|gone| gone.began).max().unwrap_or(0);
        Reading { place, key, began, began_ns, need, need_own, newest, deleted }
    }

    /// A read has returned what `value` says; was it computed by the reader itself?
    pub(crate) fn read_ends(&self, reading: &Reading, value: &Value, is_own: bool) {
        let Reading { place, key, began, began_ns, need, need_own, newest, deleted } = *reading;
        if self.world.is_dead(place) {
            return;
        }
        let is_hit = value.ended < began;
        self.count(|counts| {
            counts.reads += 1;
            match (is_own, is_hit) {
                (true, _) => counts.computed += 1,
                (false, true) => counts.hits += 1,
                (false, false) => counts.waited += 1,
            }
        });
        let how = if is_own {
            "computed"
        } else if is_hit {
            "hit"
        } else {
            "waited for"
        };
        self.tell(|| {
            format!(
                "reads key {key} (since event {began}): {how}, {}, fill {}",
                leaf_names(&value.seen),
                value.fill
            )
        });
        if value.is_tainted && !is_hit {
            return;
        }
        // Others' invalidations that were lost while it was on its way are no more than those that were lost before.
        let need = if began > self.went_back.get() { need } else { Versions::default() };
        for (promise, need) in [("P1", need), ("P5", need_own)] {
            let is_stale = |leaf: &usize| value.seen[*leaf] > 0 && value.seen[*leaf] < need[*leaf];
            if let Some(leaf) = (0..LEAVES.len()).find(is_stale) {
                let text = format!(
                    "process {place} read key {key}, {how}, from fill {} with {} v{}; v{} was invalidated before the read began at {} us",
                    value.fill,
                    LEAVES[leaf],
                    value.seen[leaf],
                    need[leaf],
                    began_ns / 1_000
                );
                self.broken(promise, text);
            }
        }
        if is_hit && value.began < deleted && deleted > self.went_back.get() {
            let text = format!(
                "process {place} hit key {key} from fill {}, which began before the key was deleted",
                value.fill
            );
            self.broken("delete", text);
        }
        if is_hit {
            // What has expired is gone, as what was evicted is: an older computation may be stored after it.
            let may_have_expired = keys::recipe(key).ttl_ms.is_some() || self.outlived(&newest);
            let is_older = value.ended < newest.began && began > self.floor_rose.get() && !may_have_expired;
            let mut seen = self.seen.borrow_mut();
            // What only waiters got was never there for others to see.
            if seen.committed.contains(&value.fill) && began > self.floor_rose.get() {
                let began_ns = usize::try_from(value.fill).map_or(0, |fill| seen.fills[fill].began_ns);
                let newest = seen.newest.entry((self.scope(place), key)).or_default();
                if newest.began < value.began {
                    *newest = Newest { began: value.began, began_ns };
                }
            }
            drop(seen);
            if is_older && self.promised.is_monotonic && !self.outlives_itself(key) {
                let fill = value.fill;
                let text = format!(
                    "process {place} hit key {key} from fill {fill}, which had ended before one began that an earlier read hit"
                );
                self.broken("P2", text);
            }
        }
    }

    /// May what came of a computation have gone by itself, since all that rests goes after a time?
    fn outlived(&self, newest: &Newest) -> bool {
        // Clocks run fast or slow by a thousandth.
        let is_over = |life_ns: u64| self.world.now_ns() >= newest.began_ns + life_ns - life_ns / 500;
        self.promised.life_ns.is_some_and(is_over)
    }

    // ---- Computations ------------------------------------------------------------------------------

    /// A computation begins that was asked for then; `is_beside` says that it need not wait for others, `needs_no_reason` that it may
    /// be stored already, or have expired.
    pub(crate) fn fill_begins(
        &self,
        place: Place,
        key: usize,
        asked: u64,
        is_beside: bool,
        needs_no_reason: bool,
    ) -> usize {
        let began = self.next();
        let number = self.seen.borrow().fills.len();
        self.tell(|| format!("computes key {key}, fill {number}"));
        let is_quiet = self.seen.borrow().changing.get(&(place, key)).is_none_or(|many| *many == 0);
        let is_beside = is_beside || !is_quiet;
        if self.promised.is_alone && !is_beside {
            self.expect_alone(place, key, asked);
        }
        if self.promised.is_kept && !is_beside && !needs_no_reason {
            self.expect_reason(place, key, asked);
        }
        let began_ns = self.world.now_ns();
        let fill =
            Fill { place, key, began, began_ns, asked, is_beside, ended: None, seen: Versions::default() };
        self.seen.borrow_mut().fills.push(fill);
        number
    }

    /// P9: nobody else computes it, unless something happened to the key since they began.
    fn expect_alone(&self, place: Place, key: usize, asked: u64) {
        let seen = self.seen.borrow();
        let touched = seen.touched.get(&(place, key)).copied().unwrap_or(0);
        if asked <= touched {
            return;
        }
        let other = seen.fills.iter().position(|fill| {
            (fill.place, fill.key) == (place, key)
                && !fill.is_beside
                && fill.ended.is_none()
                && fill.asked > touched
        });
        drop(seen);
        if let Some(other) = other {
            self.broken("P9", format!("process {place} computes key {key} while fill {other} does"));
        }
    }

    /// P7: what was stored is gone for a reason.
    fn expect_reason(&self, place: Place, key: usize, asked: u64) {
        let seen = self.seen.borrow();
        if self.clock_set_ns.get().is_some() {
            // A mark whose announcement has not returned may have ended.
            return;
        }
        // What was asked for before it was stored may have begun then.
        let Some(stored) = seen.stored.get(&(place, key)).filter(|stored| stored.at < asked) else { return };
        let concerns = |covered: &Covered| (0..LEAVES.len()).any(|leaf| covered[leaf] && stored.leaves[leaf]);
        let has_reason = seen.removed.get(&(place, key)).is_some_and(|removed| *removed > stored.ended)
            || seen.called.iter().any(|call| call.returned > stored.began && concerns(&call.leaves))
            || seen.marks.iter().any(|mark| concerns(&mark.leaves));
        let text = format!(
            "process {place} computes key {key}, though nothing happened to what it stored (fill of event {})",
            stored.began
        );
        drop(seen);
        if !has_reason {
            self.broken("P7", text);
        }
    }

    /// It has come to a value.
    pub(crate) fn fill_ends(&self, fill: usize, seen_versions: Versions, is_tainted: bool) -> Value {
        let ended = self.next();
        let task = self.world.task();
        let mut seen = self.seen.borrow_mut();
        let known = &mut seen.fills[fill];
        (known.ended, known.seen) = (Some(ended), seen_versions);
        let (began, place, key) = (known.began, known.place, known.key);
        // It may be stored before anybody says so.
        let touched = seen.touched.entry((place, key)).or_default();
        *touched = ended.max(*touched);
        seen.finished.insert((task, key), fill);
        Value { seen: seen_versions, fill: fill as u64, began, ended, is_tainted }
    }

    /// What the task that runs has computed was stored.
    pub(crate) fn stored(&self, place: Place, key: usize) {
        let at = self.next();
        let mut seen = self.seen.borrow_mut();
        let Some(fill) = seen.finished.remove(&(self.world.task(), key)) else { return };
        let Fill { began, ended, seen: versions, .. } = seen.fills[fill];
        seen.committed.insert(fill as u64);
        // A store ends the flights of the key: whoever comes then may have read it, and waits for nothing older.
        let touched = seen.touched.entry((place, key)).or_default();
        *touched = at.max(*touched);
        let below = keys::concerned(key);
        let leaves = std::array::from_fn(|leaf| versions[leaf] > 0 || below[leaf]);
        seen.stored.insert((place, key), Stored { began, ended: ended.unwrap_or(at), at, leaves });
        self.tell(|| format!("has stored key {key} from fill {fill}"));
    }

    /// A deletion has returned that was called then.
    pub(crate) fn deleted(&self, place: Place, key: usize, began: u64, is_told: bool) {
        if !self.world.is_dead(place) {
            let returned_ns = self.world.now_ns();
            self.seen.borrow_mut().deleted.push(Deleted { place, key, began, returned_ns, is_told });
        }
    }

    /// Does something else to a key: deletes it, say.
    pub(crate) fn touching<R>(&self, place: Place, key: usize, change: impl FnOnce() -> R) -> R {
        let touch = |at| {
            let mut seen = self.seen.borrow_mut();
            seen.stored.remove(&(place, key));
            seen.touched.insert((place, key), at);
            seen.removed.insert((place, key), at);
        };
        *self.seen.borrow_mut().changing.entry((place, key)).or_default() += 1;
        touch(self.next());
        let result = change();
        *self.seen.borrow_mut().changing.entry((place, key)).or_default() -= 1;
        touch(self.next());
        result
    }
}

impl Mark {
    fn end(&mut self, truth: &Truth, now_ns: u64) {
        if self.ended.is_none() {
            self.ended = Some(truth.at(now_ns.min(self.deadline_ns), self.leaves));
        }
    }

    /// What must be seen by a read that began at this time.
    fn versions(&self, truth: &Truth, now_ns: u64) -> Versions {
        self.ended.unwrap_or_else(|| truth.at(now_ns.min(self.deadline_ns), self.leaves))
    }
}
