//! [`Sealed`]: what an entry in memory keeps of its fill, and how it is judged without a lock.
//!
//! Invariant: `checked` is an epoch that was read *before* a walk that found the entry fresh, so
//! every change up to it was taken into account; 0 = never proved. Nothing here writes to the trie,
//! knows the payload, or looks at time.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use triomphe::Arc;

use crate::clock::Timestamp;
use crate::engine::DomainId;
use crate::header::{Header, HeaderDependency};
use crate::mutant;
use crate::node::{Node, PENDING, TagHandle, position};
use crate::signals::Signals;
use crate::steps::{EXACT, SUBTREE, Step, Steps};
use crate::sync::{AtomicU64, Ordering};
use crate::tag::Tag;

/// Whether an entry may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing it depends on was invalidated after its fill began.
    Fresh,
    /// Something was, or the floor passed it: it never becomes fresh again.
    Stale,
    /// A change of something it depends on is announced: not to be served, not yet stale.
    Pending,
    /// This engine cannot say; it must catch up first.
    Unknown,
    /// It belongs to another domain.
    Foreign,
    /// Its time ran out.
    Expired,
}

impl Verdict {
    /// Whether the entry may be served.
    pub const fn is_fresh(self) -> bool {
        matches!(self, Self::Fresh)
    }
}

/// What made an entry stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The tag that was invalidated, or the subtree something in which was; the root for the floor.
    pub tag: Tag,
    /// Where in the order of invalidations.
    pub at: Timestamp,
}

/// The freshness part of an entry in memory.
///
/// Comes from [`Engine::seal`](crate::Engine::seal) and is judged by the [`Signals`] of that engine,
/// and of no other. It holds handles, so what it depends on is not pruned.
///
/// ```
/// use zoocache_core::{DependencySet, DomainId, Engine, EngineConfig, Tag, Timestamp, Verdict};
///
/// let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
/// let signals = engine.signals().clone();
/// let store = Tag::parse("org:1:store:2")?;
///
/// let fill = engine.begin(1_000);
/// let dependencies = DependencySet::from_iter([engine.intern(&store)]);
/// let entry = engine.seal(fill, &dependencies, Timestamp::MAX, 1_000)?;
/// assert!(entry.is_proved(&signals));
///
/// engine.invalidate(&[Tag::parse("org:1")?], 2_000)?;
/// assert_eq!(entry.judge(&signals), Verdict::Stale);
/// assert_eq!(entry.blame(&signals).map(|cause| cause.tag.to_string()).as_deref(), Some("org:1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealed {
    as_of: Timestamp,
    checked: AtomicU64,
    mask: u64,
    steps: Box<[Step]>,
    generation: u32,
}

impl Sealed {
    pub(crate) fn new(as_of: Timestamp, generation: u32, steps: Steps) -> Self {
        let Steps { steps, mask } = steps;
        Self { as_of, checked: AtomicU64::new(0), mask, steps, generation }
    }

    /// The position at which its fill began.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// Level 0: whether it was found fresh and nothing at all has changed since. Two loads.
    ///
    /// `false` says nothing; ask [`Sealed::judge`].
    #[inline]
    pub fn is_proved(&self, signals: &Signals) -> bool {
        let epoch = signals.epoch(); // FIRST
        self.checked.load(Ordering::Relaxed) == epoch
    }

    /// Whether the entry may be served. Lock-free; remembers the proof when it is fresh.
    ///
    /// # Complexity
    /// Two loads when nothing changed; a load per stripe of its dependencies when nothing near them
    /// did; else the walk over its paths, leaving out what is quiet since the last proof.
    #[inline]
    pub fn judge(&self, signals: &Signals) -> Verdict {
        let epoch = signals.epoch(); // FIRST: what is stored below must not be newer than the look
        let checked = self.checked.load(Ordering::Relaxed);
        if checked == epoch { Verdict::Fresh } else { self.judge_since(signals, checked, epoch) }
    }

    fn judge_since(&self, signals: &Signals, checked: u64, epoch: u64) -> Verdict {
        if signals.generation() != self.generation {
            return Verdict::Foreign;
        }
        if self.as_of < signals.floor() {
            return Verdict::Stale;
        }
        if signals.in_doubt() {
            return Verdict::Unknown;
        }
        if checked == 0 || !signals.is_quiet(self.mask, checked) {
            let verdict = self.walk(signals, checked);
            // A reset for another domain raises the generation first: its stamps prove nothing.
            if signals.generation() != self.generation {
                return Verdict::Foreign;
            }
            if verdict != Verdict::Fresh {
                return verdict;
            }
        }
        let epoch = if mutant::is_on("late_proof") { signals.epoch() } else { epoch };
        if checked < epoch {
            // A plain store: if it overwrites a later proof, the next read merely proves again.
            self.checked.store(epoch, Ordering::Relaxed);
        }
        Verdict::Fresh
    }

    #[cfg(feature = "mirror")]
    pub(crate) fn set_checked(&self, epoch: u64) {
        self.checked.store(epoch, Ordering::Relaxed);
    }

    /// Level 2: the paths in pre-order, without what did not change after the epoch `checked`.
    fn walk(&self, signals: &Signals, checked: u64) -> Verdict {
        let as_of = judged_as_of(self.as_of);
        let limit = as_of.as_micros();
        let root = signals.root().raw_stamp();
        if root > limit && position(root) > as_of {
            return Verdict::Stale;
        }
        let mut pending = root > limit;
        let mut place = 0;
        while let Some(step) = self.steps.get(place) {
            if checked != 0 && step.node.changed() <= checked {
                place = step.end as usize;
                continue;
            }
            let mut raw = step.node.raw_stamp();
            if raw > limit && position(raw) > as_of {
                return Verdict::Stale;
            }
            if step.flags & SUBTREE != 0 {
                let below = step.node.raw_below();
                if below > limit && position(below) > as_of {
                    return Verdict::Stale;
                }
                raw |= below;
            }
            pending |= raw & PENDING != 0;
            place += 1;
        }
        if pending { Verdict::Pending } else { Verdict::Fresh }
    }

    /// The earliest invalidation on record that made the entry stale, if one did.
    ///
    /// A node remembers its latest invalidation only, so an earlier one of the same tag is not named.
    pub fn blame(&self, signals: &Signals) -> Option<Cause> {
        let mut found = Earliest { after: judged_as_of(self.as_of), cause: None };
        found.look(signals.floor(), signals.root(), false);
        found.look(position(signals.root().raw_stamp()), signals.root(), false);
        for step in &self.steps {
            found.look(position(step.node.raw_stamp()), &step.node, false);
            if step.flags & SUBTREE != 0 {
                found.look(position(step.node.raw_below()), &step.node, true);
            }
        }
        found.cause.map(|(at, node, subtree)| Cause { tag: Node::tag(node, subtree), at })
    }

    /// The tag whose announced change keeps the entry from being served, if there is one.
    pub fn pending_tag(&self, signals: &Signals) -> Option<Tag> {
        if signals.root().raw_stamp() & PENDING != 0 {
            return Some(Tag::root());
        }
        let is_pending = |raw: u64| raw & PENDING != 0;
        self.steps.iter().find_map(|step| {
            let below = step.flags & SUBTREE != 0 && is_pending(step.node.raw_below());
            let here = is_pending(step.node.raw_stamp());
            (here || below).then(|| Node::tag(&step.node, !here))
        })
    }

    /// The dependencies that were declared, each once.
    pub fn dependencies(&self) -> impl Iterator<Item = TagHandle> + '_ {
        let some = |step: &Step, flag, subtree| {
            (step.flags & flag != 0).then(|| TagHandle::new(step.node.clone(), subtree))
        };
        self.steps
            .iter()
            .flat_map(move |step| [some(step, EXACT, false), some(step, SUBTREE, true)].into_iter().flatten())
    }

    /// The header under which the entry is stored outside this process; `expires_us` 0 = never.
    ///
    /// Each dependency carries the highest position of its path at the time of the call. `None` if its domain is gone:
    /// with the name of the present one it could be taken for fresh there. `domain` is that of the engine of `signals`. Among
    /// nodes without a common log it is for [`Engine::header`](crate::Engine::header) to say.
    pub fn header(
        &self,
        signals: &Signals,
        domain: DomainId,
        created_us: u64,
        expires_us: u64,
    ) -> Option<Header> {
        if signals.generation() != self.generation {
            return None;
        }
        let dependency = |handle: TagHandle| HeaderDependency { tag: handle.tag(), stamp: handle.latest() };
        let dependencies: Vec<_> = self.dependencies().map(dependency).collect();
        Some(Header { domain, as_of: self.as_of, created_us, expires_us, dependencies })
    }

    /// Bytes on the heap that belong to this entry alone (nodes are shared).
    pub fn heap_bytes(&self) -> usize {
        core::mem::size_of_val(&*self.steps)
    }
}

/// Positions after this one make an entry stale. One that is equal does not: it was known when the fill began.
#[inline]
pub(crate) fn judged_as_of(as_of: Timestamp) -> Timestamp {
    if mutant::is_on("equal_is_stale") { as_of.saturating_sub(1) } else { as_of }
}

/// The earliest of the positions after `after` that are looked at.
struct Earliest<'a> {
    after: Timestamp,
    cause: Option<(Timestamp, &'a Arc<Node>, bool)>,
}

impl<'a> Earliest<'a> {
    fn look(&mut self, at: Timestamp, node: &'a Arc<Node>, subtree: bool) {
        if at > self.after && self.cause.is_none_or(|(earliest, ..)| at < earliest) {
            self.cause = Some((at, node, subtree));
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sealed")
            .field("as_of", &self.as_of)
            .field("generation", &self.generation)
            .field("dependencies", &self.dependencies().count())
            .finish_non_exhaustive()
    }
}
