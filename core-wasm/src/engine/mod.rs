//! [`Engine`]: the one place where structure and positions change.
//!
//! It owns the trie, the clock, the running fills and the announced changes of one process in one
//! domain. Invariants: positions handed out only rise; what a running fill or an entry depends on is
//! never forgotten without a floor; every change of an answer goes through one published
//! [`Change`](crate::signals::Change). It neither locks nor stores entries: the host wraps it in a
//! lock, and readers use [`Signals`] and handles.

mod apply;
mod branches;
mod fills;
mod marks;
mod prune;
mod snapshot;
mod stored;
mod tail;

use alloc::sync::Arc as SharedArc;
use core::fmt;

pub use apply::{Applied, Invalidation, LogRow};
pub use branches::Branch;
pub use fills::{DependencyState, Fill, Rejected};
pub use marks::{MarkId, SettleError};
pub use snapshot::SnapshotError;
pub use tail::Tail;

use crate::clock::{Clock, ClockError, Timestamp};
use crate::limits::{DEFAULT_MAX_DRIFT_US, ROTATION_STEPS_PER_NODE};
use crate::node::TagHandle;
use crate::signals::Signals;
use crate::tag::Tag;
use crate::trie::Trie;

/// Names the set of nodes that share one order of invalidations: random, 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u128);

impl fmt::Display for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// Who orders the invalidations of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// This engine: the memory domain of one process. Entries live in [`Sealed`](crate::Sealed).
    #[default]
    Own,
    /// A log that all nodes share (LMDB, Redis): positions come through [`Engine::apply_log`], and
    /// nothing minted here moves `applied`.
    Log,
    /// Nobody: nodes tell each other, and positions are local receive events ([`Engine::apply`]).
    Gossip,
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The domain it begins in.
    pub domain: DomainId,
    /// Who orders the invalidations.
    pub order: Order,
    /// How far a remote clock may run ahead, in microseconds.
    pub max_drift_us: u64,
    /// Seeds the hashing of segments: random where tags come from strangers.
    pub hash_seed: u64,
    /// Names this node in messages.
    pub node_id: u64,
    /// Whether entries rest outside this engine as headers: then it forgets nothing by itself before it is told how old
    /// they can be ([`Engine::set_horizon`]). With a log or gossip they do in any case.
    pub entries_outside: bool,
}

impl EngineConfig {
    /// A memory domain with the default drift bound, seed 0 and node 0.
    pub const fn new(domain: DomainId) -> Self {
        let (order, max_drift_us) = (Order::Own, DEFAULT_MAX_DRIFT_US);
        Self { domain, order, max_drift_us, hash_seed: 0, node_id: 0, entries_outside: false }
    }
}

impl Default for EngineConfig {
    /// As [`EngineConfig::new`], in domain 0: name a real one wherever entries leave the process.
    fn default() -> Self {
        Self::new(DomainId::default())
    }
}

/// What an engine holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Nodes in the trie, without the root.
    pub nodes: usize,
    /// Fills that have begun and neither sealed nor been abandoned.
    pub running_fills: usize,
    /// Announced changes that are neither settled nor expired.
    pub pending_marks: usize,
    /// Changes published so far.
    pub epoch: u64,
    /// Position up to which the log is applied.
    pub applied: Timestamp,
    /// Last position of the clock.
    pub clock: Timestamp,
    /// Entries below it are stale.
    pub floor: Timestamp,
    /// Domains this engine has belonged to, besides the first.
    pub generation: u32,
    /// Remote times refused because they ran ahead.
    pub drift_refused: u64,
    /// Messages that had been applied before.
    pub duplicates: u64,
    /// Messages found missing by the positions in a header.
    pub missed: u64,
    /// Nodes forgotten.
    pub pruned: u64,
    /// Marks that expired before they were settled.
    pub marks_expired: u64,
    /// Fills that were born stale.
    pub rejected_stale: u64,
}

/// The part of [`EngineStats`] that only ever rises.
#[derive(Default)]
struct Counters {
    drift_refused: u64,
    duplicates: u64,
    missed: u64,
    pruned: u64,
    marks_expired: u64,
    rejected_stale: u64,
}

/// Judges, seals and invalidates for one process in one domain.
///
/// Methods that change anything take `&mut self`; wrap it in a lock that is held for one call.
/// The example of the crate shows the round.
pub struct Engine {
    config: EngineConfig,
    clock: Clock,
    signals: SharedArc<Signals>,
    trie: Trie,
    fills: fills::Fills,
    marks: marks::Marks,
    messages: apply::Messages,
    history: tail::History,
    horizon: Timestamp,
    counters: Counters,
}

impl Engine {
    /// An engine that knows of no invalidation.
    pub fn new(config: EngineConfig) -> Self {
        // Epoch 0 would look like a proof that was never made.
        Self::with_signals(config, Signals::new(1, 0))
    }

    fn with_signals(config: EngineConfig, signals: SharedArc<Signals>) -> Self {
        let trie = Trie::new(signals.root().clone(), config.hash_seed);
        let horizon = match config.order {
            Order::Own if !config.entries_outside => Timestamp::MAX,
            // Stored entries may be older than anything in this process: see `set_horizon`.
            Order::Own | Order::Log | Order::Gossip => Timestamp::ZERO,
        };
        Self {
            clock: Clock::new(config.max_drift_us),
            signals,
            trie,
            fills: fills::Fills::default(),
            marks: marks::Marks::default(),
            messages: apply::Messages::default(),
            history: tail::History::default(),
            horizon,
            counters: Counters::default(),
            config,
        }
    }

    /// What readers need without the engine.
    pub fn signals(&self) -> &SharedArc<Signals> {
        &self.signals
    }

    /// The domain it belongs to now.
    pub fn domain(&self) -> DomainId {
        self.config.domain
    }

    /// How it was set up; the domain is the present one.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// A handle to a tag, which keeps its node from being pruned.
    ///
    /// # Complexity
    /// O(depth), and two rotation steps for each node that is created.
    pub fn intern(&mut self, tag: &Tag) -> TagHandle {
        let before = self.trie.len();
        let handle = self.trie.intern(tag, self.signals.epoch());
        self.rotate_after(before);
        handle
    }

    /// The highest position on a tag's path, and below it for a subtree; never less than the truth.
    ///
    /// Of a tag that was forgotten it is the floor its parent kept, which may belong to a sibling.
    ///
    /// # Complexity
    /// O(depth); creates no node.
    pub fn latest(&self, tag: &Tag) -> Timestamp {
        self.trie.survey(tag, Timestamp::MAX).latest
    }

    /// What it holds and has done.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            nodes: self.trie.len(),
            running_fills: self.fills.len(),
            pending_marks: self.marks.pending(),
            epoch: self.signals.epoch(),
            applied: self.signals.applied(),
            clock: self.clock.last(),
            floor: self.signals.floor(),
            generation: self.signals.generation(),
            drift_refused: self.counters.drift_refused,
            duplicates: self.counters.duplicates,
            missed: self.counters.missed,
            pruned: self.counters.pruned,
            marks_expired: self.counters.marks_expired,
            rejected_stale: self.counters.rejected_stale,
        }
    }

    /// A position for a change that is made here; in a log's domain it does not count as applied.
    fn mint(&mut self, now_us: u64) -> Result<Timestamp, ClockError> {
        self.clock.tick(now_us)
    }

    /// How far `applied` moves when `at` was given to a change here.
    fn applied_by(&self, at: Timestamp) -> Timestamp {
        if self.config.order == Order::Log { Timestamp::ZERO } else { at }
    }

    /// Pays for the nodes created since there were `before`.
    fn rotate_after(&mut self, before: usize) {
        let created = self.trie.len() - before;
        if created > 0 {
            self.prune(self.horizon, created * ROTATION_STEPS_PER_NODE);
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Engine");
        shown.field("config", &self.config).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
