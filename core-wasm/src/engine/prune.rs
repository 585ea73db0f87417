//! Forgetting: which nodes may go, and when.
//!
//! Invariant: a node goes only when nobody refers to it and its positions are at most the `as_of` of
//! every running fill; what it knew becomes its parent's floor. Where entries rest outside the
//! process, a horizon keeps what may still decide about them. There are no pauses: each created node
//! pays for two steps of a rotation.

use super::Engine;
use crate::clock::Timestamp;

impl Engine {
    /// Forgets unused nodes with positions up to `horizon`, looking at no more than `budget` nodes.
    ///
    /// `usize::MAX` is one full turn; returns how many were forgotten. In a memory domain no entry
    /// turns stale by it, whatever the horizon. An entry stored outside the process whose `as_of` lies
    /// below the horizon may turn stale, never fresh.
    ///
    /// # Complexity
    /// O(depth) for each node looked at.
    pub fn prune(&mut self, horizon: Timestamp, budget: usize) -> usize {
        let decided = self.fills.earliest().unwrap_or(Timestamp::MAX).min(self.signals.applied());
        let pruned = self.trie.rotate(budget, horizon.min(decided));
        self.counters.pruned += pruned as u64;
        pruned
    }

    /// Sets how far the rotation may forget by itself; it only rises.
    ///
    /// A memory domain begins with no bound. The others begin with 0 and forget nothing until told:
    /// pass `now` minus the longest lifetime of a stored entry from time to time.
    pub fn set_horizon(&mut self, horizon: Timestamp) {
        self.horizon = self.horizon.max(horizon);
    }
}
