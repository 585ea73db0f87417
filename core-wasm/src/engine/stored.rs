//! Entries that rest outside the process: judged by their header, admitted to memory.
//!
//! Invariant: what this engine cannot vouch for is not fresh. A header is judged against the present
//! positions without making nodes for it. Decoding is the header's business, storage the host's.

use alloc::vec::Vec;

use super::tail::found_out;
use super::{Applied, Engine, Invalidation, Order};
use crate::clock::{ClockError, Timestamp};
use crate::engine::{DependencyState, Rejected};
use crate::header::{Header, HeaderDependency};
use crate::mutant;
use crate::sealed::{Cause, Sealed, Verdict, judged_as_of};
use crate::steps::Steps;
use crate::tag::Tag;
use crate::trie::Place;

impl Engine {
    /// Whether a stored entry may be served.
    ///
    /// Among nodes without a common log it also finds messages that were missed (a dependency carries
    /// a higher position than is known here, beyond what clocks explain) and applies them; and an entry
    /// must be newer than an invalidation by the uncertainty window of two drift bounds.
    ///
    /// # Complexity
    /// O(depth) for each dependency.
    pub fn judge(&mut self, header: &Header, now_us: u64) -> Verdict {
        match self.assess(header, now_us) {
            Ok(_) => Verdict::Fresh,
            Err(Rejected::Stale(_)) => Verdict::Stale,
            Err(Rejected::Pending(_)) => Verdict::Pending,
            Err(Rejected::Foreign) => Verdict::Foreign,
            Err(Rejected::Expired) => Verdict::Expired,
            Err(Rejected::Unknown | Rejected::TooManyDependencies { .. }) => Verdict::Unknown,
        }
    }

    /// Takes a stored entry into memory, if it may be served.
    ///
    /// # Errors
    /// [`Rejected`] says why it may not.
    ///
    /// # Complexity
    /// O(n log n · depth) for n dependencies.
    pub fn admit(&mut self, header: &Header, now_us: u64) -> Result<Sealed, Rejected> {
        let as_of = self.assess(header, now_us)?;
        let dependencies: Vec<_> =
            header.dependencies.iter().map(|dependency| self.intern(&dependency.tag)).collect();
        self.seal_as_of(as_of, &dependencies)
    }

    /// Applies what a stored entry's header tells of messages that were missed: for nodes without a common log.
    ///
    /// Returns how many dependencies had a higher position there than clocks explain. [`judge`](Self::judge) and
    /// [`admit`](Self::admit) do so, too.
    ///
    /// # Errors
    /// [`ClockError`] when no position is left.
    ///
    /// # Complexity
    /// O(depth) for each dependency.
    pub fn catch_up(&mut self, header: &Header, now_us: u64) -> Result<usize, ClockError> {
        let missed = self.counters.missed;
        if self.config.order == Order::Gossip && header.domain == self.config.domain {
            self.apply_missed(header, now_us)?;
        }
        Ok(usize::try_from(self.counters.missed - missed).unwrap_or(usize::MAX))
    }

    /// What is known of each dependency of a stored entry, whether or not it may be served; makes no nodes.
    ///
    /// # Complexity
    /// O(depth) for each dependency.
    pub fn explain_header(&self, header: &Header) -> Vec<DependencyState> {
        let state = |dependency: &HeaderDependency| {
            let survey = self.trie.survey(&dependency.tag, Timestamp::MAX);
            let latest = survey.latest.max(dependency.stamp);
            let (stale, pending) = (latest > header.as_of, survey.pending.is_some());
            DependencyState { tag: dependency.tag.clone(), latest, stale, pending }
        };
        header.dependencies.iter().map(state).collect()
    }

    /// What a stored entry depends on, whether or not it may be served: to be explained, not to be served.
    /// `None` for an entry of another domain.
    ///
    /// # Complexity
    /// As of [`admit`](Self::admit).
    pub fn inspect(&mut self, header: &Header) -> Option<Sealed> {
        if header.domain != self.config.domain {
            return None;
        }
        let handles: Vec<_> =
            header.dependencies.iter().map(|dependency| self.intern(&dependency.tag)).collect();
        Some(Sealed::new(header.as_of, self.signals.generation(), Steps::flatten(&handles)))
    }

    /// The position the entry may be taken to be as of.
    pub(crate) fn assess(&mut self, header: &Header, now_us: u64) -> Result<Timestamp, Rejected> {
        let _ = self.expire_marks(now_us); // without a position left they stay pending
        if header.domain != self.config.domain && !mutant::is_on("ignore_domain") {
            return Err(Rejected::Foreign);
        }
        if header.expires_us != 0 && header.expires_us <= now_us && now_us <= Timestamp::MAX_VALID {
            return Err(Rejected::Expired);
        }
        let as_of = self.comparable(header.as_of, now_us).ok_or(Rejected::Unknown)?;
        if as_of < self.signals.floor() {
            return Err(Rejected::Stale(Cause { tag: Tag::root(), at: self.signals.floor() }));
        }
        if self.signals.in_doubt() {
            return Err(Rejected::Unknown);
        }
        if self.config.order == Order::Gossip {
            self.apply_missed(header, now_us).map_err(|_| Rejected::Unknown)?;
        }
        let root = Tag::root();
        let mut cause: Option<(Timestamp, &Tag, Place)> = None;
        let mut pending = None;
        let declared = header.dependencies.iter().map(|dependency| (&dependency.tag, dependency.stamp));
        for (tag, stamp) in core::iter::once((&root, Timestamp::ZERO)).chain(declared) {
            let mut survey = self.trie.survey(tag, judged_as_of(as_of));
            survey.look(stamp.as_micros(), tag.depth(), tag.is_subtree());
            if let Some((at, place)) = survey.earliest
                && cause.is_none_or(|(known, ..)| at < known)
            {
                cause = Some((at, tag, place));
            }
            pending = pending.or(survey.pending.map(|place| (tag, place)));
        }
        match (cause, pending) {
            (Some((at, tag, place)), _) => Err(Rejected::Stale(Cause { tag: tag.prefix(place), at })),
            (None, Some((tag, place))) => Err(Rejected::Pending(tag.prefix(place))),
            (None, None) => Ok(as_of),
        }
    }

    /// The entry's `as_of` as a position that local stamps can be compared with; `None` if it lies
    /// ahead of what this engine can know.
    fn comparable(&self, as_of: Timestamp, now_us: u64) -> Option<Timestamp> {
        let drift = self.config.max_drift_us;
        if self.config.order != Order::Gossip {
            return (as_of <= self.signals.applied()).then_some(as_of);
        }
        let physical = Timestamp::checked(now_us).unwrap_or(Timestamp::ZERO).max(self.clock.last());
        // Sealed by another clock: `stamp <= as_of` proves nothing within the two clocks' uncertainty.
        // Taking it to be that much older also keeps it comparable with later local stamps.
        let window = if mutant::is_on("no_window") { 0 } else { drift.saturating_mul(2) };
        (as_of <= physical.saturating_add(drift)).then(|| as_of.saturating_sub(window))
    }

    /// The header under which an entry is stored outside this process; `expires_us` 0 = never. `None` as of [`Sealed::header`].
    ///
    /// Among nodes without a common log a dependency carries the time at which its invalidations were made, as far as that
    /// is remembered: positions of this node would look to others as if they had missed something, the later it heard of it.
    ///
    /// # Complexity
    /// O(depth · log n) for each dependency, n at most [`MAX_TAIL_MESSAGES`](crate::limits::MAX_TAIL_MESSAGES).
    pub fn header(&self, entry: &Sealed, created_us: u64, expires_us: u64) -> Option<Header> {
        let mut header = entry.header(&self.signals, self.config.domain, created_us, expires_us)?;
        for (dependency, handle) in header.dependencies.iter_mut().zip(entry.dependencies()) {
            // What the fill did not know of makes the entry stale everywhere.
            if dependency.stamp <= header.as_of {
                let made = handle.positions().map(|at| self.history.made_at(at));
                dependency.stamp = made.fold(Timestamp::ZERO, Timestamp::max);
            }
        }
        Some(header)
    }

    /// Applies, as receive events, the invalidations that only the header's positions tell of.
    ///
    /// Positions that differ by less than the uncertainty are taken for the same message received at two places. What is
    /// found out keeps its time and gets a name that all who find it out give it: otherwise each of them would tell the
    /// others of something new, and two nodes would reject each other's entries for ever.
    fn apply_missed(&mut self, header: &Header, now_us: u64) -> Result<(), ClockError> {
        let window = self.config.max_drift_us.saturating_mul(2);
        for dependency in &header.dependencies {
            let latest = self.trie.survey(&dependency.tag, Timestamp::MAX).latest;
            if dependency.stamp <= latest.saturating_add(window) {
                continue;
            }
            // A time that is refused stays above all that is known here, and what it tells is applied once.
            let tags = alloc::vec![dependency.tag.clone()];
            let found = Invalidation { origin: found_out(&tags), at: dependency.stamp, tags };
            if self.apply(&found, now_us)? != Applied::Duplicate {
                self.counters.missed += 1;
            }
        }
        Ok(())
    }
}
