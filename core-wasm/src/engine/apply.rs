//! Invalidations: made here, read from a log, or received from another node.
//!
//! Invariants: an invalidation is O(depth) and touches no entry; `applied` moves only over what is
//! known without a gap; of a remote message its *time* may be refused, the invalidation never.

use alloc::vec::Vec;

use super::{DomainId, Engine, Order, tail};
use crate::clock::{ClockError, DriftError, Timestamp};
use crate::limits::MAX_REMEMBERED_MESSAGES;
use crate::mutant;
use crate::tag::Tag;

/// One row of a shared domain's log or tag table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The tag.
    pub tag: Tag,
    /// Whether it says that something *below* the tag was invalidated.
    pub below_only: bool,
    /// At which position.
    pub at: Timestamp,
}

/// A message about an invalidation that another node made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The node that made it.
    pub origin: u64,
    /// Its position there; with `origin` it names the message.
    pub at: Timestamp,
    /// What it invalidates.
    pub tags: Vec<Tag>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// It was applied at this local position.
    At(Timestamp),
    /// It was applied, but its time was refused: the sender's clock runs ahead.
    Drifted {
        /// The local position.
        at: Timestamp,
        /// What was refused.
        drift: DriftError,
    },
    /// It had been applied before, or is our own.
    Duplicate,
}

/// The messages with the latest positions, by these.
#[derive(Default)]
pub(super) struct Messages {
    seen: Vec<(Timestamp, u64)>,
    /// Of those up to here, and of them only, some may have been forgotten.
    forgotten: Timestamp,
    /// Up to here this node's own are known from a snapshot.
    own_up_to: Timestamp,
}

impl Messages {
    /// Of a node that made its messages up to here in an earlier life, and knows them.
    pub(super) fn with_own_up_to(own_up_to: Timestamp) -> Self {
        Self { own_up_to, ..Self::default() }
    }

    pub(super) fn contains(&self, origin: u64, at: Timestamp) -> bool {
        self.seen.binary_search(&(at, origin)).is_ok()
    }

    /// Remembers a message.
    pub(super) fn insert(&mut self, origin: u64, at: Timestamp) {
        // Near the end, as a rule.
        if let Err(place) = self.seen.binary_search(&(at, origin)) {
            self.seen.insert(place, (at, origin));
        }
        if self.seen.len() > 2 * MAX_REMEMBERED_MESSAGES {
            // Half of them at a time: the others move.
            let (at, _) = self.seen[MAX_REMEMBERED_MESSAGES];
            self.seen.drain(..=MAX_REMEMBERED_MESSAGES);
            self.forgotten = self.forgotten.max(at);
        }
    }
}

impl Engine {
    /// Invalidates tags, all at one position: whatever depends on them, or below them, is stale.
    ///
    /// When it has returned, no reader of this engine finds such an entry fresh. `a:b:*` means the
    /// same as `a:b` here, and `*` everything. Without tags nothing happens.
    ///
    /// # Errors
    /// [`ClockError`] when no position is left; nothing has changed then.
    ///
    /// # Complexity
    /// O(depth) for each tag, independent of the number of entries.
    pub fn invalidate(&mut self, tags: &[Tag], now_us: u64) -> Result<Timestamp, ClockError> {
        if tags.is_empty() {
            return Ok(self.signals.applied());
        }
        let at = self.mint(now_us)?;
        self.stamp(tags, at, self.applied_by(at));
        self.record_own(at, tags);
        Ok(at)
    }

    /// Invalidates everything: the root. Nothing is reset.
    ///
    /// # Errors
    /// As [`Engine::invalidate`].
    pub fn clear(&mut self, now_us: u64) -> Result<Timestamp, ClockError> {
        self.invalidate(&[Tag::root()], now_us)
    }

    /// Stamps tags in one published change.
    pub(super) fn stamp(&mut self, tags: &[Tag], at: Timestamp, applied: Timestamp) {
        let before = self.trie.len();
        let change = self.signals.change();
        let epoch = self.signals.epoch();
        for tag in tags {
            change.stamp(&self.trie.node(tag, epoch), at);
        }
        change.advance(applied);
        change.publish();
        self.rotate_after(before);
    }

    /// Applies what a shared log says of the positions up to `to`, all of which it must contain.
    ///
    /// Positions are taken as they are (the highest wins), so rows may repeat. Ends a doubt.
    ///
    /// # Complexity
    /// O(depth) for each row.
    pub fn apply_log(&mut self, rows: &[LogRow], to: Timestamp) {
        self.take_rows(rows);
        let change = self.signals.change();
        if self.signals.in_doubt() {
            change.set_doubt(false);
        }
        change.advance(to);
        change.publish();
        self.clock.advance(to);
    }

    /// Applies rows of a shared log that prove no completeness: `applied` stays, doubt stays.
    ///
    /// For a message on the bus that does not follow on what is applied.
    pub fn apply_rows(&mut self, rows: &[LogRow]) {
        self.take_rows(rows);
    }

    fn take_rows(&mut self, rows: &[LogRow]) {
        let before = self.trie.len();
        let change = self.signals.change();
        let epoch = self.signals.epoch();
        for row in rows {
            let node = self.trie.node(&row.tag, epoch);
            if row.below_only {
                change.stamp_below(&node, row.at);
            } else {
                change.stamp(&node, row.at);
            }
            self.clock.advance(row.at);
        }
        change.publish();
        self.rotate_after(before);
    }

    /// Applies a message of a node without a common log, as a receive event of the local clock.
    ///
    /// One of its own that this engine does not know, having been restored from before it, is applied like any other.
    /// One that is older than the latest [`MAX_REMEMBERED_MESSAGES`] may be a duplicate: it is applied, and told on as one
    /// of this node's own, since under its old name it could go round for ever.
    ///
    /// # Errors
    /// [`ClockError`] when no position is left; nothing has changed then. A time that runs ahead is no
    /// error: it is refused, and the invalidation applied ([`Applied::Drifted`]).
    pub fn apply(&mut self, message: &Invalidation, now_us: u64) -> Result<Applied, ClockError> {
        let is_own = message.origin == self.config.node_id;
        let is_known_own =
            is_own && (self.config.order != Order::Gossip || message.at <= self.messages.own_up_to);
        if is_known_own || self.messages.contains(message.origin, message.at) {
            self.counters.duplicates += 1;
            return Ok(Applied::Duplicate);
        }
        let applied = match self.clock.observe(message.at, now_us) {
            Ok(at) => Applied::At(at),
            Err(drift) => {
                let at = self.mint(now_us)?;
                self.counters.drift_refused += 1;
                if mutant::is_on("drop_drifted") {
                    return Ok(Applied::Drifted { at, drift });
                }
                Applied::Drifted { at, drift }
            }
        };
        if let Applied::At(at) | Applied::Drifted { at, .. } = applied {
            let stamp = if mutant::is_on("keep_sender_time") { message.at } else { at };
            self.stamp(&message.tags, stamp, self.applied_by(at));
            if message.at > self.messages.forgotten {
                self.record(at, message.clone());
            } else {
                self.record_own(at, &message.tags);
            }
        }
        self.messages.insert(message.origin, message.at);
        Ok(applied)
    }

    /// Says that something may have been missed: nothing is proved until [`Engine::apply_log`].
    pub fn doubt(&mut self) {
        let change = self.signals.change();
        change.set_doubt(true);
        change.publish();
    }

    /// Makes everything older than `floor` stale; it only rises.
    ///
    /// Without a log, positions go on from there: what begins afterwards is as of the floor.
    pub fn raise_floor(&mut self, floor: Timestamp) {
        let change = self.signals.change();
        change.raise_floor(floor);
        change.advance(self.applied_by(floor));
        change.publish();
        if self.config.order != Order::Log {
            self.clock.advance(floor);
        }
    }

    /// Enters another domain: whatever is older is foreign, running fills included.
    ///
    /// `floor` is the position from which on the new log will be applied: what it says of earlier
    /// positions is unknown here, so entries below are stale. `applied` becomes `floor`. Announced
    /// changes stay announced. Positions of the old domain are forgotten.
    ///
    /// # Complexity
    /// O(nodes).
    pub fn reset_domain(&mut self, domain: DomainId, floor: Timestamp) {
        self.config.domain = domain;
        self.fills.clear();
        self.history = tail::History::beginning_at(floor);
        let change = self.signals.change();
        change.enter_domain(floor);
        self.trie.reset(Timestamp::ZERO);
        change.publish();
        self.clock.advance(floor);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn of_many_messages_the_oldest_are_forgotten() {
        let (mut messages, many) = (Messages::default(), MAX_REMEMBERED_MESSAGES as u64);
        for at in 0..2 * many {
            messages.insert(1, Timestamp::from_micros(at));
            messages.insert(1, Timestamp::from_micros(at));
        }
        assert!(messages.contains(1, Timestamp::ZERO));
        messages.insert(1, Timestamp::from_micros(2 * many));
        assert_eq!(messages.seen.len(), MAX_REMEMBERED_MESSAGES);
        assert!(messages.contains(1, Timestamp::from_micros(2 * many)));
        assert!(messages.contains(1, Timestamp::from_micros(many + 1)));
        assert!(!messages.contains(1, Timestamp::from_micros(many)));
        assert_eq!(messages.forgotten, Timestamp::from_micros(many));
    }
}
