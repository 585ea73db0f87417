//! The cache: the only place where storage, engine, sequencer and flights meet.
//!
//! * hit: [`Cache::lookup`]: storage, then the judgement of what was found;
//! * miss: [`Cache::join`] → the user's function → [`Leader::finish`] (`lead.rs`), or a [`Waiter`] for
//!   somebody else's result (`wait.rs`);
//! * entries that rest outside of the process: `resting.rs`; what others are told when one of them is replaced:
//!   `replaced.rs`; what is told of uses: `uses.rs`;
//! * one computation among all processes: [`Leader::claim`] (`claim.rs`);
//! * invalidation: [`Cache::invalidate`] → sequencer → engine; no entry is touched;
//! * stale on purpose: [`Cache::stand_in`] (`stand_in.rs`), and [`Cache::lead_refresh`] (`refresh.rs`) to
//!   compute a value that can still be served;
//! * looking at it without being served: `inspect.rs`, `pages.rs`, `tree.rs`, `affected.rs`, `look.rs`;
//! * `compute.rs` composes these for Rust callers, threads and tasks alike.
//!
//! Lock order: a flight stripe, then the engine or a storage shard. No lock is held while a user's code
//! runs, and no value is dropped under a lock.

mod affected;
mod claim;
mod compute;
mod inspect;
mod lead;
#[cfg(test)]
mod log_tests;
mod look;
mod pages;
mod refresh;
mod replaced;
#[cfg(all(test, feature = "lmdb"))]
mod replaced_tests;
mod resting;
mod stand_in;
mod sweep;
mod tree;
mod uses;
mod wait;

pub use claim::Claim;
pub use compute::Pauses;
pub use inspect::{DependencyState, EntryState, Explanation, StaleCause, Stats};
pub use lead::{Finish, Join, Leader};
pub use pages::{Filter, Listed, Page};
pub(crate) use resting::Resting;
use stand_in::Now;
pub use stand_in::{StandIn, Tolerance};
pub use tree::TreeNode;
pub use wait::{Waited, Waiter};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use zoocache_core::{MarkId, Signals, Tag, Timestamp, Verdict};

use crate::clock::WallClock;
use crate::config::{Builder, Policy, Weigher};
use crate::counters::{Count, Counters};
use crate::engine::Engine;
use crate::entry::{Entry, Lifetime};
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::flight::Flights;
use crate::gate;
use crate::sequencer::{Change, Sequencer};
use crate::storage::{MemoryStorage, Storage};
use crate::timings::{Stopwatch, Timings, Trip};

/// A cache of values of type `V`. Cloning it is cheap and gives the same cache.
///
/// ```
/// use zoocache::{Cache, Policy};
/// let cache = Cache::<String>::builder().build()?;
/// let policy = Policy::default().tag("org:1:store:2")?;
/// let name = cache.get_or_compute("store 2", &policy, |_| Ok::<_, zoocache::Error>("corner".to_owned()))?;
/// assert_eq!(name, "corner");
/// assert_eq!(cache.get("store 2").as_deref(), Some("corner"));
/// cache.invalidate(&["org:1"])?; // everything below org:1 is stale now
/// assert_eq!(cache.get("store 2"), None);
/// # Ok::<(), zoocache::Error>(())
/// ```
pub struct Cache<V> {
    shared: Arc<Shared<V>>,
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// What a [`Builder`] hands over.
pub(crate) struct Parts<V> {
    pub(crate) storage: MemoryStorage<V>,
    /// What lies below `storage`, which is then a near cache.
    pub(crate) resting: Option<Resting<V>>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) sequencer: Arc<dyn Sequencer>,
    /// Does every read ask a server what has changed?
    pub(crate) asks_each_time: bool,
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) weigher: Option<Weigher<V>>,
    pub(crate) default_lifetime: Lifetime,
    pub(crate) flight_timeout: Duration,
    pub(crate) sweep_interval: Duration,
    pub(crate) node: String,
    pub(crate) timings: Option<Arc<Timings>>,
    /// Are trips measured by whoever makes them here? Those to a server are measured by the server's feed.
    pub(crate) times_trips: bool,
}

struct Shared<V> {
    id: u64,
    signals: Arc<Signals>,
    /// Are invalidations ordered outside of this process?
    follows_log: bool,
    parts: Parts<V>,
    flights: Flights<V>,
    counters: Counters,
    invalidations: AtomicU64,
    /// Are computations measured, although there are no timings?
    is_measured: AtomicBool,
    sweeper: sweep::Sweeper,
}

/// What a lookup found.
#[derive(Debug)]
pub enum Lookup<V> {
    /// A fresh entry.
    Hit(Arc<Entry<V>>),
    /// Nothing that may be served; the count says why.
    Miss(Count),
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Settings of a new cache.
    pub fn builder() -> Builder<V> {
        Builder::default()
    }

    pub(crate) fn assemble(parts: Parts<V>) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let shared = Shared {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            signals: Arc::clone(parts.engine.signals()),
            follows_log: parts.sequencer.follows_log(),
            flights: Flights::new(),
            counters: Counters::default(),
            invalidations: AtomicU64::new(0),
            is_measured: AtomicBool::new(false),
            sweeper: sweep::Sweeper::default(),
            parts,
        };
        Self { shared: Arc::new(shared) }
    }

    /// A number that tells this cache from all others of the process.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// The fresh entry under `key`, if there is one. Counts nothing.
    ///
    /// # Complexity
    /// One table lookup; two loads more when nothing was invalidated since the entry was last found
    /// fresh, else a walk over what changed on its dependencies' paths.
    #[inline]
    pub fn lookup(&self, key: &[u8]) -> Lookup<V> {
        self.look_up(key, false)
    }

    /// [`lookup`](Self::lookup), but not far away: for callers who go on with [`join`](Self::join), which looks
    /// there, so that a miss makes one trip and not two.
    #[inline]
    pub fn lookup_near(&self, key: &[u8]) -> Lookup<V> {
        self.look_up(key, self.is_far())
    }

    /// Do entries rest far away, so that a read of them is a trip?
    #[inline]
    pub(super) fn is_far(&self) -> bool {
        self.shared.parts.resting.as_ref().is_some_and(|resting| resting.rows.brings_news())
    }

    #[inline]
    fn look_up(&self, key: &[u8], is_near: bool) -> Lookup<V> {
        let _reading = self.begin_reading();
        // The entry first, then what is known about its tags: newer knowledge is the safe side.
        let found = self.shared.parts.storage.get(key);
        let status = found.as_deref().map(|entry| match self.status(entry) {
            // The log that was just read said that another process replaced it.
            Status::Fresh if self.shared.follows_log && entry.is_retired() => Status::Stale,
            status => status,
        });
        match Status::admit(status) {
            Ok(()) => Lookup::Hit(found.expect("invariant: only an entry is fresh")),
            Err(why) => match &self.shared.parts.resting {
                Some(resting) if !is_near => self.look_below(resting, key, why),
                _ => Lookup::Miss(why),
            },
        }
    }

    /// May an entry that an earlier lookup found still be served? For callers that remember entries beside
    /// the storage; they should look up again now and then, or the storage takes the entry for unused.
    #[inline]
    pub fn is_servable(&self, entry: &Entry<V>) -> bool {
        let _reading = self.begin_reading();
        // Reading the log may retire it.
        self.status(entry) == Status::Fresh && !entry.is_retired()
    }

    #[inline]
    fn status(&self, entry: &Entry<V>) -> Status {
        let status = self.status_as_of(self.shared.keep_up(), entry);
        if self.shared.follows_log && status == Status::Fresh {
            entry.mark_used();
        }
        status
    }

    /// The status as far as the engine knows, which knows enough if `current`: the caller has just caught
    /// up with the log, which must not be done under a lock of the cache.
    #[inline]
    fn status_as_of(&self, current: bool, entry: &Entry<V>) -> Status {
        let shared = &*self.shared;
        if !current {
            return Status::Stale;
        }
        if !entry.sealed().is_proved(&shared.signals)
            && shared.parts.engine.judge(entry.sealed()) != Verdict::Fresh
        {
            return Status::Stale;
        }
        if entry.can_expire() {
            let now_ms = shared.parts.clock.monotonic_ms();
            if entry.is_expired(now_ms) {
                return Status::Expired;
            }
            entry.touch(now_ms);
        }
        Status::Fresh
    }

    /// How long things take, if the cache was built to measure that.
    pub fn timings(&self) -> Option<&Timings> {
        self.shared.parts.timings.as_deref()
    }

    /// Lets computations that begin from now on be measured, for [`Leader::elapsed_ns`]. A cache that was built
    /// with [`timings`](crate::Builder::timings) measures them in any case.
    pub fn measure(&self) {
        self.shared.is_measured.store(true, Ordering::Relaxed);
    }

    /// Begins to measure a computation, if that is wanted.
    fn stopwatch(&self) -> Option<Stopwatch> {
        let is_wanted =
            self.shared.parts.timings.is_some() || self.shared.is_measured.load(Ordering::Relaxed);
        is_wanted.then(Stopwatch::start)
    }

    /// Adds one to a counter.
    #[inline]
    pub fn count(&self, what: Count) {
        self.shared.counters.add(what);
    }

    /// Stores a value that was not computed through the cache.
    ///
    /// It replaces what is stored under the key, also what a computation that is running now would
    /// store. Returns whether it was stored: it is not when a tag of the policy is being changed.
    pub fn put(&self, key: impl AsRef<[u8]>, value: V, policy: &Policy) -> bool {
        let leader = self.lead_alone(key.as_ref(), None, true);
        leader.declare(policy);
        leader.finish_with(value, policy.finish()).1
    }

    /// [`put`](Self::put) of a value whose bytes are there already, for where entries rest outside of the
    /// process.
    pub fn put_encoded(&self, key: impl AsRef<[u8]>, value: V, bytes: Vec<u8>, policy: &Policy) -> bool {
        let leader = self.lead_alone(key.as_ref(), None, true).encoded(bytes);
        leader.declare(policy);
        leader.finish_with(value, policy.finish()).1
    }

    /// Removes one key. Returns whether a fresh entry was there. A computation of this key that is
    /// running now will not store its result.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        let delete_above = || {
            let mut stripe = self.shared.flights.stripe(key);
            stripe.delete(key);
            self.shared.parts.storage.remove(key)
        };
        let (below, removed) = match &self.shared.parts.resting {
            None => (false, delete_above()),
            Some(resting) => self.delete_below(resting, key, delete_above),
        };
        below || removed.is_some_and(|entry| matches!(self.status(&entry), Status::Fresh))
    }

    /// Invalidates `tags` and everything below them, at one position of the domain's log.
    ///
    /// When it returns, no read that begins serves a value whose computation began before the call and
    /// which depends on one of the tags or on anything below it.
    ///
    /// # Errors
    /// [`Error::Tag`] if a tag is invalid; nothing is invalidated then.
    ///
    /// # Complexity
    /// O(depth) for each tag, however many entries there are.
    pub fn invalidate<T: AsRef<str>>(&self, tags: &[T]) -> Result<Timestamp, Error> {
        let tags: Vec<Tag> = tags.iter().map(|tag| Tag::parse(tag.as_ref())).collect::<Result<_, _>>()?;
        self.invalidate_tags(&tags)
    }

    /// [`invalidate`](Self::invalidate) for tags that are parsed already.
    ///
    /// # Errors
    /// [`Error::Clock`] when the domain has no position left.
    pub fn invalidate_tags(&self, tags: &[Tag]) -> Result<Timestamp, Error> {
        let parts = &self.shared.parts;
        let invalidate = || parts.sequencer.invalidate(&*parts.engine, tags, parts.clock.now_us());
        let at = self.shared.trip(Trip::Write, invalidate)?;
        self.shared.invalidations.fetch_add(1, Ordering::Relaxed);
        self.shared.observe(&Event::Invalidated { tags, at });
        Ok(at)
    }

    /// Makes every entry stale and frees the memory of all of them. Positions keep rising.
    ///
    /// # Errors
    /// [`Error::Clock`] when the domain has no position left.
    pub fn clear(&self) -> Result<Timestamp, Error> {
        let at = {
            // The caller may have let go of the interpreter's lock, or of another that orders forks.
            let _passed = gate::pass();
            // First: what is stored after the invalidation is fresh, and who holds it would not be told.
            let last = self.rows_number();
            let at = self.invalidate_tags(&[Tag::root()])?;
            self.clear_below(last);
            at
        };
        self.sweep_all();
        Ok(at)
    }

    /// Begins a change of the source of truth that may crash half way: until the change is settled, or
    /// for `timeout`, nothing below `tags` is served or stored; then they count as invalidated.
    ///
    /// # Errors
    /// When the mark could not be placed.
    pub fn change(&self, tags: &[Tag], timeout: Duration) -> Result<MarkId, Error> {
        let parts = &self.shared.parts;
        let now_us = parts.clock.now_us();
        let timeout_us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
        let change = Change { tags, deadline_us: now_us.saturating_add(timeout_us), now_us };
        self.shared.trip(Trip::Write, || parts.sequencer.change(&*parts.engine, &change))
    }

    /// Ends a change: invalidates its tags and lifts the mark, in one step. Counts as an invalidation.
    ///
    /// # Errors
    /// [`Error::Settle`] when there is no such change or the domain has no position left.
    pub fn settle(&self, mark: MarkId) -> Result<Timestamp, Error> {
        let parts = &self.shared.parts;
        let settle = || parts.sequencer.settle(&*parts.engine, mark, parts.clock.now_us());
        let at = self.shared.trip(Trip::Write, settle)?;
        self.shared.invalidations.fetch_add(1, Ordering::Relaxed);
        self.shared.observe(&Event::Settled { mark, at });
        Ok(at)
    }

    /// Position of the latest invalidation that covers `tag`: 0 for a tag that was never invalidated.
    /// After pruning it may be higher for a tag nothing depends on, never lower.
    pub fn latest(&self, tag: &Tag) -> Timestamp {
        self.shared.keep_up();
        self.shared.parts.engine.latest(tag)
    }

    /// The position up to which this process has applied the domain's log: it serves nothing that an
    /// invalidation up to here made stale.
    pub fn position(&self) -> Timestamp {
        self.shared.signals.applied()
    }

    /// Would the next read have to wait for other threads or processes before it can be answered? Then a caller
    /// that holds a lock of its own, such as an interpreter's, had better [`keep_up`](Self::keep_up) without it.
    /// A guess, and cheap.
    #[inline]
    pub fn would_wait(&self) -> bool {
        let shared = &*self.shared;
        shared.follows_log && !shared.parts.sequencer.is_current() && shared.parts.sequencer.would_wait()
    }

    /// Learns what others have invalidated; every read does so by itself. `false` if that failed: nothing is
    /// fresh until it succeeds.
    pub fn keep_up(&self) -> bool {
        self.shared.keep_up()
    }

    /// [`keep_up`](Self::keep_up) that tells of a failure, where no entry that cannot be read would tell of it.
    fn keep_up_or_tell(&self) -> bool {
        let parts = &self.shared.parts;
        if !self.shared.follows_log || parts.sequencer.is_current() {
            return true;
        }
        match parts.sequencer.catch_up(&*parts.engine) {
            Ok(()) => true,
            Err(error) => {
                if parts.resting.is_none() && !error.is_abstention() {
                    self.storage_failed(&error);
                }
                false
            }
        }
    }

    /// Does this process know of the invalidation at `position`, as [`invalidate`](Self::invalidate)
    /// returned it here or elsewhere? Reads the log if it must; `false` if that does not help.
    pub fn has_reached(&self, position: Timestamp) -> bool {
        self.position() >= position || (self.shared.sync() && self.position() >= position)
    }

    /// Begins to fetch entries, and what has changed, from a server, for reads [`within`](Self::within): these make
    /// no trip of their own. `None` where there is no server.
    #[cfg(feature = "redis")]
    pub fn prefetch<K: AsRef<[u8]>>(&self, keys: &[K]) -> Option<crate::Prefetch> {
        self.prefetch_as(keys, false)
    }

    /// [`prefetch`](Self::prefetch) for reads that must know what has changed until now, whatever the consistency is.
    #[cfg(feature = "redis")]
    pub fn prefetch_now<K: AsRef<[u8]>>(&self, keys: &[K]) -> Option<crate::Prefetch> {
        self.prefetch_as(keys, true)
    }

    #[cfg(feature = "redis")]
    fn prefetch_as<K: AsRef<[u8]>>(&self, keys: &[K], must: bool) -> Option<crate::Prefetch> {
        let shared = &self.shared;
        let asked = |key: &K| {
            let key = key.as_ref();
            (Box::from(key), shared.flights.stripe(key).sequence())
        };
        match &shared.parts.resting {
            Some(resting) => resting.rows.prefetch(keys.iter().map(asked).collect(), must),
            None => shared.parts.sequencer.prefetch(),
        }
    }

    /// Runs reads for which was fetched what they need; they began when that was asked for. What could not be
    /// fetched is a miss, and a failure that is told of.
    #[cfg(feature = "redis")]
    pub fn within<R>(&self, prefetch: &crate::Prefetch, read: impl FnOnce() -> R) -> R {
        if let Err(error) = prefetch.take_news() {
            self.storage_failed(&error.into());
        }
        prefetch.within(read)
    }

    /// Is it worth asking for the same anew? Because something was stored or deleted here meanwhile, so that what was
    /// fetched may be older than it: what is found in it can be served to who asked for it, that nothing is found
    /// means nothing. Or because reads within it missed something else.
    #[cfg(feature = "redis")]
    pub fn is_outdated(&self, prefetch: &crate::Prefetch) -> bool {
        let mut asked = prefetch.asked().iter();
        prefetch.is_lacking()
            || asked.any(|(key, sequence)| self.shared.flights.stripe(key).sequence() != *sequence)
    }

    /// Would a read of `key` have to ask a server?
    #[cfg(feature = "redis")]
    pub fn needs_trip(&self, key: &[u8]) -> bool {
        let shared = &self.shared;
        if !self.is_far() {
            return false;
        }
        !shared.parts.sequencer.is_current() && shared.parts.sequencer.would_wait()
            || !shared.parts.storage.peek(key).is_some_and(|entry| self.is_servable(&entry))
    }

    /// When the read that goes on here began, where every read asks; else 0.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_self, reason = "nobody asks without a server"))]
    fn asking_ns(&self) -> u64 {
        #[cfg(feature = "redis")]
        if self.shared.parts.asks_each_time {
            return crate::server::read_began_ns();
        }
        0
    }

    /// Lets all steps of one read know what one of them has asked for, where every read asks.
    #[inline]
    fn begin_reading(&self) -> impl Sized + use<V> {
        #[cfg(feature = "redis")]
        return self.shared.parts.asks_each_time.then(crate::server::Reading::begin);
        #[cfg(not(feature = "redis"))]
        self.shared.parts.asks_each_time
    }

    /// Forgets tags whose latest invalidation is older than `max_age` and that no entry and no running
    /// computation can need. Returns how many. Safe at any time; the cache also does it by itself.
    pub fn prune(&self, max_age: Duration) -> usize {
        let age_us = u64::try_from(max_age.as_micros()).unwrap_or(u64::MAX);
        let horizon = self.shared.parts.clock.now_us().saturating_sub(age_us);
        self.prune_until(Timestamp::from_micros(horizon))
    }

    /// To be called before the process forks, by the thread that does: afterwards no lock of any cache is
    /// held by a background thread. Ends with [`after_fork`](Self::after_fork) in the child and
    /// [`after_fork_in_parent`](Self::after_fork_in_parent) in the parent.
    pub fn before_fork(&self) {
        gate::close();
    }

    /// To be called in the parent after a fork.
    pub fn after_fork_in_parent(&self) {
        gate::open();
    }

    /// To be called in a forked child: what other threads of the parent were computing is not computed
    /// here, and background threads are gone. So is that of `futures-timer`, if the parent has used it: in an
    /// async function of such a child nothing times out.
    pub fn after_fork(&self) {
        self.shared.flights.forget_all();
        gate::forget();
        self.shared.sweeper.forget();
        self.shared.parts.engine.forget_fills();
        self.shared.parts.sequencer.after_fork();
    }
}

/// What may be said of a stored entry now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Fresh,
    Expired,
    Stale,
}

impl Status {
    /// May what was found, if anything, be served? If not, which counter says why.
    #[inline]
    fn admit(found: Option<Self>) -> Result<(), Count> {
        match found {
            Some(Self::Fresh) => Ok(()),
            Some(Self::Expired) => Err(Count::Expired),
            Some(Self::Stale) => Err(Count::Stale),
            None => Err(Count::Misses),
        }
    }
}

impl<V: Send + Sync + 'static> Shared<V> {
    /// Brings the engine up to the domain's log; `false` if that cannot be done, and then nothing may be
    /// called fresh.
    ///
    /// May wait for the log to be read: not to be called under a lock.
    #[inline]
    fn keep_up(&self) -> bool {
        !self.follows_log || self.catch_up()
    }

    fn catch_up(&self) -> bool {
        let parts = &self.parts;
        parts.sequencer.is_current()
            || self.trip(Trip::Read, || parts.sequencer.catch_up(&*parts.engine)).is_ok()
    }

    /// Brings the engine up to what the domain knows now; `false` if that cannot be done.
    fn sync(&self) -> bool {
        !self.follows_log || self.parts.sequencer.sync(&*self.parts.engine).is_ok()
    }

    /// Makes a trip, and measures it if it is to be measured here.
    fn trip<R>(&self, trip: Trip, make: impl FnOnce() -> R) -> R {
        match &self.parts.timings {
            Some(timings) if self.parts.times_trips => timings.time(trip, make),
            _ => make(),
        }
    }

    fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.parts.observer {
            observer.on_event(event);
        }
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("id", &self.shared.id).finish_non_exhaustive()
    }
}
