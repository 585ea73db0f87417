//! The seam to the engine: who knows the tags' versions and judges entries.
//!
//! [`Engine`] is what a cache needs of an engine; [`NativeEngine`] is the `zoocache-core` engine behind a
//! mutex. The mutex guards structure only and is held for a few hundred nanoseconds, never while a
//! user's code, a storage or another lock of the host is waited for. Hits do not take it: they read
//! [`Signals`] and the nodes an entry points to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::lock::now;
use crate::sync::{Mutex, MutexGuard};
use zoocache_core::{
    Branch, Cause, ClockError, DependencySet, DomainId, EngineConfig, EngineStats, Fill, Header, LogRow,
    MarkId, Order, Rejected, Sealed, SettleError, Signals, Tag, TagHandle, Timestamp, Verdict,
};

/// What a cache needs of an engine. All methods may be called from any thread.
///
/// Times are microseconds since the Unix epoch.
pub trait Engine: Send + Sync + 'static {
    /// The state that hits read without a call.
    fn signals(&self) -> &Arc<Signals>;
    /// Begins a fill: fixes its `as_of`, before the computation reads anything.
    fn begin(&self, now_us: u64) -> Begun;
    /// Ends a fill without a result.
    fn abandon(&self, begun: Begun);
    /// Forgets all running fills: those who ran them are gone.
    fn forget_fills(&self);
    /// Ends a fill: its dependencies as a sealed proof, or why it may not be stored.
    ///
    /// # Errors
    /// [`Rejected`] when a dependency was invalidated, or is being changed, since the fill began.
    fn seal(&self, begun: Begun, result: &Sealing<'_>) -> Result<Proof, Rejected>;
    /// Is the entry fresh?
    fn judge(&self, proof: &Proof) -> Verdict;
    /// What made the entry stale.
    fn blame(&self, proof: &Proof) -> Option<Cause>;
    /// The header under which the entry rests outside the process; `expires_us` 0 is never. `None` if the engine does not
    /// know the entry any more.
    fn header(&self, proof: &Proof, created_us: u64, expires_us: u64) -> Option<Header>;
    /// A handle to the tag, created if need be.
    fn intern(&self, tag: &Tag) -> TagHandle;
    /// Invalidates `tags` at one new position.
    ///
    /// # Errors
    /// [`ClockError`] when no position is left.
    fn invalidate(&self, tags: &[Tag], now_us: u64) -> Result<Timestamp, ClockError>;
    /// Takes over rows of a shared log; for domains whose positions are assigned elsewhere.
    fn apply_log(&self, rows: &[LogRow], to: Timestamp);
    /// Takes over rows of a shared log that prove no completeness.
    fn apply_rows(&self, rows: &[LogRow]);
    /// Says that something may have been missed: nothing can be proved until the log has been applied.
    fn doubt(&self);
    /// The domain the engine belongs to now.
    fn domain(&self) -> DomainId;
    /// Enters another domain: everything older is foreign.
    fn reset_domain(&self, domain: DomainId, floor: Timestamp);
    /// Makes everything older than `floor` stale.
    fn raise_floor(&self, floor: Timestamp);
    /// Lets the engine forget by itself what is older; only needed where entries rest outside the process.
    fn set_horizon(&self, horizon: Timestamp);
    /// May an entry that rests outside the process be served?
    fn judge_header(&self, header: &Header, now_us: u64) -> Verdict;
    /// Takes an entry that rests outside the process into memory.
    ///
    /// # Errors
    /// [`Rejected`] says why it may not be served.
    fn admit(&self, header: &Header, now_us: u64) -> Result<Proof, Rejected>;
    /// What an entry that rests outside the process depends on, whether or not it may be served; `None` if
    /// it is of another domain.
    fn inspect(&self, header: &Header) -> Option<Proof>;
    /// Removes a mark that a shared log settled at `at`.
    ///
    /// # Errors
    /// [`SettleError`] when there is no such mark.
    fn settle_at(&self, mark: MarkId, at: Timestamp) -> Result<(), SettleError>;
    /// Position of the latest invalidation that covers `tag`.
    fn latest(&self, tag: &Tag) -> Timestamp;
    /// Marks `tags` as being changed until the mark is settled or `deadline_us` has passed.
    fn change(&self, tags: &[Tag], deadline_us: u64, now_us: u64) -> MarkId;
    /// Removes a mark and invalidates its tags, in one step.
    ///
    /// # Errors
    /// [`SettleError`] when there is no such mark or no position is left.
    fn settle(&self, mark: MarkId, now_us: u64) -> Result<Timestamp, SettleError>;
    /// Forgets tags that can no longer decide anything; looks at `budget` nodes at most.
    fn prune(&self, horizon: Timestamp, budget: usize) -> usize;
    /// The tags that are known just below `tag`, `most` of them at most, in no order; none of an engine that does not
    /// tell.
    fn branches(&self, _tag: &Tag, _most: usize) -> Vec<Branch> {
        Vec::new()
    }
    /// Counters and sizes.
    fn stats(&self) -> EngineStats;
}

/// A fill that an engine has begun. Give it back with [`Engine::seal`] or [`Engine::abandon`].
#[derive(Debug)]
#[must_use = "seal or abandon it: a running fill holds back pruning"]
pub struct Begun {
    fill: Option<Fill>,
    #[cfg(feature = "component-host")]
    foreign: Option<crate::component::Resource>,
}

impl Begun {
    fn native(fill: Fill) -> Self {
        Self {
            fill: Some(fill),
            #[cfg(feature = "component-host")]
            foreign: None,
        }
    }

    /// One of the component's; none if it failed.
    #[cfg(feature = "component-host")]
    pub(crate) fn held(foreign: Option<crate::component::Resource>) -> Self {
        Self { fill: None, foreign }
    }

    #[cfg(feature = "component-host")]
    pub(crate) fn foreign(&self) -> Option<crate::component::Resource> {
        self.foreign
    }
}

/// What an entry in memory keeps of its freshness: to be judged by the engine that sealed it.
#[derive(Debug)]
pub struct Proof {
    sealed: Sealed,
    #[cfg(feature = "component-host")]
    foreign: Option<Box<crate::component::Held>>,
}

impl Proof {
    fn native(sealed: Sealed) -> Self {
        Self {
            sealed,
            #[cfg(feature = "component-host")]
            foreign: None,
        }
    }

    /// One of the component's.
    #[cfg(feature = "component-host")]
    pub(crate) fn held(sealed: Sealed, foreign: crate::component::Held) -> Self {
        Self { sealed, foreign: Some(Box::new(foreign)) }
    }

    #[cfg(feature = "component-host")]
    pub(crate) fn foreign(&self) -> Option<&crate::component::Held> {
        self.foreign.as_deref()
    }
}

impl std::ops::Deref for Proof {
    type Target = Sealed;

    #[inline]
    fn deref(&self) -> &Sealed {
        &self.sealed
    }
}

/// What a finished fill hands to [`Engine::seal`].
#[derive(Debug, Clone, Copy)]
pub struct Sealing<'a> {
    /// Everything the value was computed from.
    pub dependencies: &'a DependencySet,
    /// Upper bound of the entry's `as_of`: lower than the fill's own when stale data was used on purpose.
    pub as_of_bound: Timestamp,
    /// The time, for marks whose deadline has passed.
    pub now_us: u64,
}

/// Longer than a thread takes to wake up, as a rule.
const WAKING_UP: Duration = Duration::from_micros(300);

/// The `zoocache-core` engine, called directly.
pub struct NativeEngine {
    signals: Arc<Signals>,
    core: Mutex<zoocache_core::Engine>,
    /// How many threads wait for `core`.
    waiting: AtomicUsize,
    /// What lies above must not be forgotten: entries outside the process may still need it.
    horizon_us: AtomicU64,
}

impl NativeEngine {
    /// A new engine with an empty trie in a domain of its own.
    pub fn new(domain: DomainId, hash_seed: u64) -> Self {
        Self::ordered_by(Order::Own, domain, hash_seed)
    }

    /// A new engine that follows a log which processes share, and knows nothing of it yet.
    pub fn following_a_log(domain: DomainId, hash_seed: u64) -> Self {
        Self::ordered_by(Order::Log, domain, hash_seed)
    }

    fn ordered_by(order: Order, domain: DomainId, hash_seed: u64) -> Self {
        let config = EngineConfig { domain, order, hash_seed, ..EngineConfig::default() };
        let core = zoocache_core::Engine::new(config);
        let horizon_us = AtomicU64::new(if order == Order::Own { u64::MAX } else { 0 });
        Self {
            signals: Arc::clone(core.signals()),
            core: Mutex::new(core),
            waiting: AtomicUsize::new(0),
            horizon_us,
        }
    }

    fn core(&self) -> MutexGuard<'_, zoocache_core::Engine> {
        self.core.try_lock().unwrap_or_else(|| {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let core = self.core.lock();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            core
        })
    }

    /// Who takes the lock again and again gets it before any thread that it has just woken: it waits here until they
    /// had it, or for a moment.
    fn let_others_pass(&self) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let began = now();
        while self.waiting.load(Ordering::Relaxed) > 0 && began.elapsed() < WAKING_UP {
            std::thread::yield_now();
        }
    }
}

impl Engine for NativeEngine {
    #[inline]
    fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    fn begin(&self, now_us: u64) -> Begun {
        Begun::native(self.core().begin(now_us))
    }

    fn abandon(&self, begun: Begun) {
        if let Some(fill) = begun.fill {
            self.core().abandon(fill);
        }
    }

    fn forget_fills(&self) {
        // In a forked child: whoever waited is not here.
        self.waiting.store(0, Ordering::Relaxed);
        self.core().forget_fills();
    }

    fn seal(&self, begun: Begun, result: &Sealing<'_>) -> Result<Proof, Rejected> {
        let fill = begun.fill.ok_or(Rejected::Foreign)?;
        let sealed = self.core().seal(fill, result.dependencies, result.as_of_bound, result.now_us);
        sealed.map(Proof::native)
    }

    #[inline]
    fn judge(&self, proof: &Proof) -> Verdict {
        proof.judge(&self.signals)
    }

    fn blame(&self, proof: &Proof) -> Option<Cause> {
        proof.blame(&self.signals)
    }

    fn header(&self, proof: &Proof, created_us: u64, expires_us: u64) -> Option<Header> {
        let core = self.core();
        proof.header(&self.signals, core.domain(), created_us, expires_us)
    }

    fn intern(&self, tag: &Tag) -> TagHandle {
        self.core().intern(tag)
    }

    fn invalidate(&self, tags: &[Tag], now_us: u64) -> Result<Timestamp, ClockError> {
        self.core().invalidate(tags, now_us)
    }

    fn apply_log(&self, rows: &[LogRow], to: Timestamp) {
        self.core().apply_log(rows, to);
    }

    fn apply_rows(&self, rows: &[LogRow]) {
        self.core().apply_rows(rows);
    }

    fn doubt(&self) {
        self.core().doubt();
    }

    fn domain(&self) -> DomainId {
        self.core().domain()
    }

    fn reset_domain(&self, domain: DomainId, floor: Timestamp) {
        self.core().reset_domain(domain, floor);
    }

    fn raise_floor(&self, floor: Timestamp) {
        self.core().raise_floor(floor);
    }

    fn set_horizon(&self, horizon: Timestamp) {
        self.horizon_us.fetch_max(horizon.as_micros(), Ordering::Relaxed);
        self.core().set_horizon(horizon);
    }

    fn judge_header(&self, header: &Header, now_us: u64) -> Verdict {
        self.core().judge(header, now_us)
    }

    fn admit(&self, header: &Header, now_us: u64) -> Result<Proof, Rejected> {
        self.core().admit(header, now_us).map(Proof::native)
    }

    fn inspect(&self, header: &Header) -> Option<Proof> {
        self.core().inspect(header).map(Proof::native)
    }

    fn settle_at(&self, mark: MarkId, at: Timestamp) -> Result<(), SettleError> {
        self.core().settle_at(mark, at)
    }

    fn latest(&self, tag: &Tag) -> Timestamp {
        self.core().latest(tag)
    }

    fn change(&self, tags: &[Tag], deadline_us: u64, now_us: u64) -> MarkId {
        self.core().change(tags, deadline_us, now_us)
    }

    fn settle(&self, mark: MarkId, now_us: u64) -> Result<Timestamp, SettleError> {
        self.core().settle(mark, now_us)
    }

    fn prune(&self, horizon: Timestamp, budget: usize) -> usize {
        let kept = Timestamp::from_micros(self.horizon_us.load(Ordering::Relaxed));
        self.let_others_pass();
        self.core().prune(horizon.min(kept), budget)
    }

    fn branches(&self, tag: &Tag, most: usize) -> Vec<Branch> {
        self.core().branches(tag, most)
    }

    fn stats(&self) -> EngineStats {
        self.core().stats()
    }
}
