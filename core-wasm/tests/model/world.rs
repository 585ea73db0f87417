//! The engine beside a naive model: a list of all invalidations ever, scanned linearly.
//!
//! Programs of fills, invalidations, announced changes, pruning, eviction and restarts, under a clock that jumps. An
//! entry in memory must be fresh exactly when the model says so; a stored one never when it does not. Who makes the
//! programs is not decided here: the property test does, and a fuzz target.

use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, Fill, Header, MarkId, Rejected, Sealed, Tag, TagHandle,
    Timestamp, Verdict,
};

const DOMAIN: DomainId = DomainId(42);

/// One call of a program. A number picks one of what there is, if there is any.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Begin,
    Abandon(usize),
    Depend(usize, Tag),
    Absorb(usize, usize),
    /// Perhaps as of no later than an entry that was used.
    Seal(usize, Option<usize>),
    Invalidate(Vec<Tag>),
    Clear,
    /// For so many microseconds.
    Change(Vec<Tag>, u64),
    Settle(usize),
    Time(u64),
    Judge(usize),
    Evict(usize),
    /// Keeps an entry's header outside.
    Store(usize),
    JudgeStored(usize),
    Admit(usize),
    Hold(Tag),
    Release(usize),
    /// Up to the position of an invalidation, or all; 8 nodes mean all.
    Prune(Option<usize>, usize),
    Restart,
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

struct StoredEntry {
    header: Header,
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
pub(crate) struct World {
    engine: Engine,
    config: EngineConfig,
    now_us: u64,
    /// The time that the engine was told last, and the time as far as it went forward.
    told_us: u64,
    passed_us: u64,
    invalidations: Vec<(Tag, Timestamp)>,
    fills: Vec<RunningFill>,
    entries: Vec<Entry>,
    stored: Vec<StoredEntry>,
    marks: Vec<Mark>,
    handles: Vec<TagHandle>,
    /// Whether anything was, by this engine or one before it.
    pruned: bool,
}

pub(crate) fn is_prefix(above: &Tag, below: &Tag) -> bool {
    let below: Vec<_> = below.segments().collect();
    let above: Vec<_> = above.segments().collect();
    below.starts_with(&above)
}

/// Whether an invalidation concerns a dependency. Everything depends on the root.
pub(crate) fn covers(invalidated: &Tag, dependency: &Tag) -> bool {
    is_prefix(invalidated, dependency) || (dependency.is_subtree() && is_prefix(dependency, invalidated))
}

fn pick<T>(items: &[T], index: usize) -> Option<usize> {
    index.checked_rem(items.len())
}

impl World {
    pub(crate) fn new(entries_outside: bool) -> Self {
        let config = EngineConfig { entries_outside, ..EngineConfig::new(DOMAIN) };
        Self {
            engine: Engine::new(config.clone()),
            config,
            now_us: 1_000,
            told_us: 0,
            passed_us: 0,
            invalidations: Vec::new(),
            fills: Vec::new(),
            entries: Vec::new(),
            stored: Vec::new(),
            marks: Vec::new(),
            handles: Vec::new(),
            pruned: false,
        }
    }

    /// The naive judgement.
    fn expected(&self, tags: &[Tag], began: usize) -> Verdict {
        let hit = |tag: &Tag| is_prefix(tag, &Tag::root()) || tags.iter().any(|d| covers(tag, d));
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
        self.passed_us += now_us.saturating_sub(self.told_us);
        self.told_us = now_us;
        let passed_us = self.passed_us;
        for mark in self.marks.iter_mut().filter(|mark| !mark.expired && mark.deadline_us <= passed_us) {
            mark.expired = true;
            // Its position is the engine's affair; 0 asks nothing of `latest`.
            self.invalidations.extend(mark.tags.iter().cloned().map(|tag| (tag, Timestamp::ZERO)));
        }
    }

    fn record(&mut self, tags: &[Tag], at: Timestamp) {
        self.invalidations.extend(tags.iter().cloned().map(|tag| (tag, at)));
    }

    fn judge(&self, entry: &Entry) {
        let signals = self.engine.signals();
        let expected = self.expected(&entry.tags, entry.began);
        let proved = entry.sealed.is_proved(signals);
        assert!(!proved || expected == Verdict::Fresh, "proved, but {expected:?}");
        assert_eq!(entry.sealed.judge(signals), expected);
        assert_eq!(entry.sealed.is_proved(signals), expected == Verdict::Fresh);
        assert_eq!(entry.sealed.blame(signals).is_some(), expected == Verdict::Stale);
    }

    /// What is pruned may make a stored entry stale, never fresh.
    fn check_stored(&self, entry: &StoredEntry, verdict: Verdict) {
        let expected = self.expected(&entry.tags, entry.began);
        if verdict != expected {
            assert!(self.pruned || self.engine.stats().pruned > 0, "{verdict:?} is not {expected:?}");
            assert_eq!(verdict, Verdict::Stale, "{expected:?}");
        }
    }

    fn judge_stored(&mut self, place: usize) {
        self.expire();
        let nodes = self.engine.stats().nodes;
        let verdict = self.engine.judge(&self.stored[place].header, self.now_us);
        assert_eq!(self.engine.stats().nodes, nodes, "judging makes no nodes");
        self.check_stored(&self.stored[place], verdict);
        let states = self.engine.explain_header(&self.stored[place].header);
        assert!(verdict != Verdict::Fresh || states.iter().all(|state| !state.stale && !state.pending));
    }

    fn admit(&mut self, place: usize) {
        self.expire();
        let verdict = match self.engine.admit(&self.stored[place].header, self.now_us) {
            Ok(sealed) => {
                let StoredEntry { began, tags, .. } = &self.stored[place];
                self.entries.push(Entry { sealed, began: *began, tags: tags.clone() });
                Verdict::Fresh
            }
            Err(Rejected::Stale(_)) => Verdict::Stale,
            Err(Rejected::Pending(_)) => Verdict::Pending,
            Err(other) => panic!("{other}"),
        };
        self.check_stored(&self.stored[place], verdict);
    }

    fn store(&mut self, place: usize) {
        let Entry { sealed, began, tags } = &self.entries[place];
        let header = sealed.header(self.engine.signals(), DOMAIN, 0, 0).expect("of this domain");
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok((header.clone(), bytes.len())));
        self.stored.push(StoredEntry { header, began: *began, tags: tags.clone() });
    }

    fn seal(&mut self, fill: usize, bound: Option<usize>) {
        let RunningFill { fill, began, dependencies, tags } = self.fills.swap_remove(fill);
        let bound = bound.and_then(|index| pick(&self.entries, index)).map(|place| &self.entries[place]);
        let as_of_bound = bound.map_or(Timestamp::MAX, |entry| entry.sealed.as_of());
        let began = bound.map_or(began, |entry| entry.began.min(began));
        let bounded = bound.is_some();
        self.expire();
        let expected = self.expected(&tags, began);
        match self.engine.seal(fill, &dependencies, as_of_bound, self.now_us) {
            Ok(sealed) => {
                assert_eq!(expected, Verdict::Fresh);
                assert!(sealed.is_proved(self.engine.signals()));
                let mut declared: Vec<_> = sealed.dependencies().map(|handle| handle.tag()).collect();
                let mut named = tags.clone();
                named.sort();
                named.dedup();
                declared.sort();
                assert_eq!(declared, named);
                self.entries.push(Entry { sealed, began, tags });
            }
            // As of an earlier position than the fill's, a pruned sibling's floor may speak.
            Err(Rejected::Stale(_)) => assert!(expected == Verdict::Stale || bounded),
            Err(Rejected::Pending(_)) => assert_eq!(expected, Verdict::Pending),
            Err(other) => panic!("{other}"),
        }
    }

    /// The process dies and comes back with a snapshot and its stored headers.
    fn restart(&mut self) {
        let stored_before = self.stored.len();
        (0..self.entries.len()).for_each(|place| self.store(place));
        self.pruned |= self.engine.stats().pruned > 0;
        let snapshot = self.engine.snapshot();
        let restored = Engine::restore(self.config.clone(), &snapshot).expect("its own snapshot");
        for tag in self.stored.iter().flat_map(|entry| &entry.tags) {
            assert_eq!(self.engine.latest(tag), restored.latest(tag), "{tag}");
        }
        self.engine = restored;
        self.fills.clear();
        self.handles.clear();
        self.marks.retain(|mark| !mark.expired);
        // Deadlines are kept as the clock was set last.
        let set_back_us = self.passed_us - self.told_us;
        self.marks.iter_mut().for_each(|mark| mark.deadline_us -= set_back_us.min(mark.deadline_us));
        (self.told_us, self.passed_us) = (0, 0);
        for Entry { sealed, .. } in std::mem::take(&mut self.entries) {
            assert_eq!(sealed.judge(self.engine.signals()), Verdict::Foreign);
        }
        for place in stored_before..self.stored.len() {
            // An entry that was in memory is judged exactly: what it needs was not pruned.
            self.expire();
            let StoredEntry { header, began, tags } = &self.stored[place];
            let expected = self.expected(tags, *began);
            assert_eq!(self.engine.judge(header, self.now_us), expected);
            self.admit(place);
        }
        self.stored.truncate(stored_before);
    }

    fn settle(&mut self, place: usize) {
        self.expire();
        let mark = self.marks.remove(place);
        let at = self.engine.settle(mark.id, self.now_us).expect("is known");
        self.record(&mark.tags, at);
        assert!(self.engine.settle(mark.id, self.now_us).is_err());
    }

    fn prune(&mut self, horizon: Option<usize>, budget: usize) {
        let horizon = horizon.and_then(|index| pick(&self.invalidations, index));
        let horizon = horizon.map_or(Timestamp::MAX, |place| self.invalidations[place].1);
        self.engine.prune(horizon, if budget == 8 { usize::MAX } else { budget });
    }

    fn change(&mut self, tags: Vec<Tag>, ttl: u64) {
        self.expire();
        let deadline_us = self.now_us.saturating_add(ttl);
        let id = self.engine.change(&tags, deadline_us, self.now_us);
        let deadline_us = deadline_us.saturating_add(self.passed_us - self.told_us);
        self.marks.push(Mark { id, deadline_us, tags, expired: false });
    }

    fn begin(&mut self) {
        self.expire();
        let fill = self.engine.begin(self.now_us);
        let (began, dependencies) = (self.invalidations.len(), DependencySet::new());
        self.fills.push(RunningFill { fill, began, dependencies, tags: Vec::new() });
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Begin => self.begin(),
            Step::Invalidate(tags) => {
                let at = self.engine.invalidate(&tags, self.now_us).expect("positions are left");
                self.record(&tags, at);
            }
            Step::Clear => {
                let at = self.engine.clear(self.now_us).expect("positions are left");
                self.record(&[Tag::root()], at);
            }
            Step::Change(tags, ttl) => self.change(tags, ttl),
            // The very last valid microsecond would leave no position.
            Step::Time(now_us) if now_us != Timestamp::MAX_VALID => self.now_us = now_us,
            Step::Time(_) => {}
            Step::Hold(tag) => self.handles.push(self.engine.intern(&tag)),
            Step::Prune(horizon, budget) => self.prune(horizon, budget),
            Step::Restart => self.restart(),
            step => {
                // Nothing to pick from: nothing to do.
                let _ = self.take_picked(step);
            }
        }
    }

    /// The steps that need something that is there.
    fn take_picked(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Depend(index, tag) => {
                let place = pick(&self.fills, index)?;
                self.fills[place].dependencies.insert(self.engine.intern(&tag));
                self.fills[place].tags.push(tag);
            }
            Step::Absorb(index, entry) => {
                let (place, entry) = (pick(&self.fills, index)?, pick(&self.entries, entry)?);
                self.fills[place].dependencies.absorb(&self.entries[entry].sealed);
                self.fills[place].tags.extend_from_slice(&self.entries[entry].tags);
            }
            Step::Abandon(index) => {
                let place = pick(&self.fills, index)?;
                self.engine.abandon(self.fills.swap_remove(place).fill);
            }
            Step::Seal(index, bound) => self.seal(pick(&self.fills, index)?, bound),
            Step::Settle(index) => self.settle(pick(&self.marks, index)?),
            Step::Judge(index) => self.judge(&self.entries[pick(&self.entries, index)?]),
            Step::Evict(index) => drop(self.entries.swap_remove(pick(&self.entries, index)?)),
            Step::Store(index) => self.store(pick(&self.entries, index)?),
            Step::JudgeStored(index) => self.judge_stored(pick(&self.stored, index)?),
            Step::Admit(index) => self.admit(pick(&self.stored, index)?),
            Step::Release(index) => drop(self.handles.swap_remove(pick(&self.handles, index)?)),
            _ => {}
        }
        Some(())
    }

    /// No version is under-reported, and none lies in the future.
    fn check_versions(&self) {
        let known = |tag: &Tag| {
            let hits = self.invalidations.iter().filter(|(hit, _)| covers(hit, tag));
            hits.map(|(_, at)| *at).max().unwrap_or_default()
        };
        let tags: Vec<_> = self.entries.iter().flat_map(|entry| &entry.tags).collect();
        for tag in tags.into_iter().chain(self.invalidations.iter().map(|(tag, _)| tag)) {
            let latest = self.engine.latest(tag);
            assert!(known(tag) <= latest && latest <= self.engine.stats().clock, "{tag} {latest}");
        }
        for handle in &self.handles {
            assert_eq!(handle.latest(), self.engine.latest(&handle.tag()));
            assert!(known(&handle.tag()) <= handle.latest());
        }
    }

    /// Judges everything once more; and when nobody needs anything, nothing is left.
    pub(crate) fn finish(mut self) {
        self.check_versions();
        self.entries.iter().for_each(|entry| self.judge(entry));
        (0..self.stored.len()).for_each(|place| self.judge_stored(place));
        self.entries.clear();
        self.handles.clear();
        for running in self.fills.drain(..) {
            self.engine.abandon(running.fill);
        }
        for mark in self.marks.drain(..) {
            assert!(self.engine.settle(mark.id, self.now_us).is_ok());
        }
        for _ in 0..3 {
            self.engine.prune(Timestamp::MAX, usize::MAX);
        }
        let stats = self.engine.stats();
        assert_eq!((stats.nodes, stats.running_fills, stats.pending_marks), (0, 0, 0));
    }
}
