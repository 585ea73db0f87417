//! The engine against a naive model: a list of all invalidations ever, scanned linearly.
//!
//! Random programs of fills, invalidations, announced changes, pruning, eviction and restarts, under
//! a clock that jumps. An entry must be fresh exactly when the model says so.
#![cfg(not(loom))]

use proptest::prelude::*;
use proptest::sample::Index;
use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, Fill, MarkId, Rejected, Sealed, Tag, TagHandle, Timestamp,
    Verdict,
};

const DOMAIN: DomainId = DomainId(42);

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Abandon(Index),
    Depend(Index, Tag),
    Absorb(Index, Index),
    Seal(Index, Option<Index>),
    Invalidate(Vec<Tag>),
    Clear,
    Change(Vec<Tag>, u64),
    Settle(Index),
    Time(u64),
    Judge(Index),
    Evict(Index),
    Hold(Tag),
    Release(Index),
    Prune(Option<Index>, usize),
    Restart,
}

fn tag() -> impl Strategy<Value = Tag> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4);
    (path, prop::bool::weighted(0.25)).prop_map(|(path, subtree)| match (path.join(":"), subtree) {
        (path, false) if path.is_empty() => Tag::root(),
        (path, true) if path.is_empty() => Tag::parse("*").expect("valid"),
        (path, false) => Tag::parse(&path).expect("valid"),
        (path, true) => Tag::parse(&(path + ":*")).expect("valid"),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let tags = || prop::collection::vec(tag(), 1..3);
    prop_oneof![
        6 => Just(Step::Begin),
        1 => index().prop_map(Step::Abandon),
        9 => (index(), tag()).prop_map(|(fill, tag)| Step::Depend(fill, tag)),
        2 => (index(), index()).prop_map(|(fill, entry)| Step::Absorb(fill, entry)),
        6 => (index(), prop::option::weighted(0.1, index())).prop_map(|(fill, bound)| Step::Seal(fill, bound)),
        6 => tags().prop_map(Step::Invalidate),
        1 => Just(Step::Clear),
        3 => (tags(), 0..2_000_u64).prop_map(|(tags, ttl)| Step::Change(tags, ttl)),
        3 => index().prop_map(Step::Settle),
        3 => (0..20_000_u64).prop_map(Step::Time),
        1 => any::<u64>().prop_map(Step::Time),
        10 => index().prop_map(Step::Judge),
        2 => index().prop_map(Step::Evict),
        1 => tag().prop_map(Step::Hold),
        1 => index().prop_map(Step::Release),
        5 => (prop::option::of(index()), 0..9_usize).prop_map(|(horizon, budget)| Step::Prune(horizon, budget)),
        1 => Just(Step::Restart),
    ]
}

struct RunningFill {
    fill: Fill,
    began: usize,
    dependencies: DependencySet,
    tags: Vec<Tag>,
}

struct Entry {
    sealed: Sealed,
    began: usize,
    tags: Vec<Tag>,
}

struct Mark {
    id: MarkId,
    deadline_us: u64,
    tags: Vec<Tag>,
    expired: bool,
}

/// The engine and the model side by side. `began` counts the invalidations before a fill began.
struct World {
    engine: Engine,
    now_us: u64,
    invalidations: Vec<(Tag, Timestamp)>,
    fills: Vec<RunningFill>,
    entries: Vec<Entry>,
    marks: Vec<Mark>,
    handles: Vec<TagHandle>,
}

fn is_prefix(above: &Tag, below: &Tag) -> bool {
    let below: Vec<_> = below.segments().collect();
    let above: Vec<_> = above.segments().collect();
    below.starts_with(&above)
}

fn covers(invalidated: &Tag, dependency: &Tag) -> bool {
    is_prefix(invalidated, dependency) || (dependency.is_subtree() && is_prefix(dependency, invalidated))
}

impl World {
    fn new() -> Self {
        Self {
            engine: Engine::new(EngineConfig::new(DOMAIN)),
            now_us: 1_000,
            invalidations: Vec::new(),
            fills: Vec::new(),
            entries: Vec::new(),
            marks: Vec::new(),
            handles: Vec::new(),
        }
    }

    /// The naive judgement. Everything depends on the root.
    fn expected(&self, tags: &[Tag], began: usize) -> Verdict {
        let hit = |tag: &Tag| {
            *tag == Tag::root() || is_prefix(tag, &Tag::root()) || tags.iter().any(|d| covers(tag, d))
        };
        if self.invalidations[began..].iter().any(|(tag, _)| hit(tag)) {
            return Verdict::Stale;
        }
        let pending = self.marks.iter().filter(|mark| !mark.expired).flat_map(|mark| &mark.tags).any(hit);
        if pending { Verdict::Pending } else { Verdict::Fresh }
    }

    /// What the engine does at the beginning of most calls.
    fn expire(&mut self) {
        let now_us = self.now_us;
        if now_us > Timestamp::MAX_VALID {
            return; // no time at all
        }
        for mark in self.marks.iter_mut().filter(|mark| !mark.expired && mark.deadline_us <= now_us) {
            mark.expired = true;
            // Its position is the engine's affair; 0 asks nothing of `latest`.
            self.invalidations.extend(mark.tags.iter().cloned().map(|tag| (tag, Timestamp::ZERO)));
        }
    }

    fn record(&mut self, tags: &[Tag], at: Timestamp) {
        self.invalidations.extend(tags.iter().cloned().map(|tag| (tag, at)));
    }

    fn pick<T>(items: &[T], index: Index) -> Option<usize> {
        (!items.is_empty()).then(|| index.index(items.len()))
    }

    fn judge(&self, entry: &Entry) -> Result<(), TestCaseError> {
        let signals = self.engine.signals();
        let expected = self.expected(&entry.tags, entry.began);
        let proved = entry.sealed.is_proved(signals);
        prop_assert!(!proved || expected == Verdict::Fresh, "proved, but {:?}", expected);
        prop_assert_eq!(entry.sealed.judge(signals), expected);
        prop_assert_eq!(entry.sealed.is_proved(signals), expected == Verdict::Fresh);
        prop_assert_eq!(entry.sealed.blame(signals).is_some(), expected == Verdict::Stale);
        Ok(())
    }

    fn seal(&mut self, fill: usize, bound: Option<Index>) -> Result<(), TestCaseError> {
        let RunningFill { fill, began, dependencies, tags } = self.fills.swap_remove(fill);
        let bound =
            bound.and_then(|index| Self::pick(&self.entries, index)).map(|place| &self.entries[place]);
        let as_of_bound = bound.map_or(Timestamp::MAX, |entry| entry.sealed.as_of());
        let began = bound.map_or(began, |entry| entry.began.min(began));
        let bounded = bound.is_some();
        self.expire();
        let expected = self.expected(&tags, began);
        match self.engine.seal(fill, &dependencies, as_of_bound, self.now_us) {
            Ok(sealed) => {
                prop_assert_eq!(expected, Verdict::Fresh);
                prop_assert!(sealed.is_proved(self.engine.signals()));
                let entry = Entry { sealed, began, tags };
                let mut declared: Vec<_> = entry.sealed.dependencies().map(|handle| handle.tag()).collect();
                let mut tags = entry.tags.clone();
                tags.sort();
                tags.dedup();
                declared.sort();
                prop_assert_eq!(declared, tags);
                self.entries.push(entry);
            }
            // As of an earlier position than the fill's, a pruned sibling's floor may speak.
            Err(Rejected::Stale(_)) => prop_assert!(expected == Verdict::Stale || bounded),
            Err(Rejected::Pending(_)) => prop_assert!(expected == Verdict::Pending),
            Err(other) => prop_assert!(false, "{other}"),
        }
        Ok(())
    }

    /// The process dies and comes back with a snapshot and its stored headers.
    fn restart(&mut self) -> Result<(), TestCaseError> {
        let stored =
            |entry: &Entry| entry.sealed.header(self.engine.signals(), DOMAIN, 0, 0).expect("of this domain");
        let headers: Vec<_> = self.entries.iter().map(stored).collect();
        let restored = Engine::restore(EngineConfig::new(DOMAIN), &self.engine.snapshot());
        self.engine = restored.map_err(|error| TestCaseError::fail(error.to_string()))?;
        self.fills.clear();
        self.handles.clear();
        self.marks.retain(|mark| !mark.expired);
        for (Entry { sealed, began, tags }, header) in
            std::mem::take(&mut self.entries).into_iter().zip(headers)
        {
            prop_assert_eq!(sealed.judge(self.engine.signals()), Verdict::Foreign);
            self.expire();
            let expected = self.expected(&tags, began);
            prop_assert_eq!(self.engine.judge(&header, self.now_us), expected);
            if let Ok(sealed) = self.engine.admit(&header, self.now_us) {
                self.entries.push(Entry { sealed, began, tags });
            }
        }
        Ok(())
    }

    fn settle(&mut self, place: usize) -> Result<(), TestCaseError> {
        self.expire();
        let mark = self.marks.remove(place);
        let at = self
            .engine
            .settle(mark.id, self.now_us)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        self.record(&mark.tags, at);
        prop_assert!(self.engine.settle(mark.id, self.now_us).is_err());
        Ok(())
    }

    fn prune(&mut self, horizon: Option<Index>, budget: usize) {
        let horizon = horizon.and_then(|index| Self::pick(&self.invalidations, index));
        let horizon = horizon.map_or(Timestamp::MAX, |place| self.invalidations[place].1);
        self.engine.prune(horizon, if budget == 8 { usize::MAX } else { budget });
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Begin => {
                self.expire();
                let fill = self.engine.begin(self.now_us);
                let began = self.invalidations.len();
                self.fills.push(RunningFill {
                    fill,
                    began,
                    dependencies: DependencySet::new(),
                    tags: Vec::new(),
                });
            }
            Step::Depend(index, tag) => {
                if let Some(place) = Self::pick(&self.fills, index) {
                    self.fills[place].dependencies.insert(self.engine.intern(&tag));
                    self.fills[place].tags.push(tag);
                }
            }
            Step::Absorb(index, entry) => {
                if let (Some(place), Some(entry)) =
                    (Self::pick(&self.fills, index), Self::pick(&self.entries, entry))
                {
                    self.fills[place].dependencies.absorb(&self.entries[entry].sealed);
                    self.fills[place].tags.extend_from_slice(&self.entries[entry].tags);
                }
            }
            Step::Abandon(index) => {
                if let Some(place) = Self::pick(&self.fills, index) {
                    self.engine.abandon(self.fills.swap_remove(place).fill);
                }
            }
            Step::Seal(index, bound) => {
                if let Some(place) = Self::pick(&self.fills, index) {
                    self.seal(place, bound)?;
                }
            }
            Step::Invalidate(tags) => {
                let at = self.engine.invalidate(&tags, self.now_us).expect("positions are left");
                self.record(&tags, at);
            }
            Step::Clear => {
                let at = self.engine.clear(self.now_us).expect("positions are left");
                self.record(&[Tag::root()], at);
            }
            Step::Change(tags, ttl) => {
                self.expire();
                let deadline_us = self.now_us.saturating_add(ttl);
                let id = self.engine.change(&tags, deadline_us, self.now_us);
                self.marks.push(Mark { id, deadline_us, tags, expired: false });
            }
            Step::Settle(index) => {
                if let Some(place) = Self::pick(&self.marks, index) {
                    self.settle(place)?;
                }
            }
            // The very last valid microsecond would leave no position.
            Step::Time(now_us) if now_us != Timestamp::MAX_VALID => self.now_us = now_us,
            Step::Time(_) => {}
            Step::Judge(index) => {
                if let Some(place) = Self::pick(&self.entries, index) {
                    self.judge(&self.entries[place])?;
                }
            }
            Step::Evict(index) => {
                if let Some(place) = Self::pick(&self.entries, index) {
                    self.entries.swap_remove(place);
                }
            }
            Step::Hold(tag) => self.handles.push(self.engine.intern(&tag)),
            Step::Release(index) => {
                if let Some(place) = Self::pick(&self.handles, index) {
                    self.handles.swap_remove(place);
                }
            }
            Step::Prune(horizon, budget) => self.prune(horizon, budget),
            Step::Restart => self.restart()?,
        }
        Ok(())
    }

    /// No version is under-reported, and none lies in the future.
    fn check_versions(&self) -> Result<(), TestCaseError> {
        let known = |tag: &Tag| {
            let hits = self.invalidations.iter().filter(|(hit, _)| covers(hit, tag));
            hits.map(|(_, at)| *at).max().unwrap_or_default()
        };
        let tags: Vec<_> = self.entries.iter().flat_map(|entry| &entry.tags).collect();
        for tag in tags.into_iter().chain(self.invalidations.iter().map(|(tag, _)| tag)) {
            let latest = self.engine.latest(tag);
            prop_assert!(known(tag) <= latest && latest <= self.engine.stats().clock, "{} {}", tag, latest);
        }
        for handle in &self.handles {
            prop_assert_eq!(handle.latest(), self.engine.latest(&handle.tag()));
            prop_assert!(known(&handle.tag()) <= handle.latest());
        }
        Ok(())
    }

    /// When nobody needs anything, nothing is left.
    fn wind_down(mut self) -> Result<(), TestCaseError> {
        self.entries.clear();
        self.handles.clear();
        for running in self.fills.drain(..) {
            self.engine.abandon(running.fill);
        }
        for mark in self.marks.drain(..) {
            prop_assert!(self.engine.settle(mark.id, self.now_us).is_ok());
        }
        for _ in 0..3 {
            self.engine.prune(Timestamp::MAX, usize::MAX);
        }
        let stats = self.engine.stats();
        prop_assert_eq!((stats.nodes, stats.running_fills, stats.pending_marks), (0, 0, 0));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_the_model(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.take(step)?;
        }
        world.check_versions()?;
        for entry in &world.entries {
            world.judge(entry)?;
        }
        world.wind_down()?;
    }
}
