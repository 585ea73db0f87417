//! The latest invalidations of an engine without a common log, for others: anti-entropy by position.
//!
//! Invariant: what [`Engine::tail`] leaves out it says so. Positions are local, the messages those of their origins, so
//! whoever passes them on changes nothing about them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::snapshot::checksum;
use super::{Engine, Invalidation, Order};
use crate::clock::Timestamp;
use crate::limits::{MAX_TAIL_MESSAGES, MAX_TAIL_TAGS};
use crate::tag::Tag;

/// What an engine has applied after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// In the order in which they were applied.
    pub messages: Vec<Invalidation>,
    /// Up to which position of this engine: ask from there next time.
    pub to: Timestamp,
    /// Whether that is all. If not, some were forgotten, and whoever asks has to take everything for stale that it holds.
    pub is_complete: bool,
}

/// Invalidations in the order in which they were applied, each with its local position.
#[derive(Default)]
pub(super) struct History {
    rows: VecDeque<(Timestamp, Invalidation)>,
    /// In all rows together.
    tags: usize,
    /// Up to here some were forgotten.
    forgotten: Timestamp,
}

impl History {
    /// Of an engine that does not know what was before.
    pub(super) fn beginning_at(at: Timestamp) -> Self {
        Self { forgotten: at, ..Self::default() }
    }

    /// When the invalidation at a position was made, if it is remembered and that was not later.
    pub(super) fn made_at(&self, at: Timestamp) -> Timestamp {
        self.get(at).map_or(at, |message| message.at.min(at))
    }

    fn get(&self, at: Timestamp) -> Option<&Invalidation> {
        let place = self.rows.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        self.rows.get(place).map(|(_, message)| message)
    }

    fn push(&mut self, at: Timestamp, message: Invalidation) {
        self.tags += message.tags.len();
        self.rows.push_back((at, message));
        while self.rows.len() > MAX_TAIL_MESSAGES || self.tags > MAX_TAIL_TAGS {
            let Some((at, message)) = self.rows.pop_front() else { return };
            self.tags -= message.tags.len();
            self.forgotten = at;
        }
    }
}

/// What stands for the node that made an invalidation of which only a header tells.
pub(super) fn found_out(tags: &[Tag]) -> u64 {
    tags.first().map_or(0, |tag| checksum(tag.as_str().as_bytes()))
}

impl Engine {
    /// The invalidations that were applied here after a position of this engine, made here or received: for nodes
    /// without a common log, which [`apply`](Self::apply) them.
    ///
    /// # Complexity
    /// O(log n + result), n at most [`MAX_TAIL_MESSAGES`].
    pub fn tail(&self, after: Timestamp) -> Tail {
        let History { rows, forgotten, .. } = &self.history;
        let first = rows.partition_point(|(at, _)| *at <= after);
        Tail {
            messages: rows.range(first..).map(|(_, message)| message.clone()).collect(),
            to: self.clock.last(),
            is_complete: self.config.order == Order::Gossip && after >= *forgotten,
        }
    }

    /// The node that made the invalidation at this position, while it is remembered; this one if it found it out by a header,
    /// which does not say who did.
    ///
    /// # Complexity
    /// O(log n), n at most [`MAX_TAIL_MESSAGES`].
    pub fn origin_of(&self, at: Timestamp) -> Option<u64> {
        let message = self.history.get(at)?;
        Some(if message.origin == found_out(&message.tags) { self.config.node_id } else { message.origin })
    }

    pub(super) fn record_own(&mut self, at: Timestamp, tags: &[Tag]) {
        if self.config.order == Order::Gossip {
            let origin = self.config.node_id;
            self.messages.insert(origin, at);
            self.record(at, Invalidation { origin, at, tags: tags.to_vec() });
        }
    }

    pub(super) fn record(&mut self, at: Timestamp, message: Invalidation) {
        if self.config.order == Order::Gossip {
            self.history.push(at, message);
        }
    }
}
