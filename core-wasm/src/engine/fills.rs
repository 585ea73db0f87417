//! Fills: from the `as_of` of their beginning to a [`Sealed`] entry, or its refusal.
//!
//! Invariant: the `as_of` of every running fill is registered until it is sealed or abandoned, and
//! nothing it might still have to see is pruned. The value that is computed is the host's.

use alloc::vec::Vec;
use core::fmt;

use triomphe::Arc;

use super::{Engine, Order};
use crate::clock::Timestamp;
use crate::limits::MAX_DEPENDENCIES;
use crate::node::{Node, TagHandle};
use crate::sealed::{Cause, Sealed, Verdict};
use crate::steps::Steps;
use crate::tag::Tag;

/// The right to seal one value, taken before its computation begins.
///
/// Give it back with [`Engine::seal`] or [`Engine::abandon`]: a fill that is merely dropped keeps
/// what it might depend on from being pruned.
#[derive(Debug)]
#[must_use = "seal or abandon it: a running fill holds back pruning"]
pub struct Fill {
    as_of: Timestamp,
    generation: u32,
}

impl Fill {
    /// The position the value is as of.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

/// The `as_of` of the running fills, rising, each with how often it occurs.
#[derive(Default)]
pub(super) struct Fills {
    running: Vec<(Timestamp, usize)>,
    count: usize,
}

impl Fills {
    fn add(&mut self, as_of: Timestamp) {
        match self.place(as_of) {
            Ok(place) => self.running[place].1 += 1,
            // At the end, as a rule.
            Err(place) => self.running.insert(place, (as_of, 1)),
        }
        self.count += 1;
    }

    fn remove(&mut self, as_of: Timestamp) {
        if let Ok(place) = self.place(as_of) {
            self.running[place].1 -= 1;
            if self.running[place].1 == 0 {
                self.running.remove(place);
            }
            self.count -= 1;
        }
    }

    fn place(&self, as_of: Timestamp) -> Result<usize, usize> {
        self.running.binary_search_by_key(&as_of, |(as_of, _)| *as_of)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.running.first().map(|(as_of, _)| *as_of)
    }

    /// Forgets all: their domain is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Why a value is not stored. It may still be given to whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// Something it depends on was invalidated after its fill began.
    Stale(Cause),
    /// A change of something it depends on is announced.
    Pending(Tag),
    /// The domain changed meanwhile, or a handle is of another engine.
    Foreign,
    /// This engine is behind what it is asked to judge.
    Unknown,
    /// Its time ran out.
    Expired,
    /// More dependencies than [`MAX_DEPENDENCIES`].
    TooManyDependencies {
        /// How many there are.
        count: usize,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(cause) => {
                write!(formatter, "Not stored: tag {:?} was invalidated at {}", cause.tag.as_str(), cause.at)
            }
            Self::Pending(tag) => {
                write!(formatter, "Not stored: a change of tag {:?} is announced", tag.as_str())
            }
            Self::Foreign => formatter.write_str("Not stored: it belongs to another domain"),
            Self::Unknown => formatter.write_str("Not stored: the log has to be read first"),
            Self::Expired => formatter.write_str("Not stored: its time ran out"),
            Self::TooManyDependencies { count } => {
                write!(formatter, "Not stored: {count} dependencies, at most {MAX_DEPENDENCIES}")
            }
        }
    }
}

impl core::error::Error for Rejected {}

/// What is known of one dependency of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DependencyState {
    /// The dependency.
    pub tag: Tag,
    /// The highest position that concerns it.
    pub latest: Timestamp,
    /// Whether that lies after the entry's `as_of`.
    pub stale: bool,
    /// Whether a change that concerns it is announced.
    pub pending: bool,
}

impl Engine {
    /// Begins a fill: call it before the value's sources are read, and after catching up.
    ///
    /// # Complexity
    /// O(log running fills).
    pub fn begin(&mut self, now_us: u64) -> Fill {
        // Without a position left the marks stay pending, which is the safe side.
        let _ = self.expire_marks(now_us);
        if self.config.order == Order::Gossip {
            // Positions that are given later lie above the clock, so everything up to it is known. Otherwise what begins
            // long after the last invalidation would be as of that, and within the uncertainty of clocks for ever.
            self.clock.advance(Timestamp::checked(now_us).unwrap_or(Timestamp::ZERO));
            self.signals.advance_applied(self.clock.last());
        }
        let as_of = self.signals.applied();
        self.fills.add(as_of);
        Fill { as_of, generation: self.signals.generation() }
    }

    /// Ends a fill that has nothing to store.
    #[expect(clippy::needless_pass_by_value, reason = "taking it is the point: a fill ends once")]
    pub fn abandon(&mut self, fill: Fill) {
        let Fill { as_of, generation } = fill;
        if generation == self.signals.generation() {
            self.fills.remove(as_of);
        }
    }

    /// Forgets all running fills: those who ran them are gone, as other threads are in a forked child.
    ///
    /// A fill that runs on all the same may be born stale for a tag that was pruned meanwhile, whose
    /// parent's floor then covers it; it is never kept fresh wrongly.
    pub fn forget_fills(&mut self) {
        self.fills.clear();
    }

    /// Ends a fill with what is to be kept of its freshness; what is named twice counts once.
    ///
    /// The entry is as of the fill's beginning, or of `as_of_bound` if that is lower (something stale
    /// was used on purpose; else [`Timestamp::MAX`]).
    ///
    /// # Errors
    /// [`Rejected`] when the value is born stale, or cannot be judged. The fill has ended either way.
    ///
    /// # Complexity
    /// O(n log n · depth) for n dependencies.
    pub fn seal(
        &mut self,
        fill: Fill,
        dependencies: &[TagHandle],
        as_of_bound: Timestamp,
        now_us: u64,
    ) -> Result<Sealed, Rejected> {
        let (as_of, generation) = (fill.as_of.min(as_of_bound), fill.generation);
        self.abandon(fill);
        let _ = self.expire_marks(now_us); // as in `begin`
        if generation != self.signals.generation() {
            return Err(Rejected::Foreign);
        }
        self.seal_as_of(as_of, dependencies)
    }

    /// Seals what is fresh as of `as_of`, with a proof where there is no doubt.
    pub(super) fn seal_as_of(
        &mut self,
        as_of: Timestamp,
        dependencies: &[TagHandle],
    ) -> Result<Sealed, Rejected> {
        if dependencies.len() > MAX_DEPENDENCIES {
            return Err(Rejected::TooManyDependencies { count: dependencies.len() });
        }
        let root = self.signals.root();
        if dependencies
            .iter()
            .any(|handle| Node::path(handle.node()).last().is_none_or(|top| !Arc::ptr_eq(top, root)))
        {
            return Err(Rejected::Foreign);
        }
        let entry = Sealed::new(as_of, self.signals.generation(), Steps::flatten(dependencies));
        // Nobody changes anything meanwhile, so the proof is as of the present epoch.
        match entry.judge(&self.signals) {
            Verdict::Stale => {
                self.counters.rejected_stale += 1;
                let cause = entry.blame(&self.signals);
                Err(Rejected::Stale(cause.expect("invariant: what is stale has a cause")))
            }
            Verdict::Pending => {
                let tag = entry.pending_tag(&self.signals);
                Err(Rejected::Pending(tag.expect("invariant: what is pending has a tag")))
            }
            // In doubt: kept without a proof, to be judged after the log has been read.
            Verdict::Fresh | Verdict::Unknown => Ok(entry),
            Verdict::Foreign | Verdict::Expired => Err(Rejected::Foreign),
        }
    }

    /// What is known of each dependency of an entry.
    pub fn explain(&self, entry: &Sealed) -> Vec<DependencyState> {
        let state = |handle: crate::TagHandle| {
            let latest = handle.latest();
            let stale = latest > entry.as_of();
            DependencyState { tag: handle.tag(), latest, stale, pending: handle.is_pending() }
        };
        entry.dependencies().map(state).collect()
    }
}
