//! Announced changes: a tag is pending from `change` to `settle`, and nothing it covers is served.
//!
//! Invariants: a mark ends in an invalidation, by `settle` or by its deadline, never without one; the
//! pending bit of a node is set exactly while a mark counts it, that of its ancestors while one counts
//! something below them. Time comes from the caller, so an expired mark holds until somebody calls; it counts only
//! as far as it goes forward.

use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashMap;
use triomphe::Arc;

use super::Engine;
use crate::clock::{ClockError, Timestamp};
use crate::limits::MAX_EXPIRED_MARKS;
use crate::node::Node;
use crate::tag::Tag;

/// Names an announced change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkId(pub u64);

/// Why a change could not be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// No such mark: it was settled, or expired so long ago that its tags are forgotten.
    /// It did invalidate then; invalidate the tags again if they changed since.
    Unknown(MarkId),
    /// There is no position left; the mark holds.
    Clock(ClockError),
}

impl From<ClockError> for SettleError {
    fn from(error: ClockError) -> Self {
        Self::Clock(error)
    }
}

impl fmt::Display for SettleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(mark) => {
                write!(formatter, "Mark {} is unknown: invalidate its tags instead", mark.0)
            }
            Self::Clock(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for SettleError {}

pub(super) struct Mark {
    /// By the time as far as it went forward.
    deadline_us: u64,
    /// Holding the nodes keeps them attached.
    pub(super) nodes: Vec<Arc<Node>>,
}

/// How many marks name a node, and how many something below it.
#[derive(Default)]
struct Count {
    here: usize,
    below: usize,
}

#[derive(Default)]
pub(super) struct Marks {
    last_id: u64,
    /// By rising numbers.
    pending: Vec<(MarkId, Mark)>,
    /// No deadline comes earlier.
    next_due_us: u64,
    /// The time that was told last, and the time as far as it went forward: a clock that is set back prolongs no mark.
    told_us: u64,
    passed_us: u64,
    /// In the order in which they expired.
    expired: Vec<(MarkId, Vec<Tag>)>,
    counts: HashMap<usize, Count, foldhash::fast::FixedState>,
}

impl Marks {
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) fn set_last_id(&mut self, last_id: u64) {
        self.last_id = self.last_id.max(last_id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (MarkId, &Mark)> {
        self.pending.iter().map(|(id, mark)| (*id, mark))
    }

    fn place(&self, id: MarkId) -> Result<usize, usize> {
        self.pending.binary_search_by_key(&id, |(id, _)| *id)
    }

    /// The nodes of a pending mark.
    fn nodes(&self, id: MarkId) -> &[Arc<Node>] {
        self.place(id).map_or(&[], |place| &self.pending[place].1.nodes)
    }

    pub(super) fn insert(&mut self, id: MarkId, mark: Mark) {
        for node in &mark.nodes {
            self.count(node).here += 1;
            node.set_pending(true);
            for ancestor in node.ancestors() {
                self.count(ancestor).below += 1;
                ancestor.set_pending_below(true);
            }
        }
        self.next_due_us =
            if self.pending.is_empty() { mark.deadline_us } else { self.next_due_us.min(mark.deadline_us) };
        let place = self.place(id).unwrap_or_else(|place| place);
        self.pending.insert(place, (id, mark));
    }

    /// Takes a mark away; its nodes are stamped already.
    fn remove(&mut self, id: MarkId) {
        let Ok(place) = self.place(id) else { return };
        let (_, mark) = self.pending.remove(place);
        for node in &mark.nodes {
            let count = self.count(node);
            count.here -= 1;
            node.set_pending(count.here > 0);
            self.forget_if_idle(node);
            for ancestor in node.ancestors() {
                let count = self.count(ancestor);
                count.below -= 1;
                ancestor.set_pending_below(count.below > 0);
                self.forget_if_idle(ancestor);
            }
        }
    }

    fn count(&mut self, node: &Arc<Node>) -> &mut Count {
        self.counts.entry(Arc::as_ptr(node).addr()).or_default()
    }

    fn forget_if_idle(&mut self, node: &Arc<Node>) {
        let count = self.count(node);
        if count.here == 0 && count.below == 0 {
            self.counts.remove(&Arc::as_ptr(node).addr());
        }
    }

    /// Notes what time it is.
    fn pass(&mut self, now_us: u64) {
        self.passed_us = self.passed_us.saturating_add(now_us.saturating_sub(self.told_us));
        self.told_us = now_us;
    }

    /// How far the clock was set back, all in all.
    fn set_back_us(&self) -> u64 {
        self.passed_us - self.told_us
    }

    /// When a mark is due, by the clock as it is set now.
    pub(super) fn deadline_us(&self, mark: &Mark) -> u64 {
        if mark.deadline_us == u64::MAX {
            u64::MAX
        } else {
            mark.deadline_us.saturating_sub(self.set_back_us())
        }
    }

    /// The mark that is due, of several the one that has been for longest. O(1) if none can be.
    fn due(&mut self) -> Option<MarkId> {
        if self.passed_us < self.next_due_us {
            return None;
        }
        let (deadline_us, id) = self.pending.iter().map(|(id, mark)| (mark.deadline_us, *id)).min()?;
        self.next_due_us = deadline_us;
        (deadline_us <= self.passed_us).then_some(id)
    }
}

impl Engine {
    /// Announces a change: until it is settled, nothing that depends on the tags is served or stored.
    ///
    /// At `deadline_us` the change counts as made (whoever announced it may have died).
    pub fn change(&mut self, tags: &[Tag], deadline_us: u64, now_us: u64) -> MarkId {
        let _ = self.expire_marks(now_us); // without a position left they stay pending
        let id = MarkId(self.marks.last_id + 1);
        self.marks.set_last_id(id.0);
        self.announce(id, tags, deadline_us);
        id
    }

    pub(super) fn announce(&mut self, id: MarkId, tags: &[Tag], deadline_us: u64) {
        let before = self.trie.len();
        let epoch = self.signals.epoch();
        let nodes: Vec<_> = tags.iter().map(|tag| self.trie.node(tag, epoch)).collect();
        let change = self.signals.change();
        let deadline_us = deadline_us.saturating_add(self.marks.set_back_us());
        self.marks.insert(id, Mark { deadline_us, nodes });
        self.marks.nodes(id).iter().for_each(|node| change.touch(node));
        change.publish();
        self.rotate_after(before);
    }

    /// Settles a change: invalidates its tags and ends the mark, in one step.
    ///
    /// A mark that expired invalidates again: the change may have been made after its deadline.
    ///
    /// # Errors
    /// [`SettleError::Unknown`] for a mark that is not known (any more), [`SettleError::Clock`] when no
    /// position is left; nothing has changed then.
    pub fn settle(&mut self, mark: MarkId, now_us: u64) -> Result<Timestamp, SettleError> {
        let _ = self.expire_marks(now_us);
        self.require(mark)?;
        let at = self.mint(now_us)?;
        self.end(mark, at, self.applied_by(at));
        Ok(at)
    }

    /// Settles a change at the position that the domain's log gave it; `applied` does not move.
    ///
    /// # Errors
    /// [`SettleError::Unknown`] for a mark that is not known (any more).
    pub fn settle_at(&mut self, mark: MarkId, at: Timestamp) -> Result<(), SettleError> {
        self.require(mark)?;
        self.clock.advance(at);
        self.end(mark, at, Timestamp::ZERO);
        Ok(())
    }

    fn require(&self, mark: MarkId) -> Result<(), SettleError> {
        let known =
            self.marks.place(mark).is_ok() || self.marks.expired.iter().any(|(expired, _)| *expired == mark);
        if known { Ok(()) } else { Err(SettleError::Unknown(mark)) }
    }

    fn end(&mut self, id: MarkId, at: Timestamp, applied: Timestamp) {
        if let Some(place) = self.marks.expired.iter().position(|(expired, _)| *expired == id) {
            let (_, tags) = self.marks.expired.remove(place);
            self.stamp(&tags, at, applied);
            self.record_own(at, &tags);
            return;
        }
        let change = self.signals.change();
        // Stamped before the pending bits go: a reader finds one or the other in the same word.
        self.marks.nodes(id).iter().for_each(|node| change.stamp(node, at));
        let tags: Vec<_> = self.marks.nodes(id).iter().map(|node| Node::tag(node, false)).collect();
        self.marks.remove(id);
        change.advance(applied);
        change.publish();
        self.record_own(at, &tags);
    }

    /// Turns the marks that are due into invalidations; returns how many there were.
    ///
    /// # Errors
    /// [`ClockError`] when no position is left; the marks stay pending.
    ///
    /// # Complexity
    /// O(1) when none is due.
    pub fn expire_marks(&mut self, now_us: u64) -> Result<usize, ClockError> {
        let mut count = 0;
        if now_us > Timestamp::MAX_VALID {
            return Ok(0);
        }
        self.marks.pass(now_us);
        while let Some(id) = self.marks.due() {
            let at = match self.mint(now_us) {
                Ok(at) => at,
                // What was done before is said first.
                Err(_) if count > 0 => break,
                Err(exhausted) => return Err(exhausted),
            };
            let tags = self.marks.nodes(id).iter().map(|node| Node::tag(node, false)).collect();
            self.end(id, at, self.applied_by(at));
            if self.marks.expired.len() == MAX_EXPIRED_MARKS {
                self.marks.expired.remove(0);
            }
            self.marks.expired.push((id, tags));
            count += 1;
        }
        self.counters.marks_expired += count as u64;
        Ok(count)
    }
}
