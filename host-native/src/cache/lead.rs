//! Misses: who computes, who waits, and what is stored in the end.
//!
//! [`Cache::join`] answers a miss with one of three things: a fresh entry after all, the duty to compute
//! ([`Leader`]), or somebody to wait for ([`Waiter`]). A leader that is dropped without a result hands
//! over to one of its waiters, so a panic, a cancelled task or a dead thread blocks nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::claim::Waiting;
use super::resting::Departure;
use super::{Cache, Status, Waiter};
use crate::config::Policy;
use crate::counters::Count;
use crate::engine::Sealing;
use crate::entry::{Entry, Lifetime, Placement, Retention};
use crate::error::{Error, Failure};
use crate::event::Event;
use crate::fill::{Basis, Collected, Fill, Origin};
use crate::flight::{Flight, Landing, Since};
use crate::mutant;
use crate::storage::Storage;
use crate::timings::Stopwatch;

/// How often [`Cache::join`] looks below for what was stored meanwhile.
const LOOKS: usize = 4;

/// When what lies below is looked at.
#[derive(Clone, Copy)]
enum Look {
    Now,
    /// It was asked for when the key's stripe had this sequence.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only servers are asked earlier"))]
    Since(u64),
    /// Now, and not again.
    Last,
}

/// What a caller that needs a key's value is told to do.
#[derive(Debug)]
pub enum Join<V: Send + Sync + 'static> {
    /// Take this: it is fresh.
    Hit(Arc<Entry<V>>),
    /// Compute it, and finish the leader with the result.
    Lead(Leader<V>),
    /// Wait for somebody who computes it already.
    Wait(Waiter<V>),
}

/// The duty to compute a key's value. Dropped without a result, it hands over to a waiter.
pub struct Leader<V: Send + Sync + 'static> {
    pub(super) cache: Cache<V>,
    pub(super) fill: Arc<Fill>,
    /// `None` for those who compute beside the flight: nobody waits for them.
    pub(super) flight: Option<Arc<Flight<V>>>,
    /// The stripe's sequence when the fill began.
    pub(super) began: u64,
    /// The number of the rows below the near cache when the fill began.
    pub(super) rows_began: u64,
    pub(super) started_ms: u64,
    /// Whether the result replaces a fresh entry (an explicit store) or yields to it.
    supersedes: bool,
    /// The bytes of the value, if the caller has them already.
    encoded: Option<Vec<u8>>,
    pub(super) why: Count,
    /// Of the lock that is held among processes; 0 for none.
    pub(super) token: AtomicU64,
    pub(super) waiting: Waiting,
    /// Runs if it is measured how long computations take.
    pub(super) stopwatch: Option<Stopwatch>,
}

/// How a computation with a value has ended.
struct Ended<V> {
    landing: Landing<V>,
    stored: bool,
    /// Whether nobody but its caller may have it.
    is_private: bool,
}

/// How a computation ends that has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// How long the entry lives; `None` for the cache's default.
    pub lifetime: Option<Lifetime>,
    /// How long it is kept when it is not fresh any more.
    pub retention: Retention,
    /// Whether it is stored at all. If not, the waiters get it all the same, and what is stored stays.
    pub store: bool,
}

impl Default for Finish {
    fn default() -> Self {
        Self { lifetime: None, retention: Retention::default(), store: true }
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Finds out what to do about a key that was not found fresh.
    ///
    /// `second_round` says that the caller has waited for a flight before and joins again: every flight
    /// that runs now began after the caller asked, so its result is good for the caller in any case.
    ///
    /// # Errors
    /// [`Error::Recursion`] if the key is being computed by a computation this call is part of.
    pub fn join(&self, key: &[u8], parent: Option<&Arc<Fill>>, second_round: bool) -> Result<Join<V>, Error> {
        if parent.is_some_and(|fill| fill.computes(self.shared.id, key)) {
            return Err(Error::Recursion { key: String::from_utf8_lossy(key).into_owned() });
        }
        let _reading = self.begin_reading();
        for _ in 1..LOOKS {
            if let Some(join) = self.try_join(key, parent, second_round, Look::Now) {
                return Ok(join);
            }
        }
        let join = self.try_join(key, parent, second_round, Look::Last);
        Ok(join.expect("invariant: the last look decides"))
    }

    /// [`join`](Self::join) of a key for which was fetched what there is of it, and within that; `None` if something
    /// was stored here since then, under this key perhaps: then it has to be fetched anew.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    #[cfg(feature = "redis")]
    pub fn join_fetched(
        &self,
        prefetch: &crate::Prefetch,
        key: &[u8],
        parent: Option<&Arc<Fill>>,
        second_round: bool,
    ) -> Result<Option<Join<V>>, Error> {
        let asked = prefetch.asked().iter().find(|(asked, _)| **asked == *key);
        let Some((_, sequence)) = asked else {
            return self.within(prefetch, || self.join(key, parent, second_round)).map(Some);
        };
        if parent.is_some_and(|fill| fill.computes(self.shared.id, key)) {
            return Err(Error::Recursion { key: String::from_utf8_lossy(key).into_owned() });
        }
        Ok(self.within(prefetch, || self.try_join(key, parent, second_round, Look::Since(*sequence))))
    }

    /// `None` if something was stored, under this key perhaps, after the look below; unless this is the last one.
    fn try_join(
        &self,
        key: &[u8],
        parent: Option<&Arc<Fill>>,
        second_round: bool,
        look: Look,
    ) -> Option<Join<V>> {
        // Before the stripe is locked: reading the log may take its time. The number first: what is stored below
        // from then on is of a computation that overlaps with the one that may begin here.
        let sequence = match look {
            Look::Now => Some(self.shared.flights.stripe(key).sequence()),
            Look::Since(sequence) => Some(sequence),
            Look::Last => None,
        };
        let rows_began = self.rows_number();
        if let Some(entry) = self.found_below(key) {
            self.count(Count::Hits);
            self.absorb(parent, &entry);
            return Some(Join::Hit(entry));
        }
        let current = self.keep_up_or_tell();
        let found;
        let (flight, began, why) = {
            let mut stripe = self.shared.flights.stripe(key);
            if let Some(flight) = stripe.flight(key).cloned() {
                drop(stripe);
                return Some(self.wait_for(flight, key, parent, second_round));
            }
            // The last leader may have stored between the caller's lookup and here. What is found dead is
            // kept until the stripe is unlocked: dropping a value may run foreign code.
            found = self.shared.parts.storage.get(key);
            let why = match Status::admit(found.as_deref().map(|entry| self.status_as_of(current, entry))) {
                Ok(()) => {
                    drop(stripe);
                    self.count(Count::Hits);
                    let entry = found.expect("invariant: only an entry is fresh");
                    self.absorb(parent, &entry);
                    return Some(Join::Hit(entry));
                }
                Err(why) => why,
            };
            // It may have stored below only, where the near cache keeps nothing, or not for long.
            if self.shared.parts.resting.is_some()
                && sequence.is_some_and(|sequence| stripe.sequence() != sequence)
            {
                return None;
            }
            self.count(why);
            self.count(Count::Leads);
            let flight = Flight::new(self.begin_fill(key, parent));
            let began = stripe.depart(key, Some(&flight));
            (flight, began, why)
        };
        let mut leader = self.leader(Arc::clone(&flight.fill), Some(flight), began);
        (leader.why, leader.rows_began) = (why, rows_began);
        Some(Join::Lead(leader))
    }

    fn wait_for(
        &self,
        flight: Arc<Flight<V>>,
        key: &[u8],
        parent: Option<&Arc<Fill>>,
        second_round: bool,
    ) -> Join<V> {
        match self.waiter(flight, parent, second_round) {
            Some(waiter) => Join::Wait(waiter),
            // The flight waits for us: waiting for it would never end.
            None => Join::Lead(self.lead_alone(key, parent, false)),
        }
    }

    /// Computes beside whatever flight there may be: for callers that must not, or will not, wait.
    ///
    /// The result replaces what was stored before now and yields to what is stored from now on, as the
    /// first valid commit among overlapping computations wins. With `supersedes` it yields to nothing:
    /// for values that are known already, not for those that take time to compute.
    pub fn lead_alone(&self, key: &[u8], parent: Option<&Arc<Fill>>, supersedes: bool) -> Leader<V> {
        // What others have stored before counts as older than this.
        self.shared.sync();
        let began = self.shared.flights.stripe(key).depart(key, None);
        let fill = self.begin_fill(key, parent);
        let mut leader = self.leader(fill, None, began);
        leader.supersedes = supersedes;
        leader
    }

    pub(super) fn leader(&self, fill: Arc<Fill>, flight: Option<Arc<Flight<V>>>, began: u64) -> Leader<V> {
        let parts = &self.shared.parts;
        let started_ms = parts.clock.monotonic_ms();
        let rows_began = self.rows_number();
        Leader {
            cache: self.clone(),
            fill,
            flight,
            began,
            rows_began,
            started_ms,
            supersedes: false,
            encoded: None,
            why: Count::Misses,
            token: AtomicU64::new(0),
            waiting: Waiting::default(),
            stopwatch: self.stopwatch(),
        }
    }

    /// The caller has caught up with the log, or tried to: a lower `as_of` than possible costs a miss.
    pub(super) fn begin_fill(&self, key: &[u8], parent: Option<&Arc<Fill>>) -> Arc<Fill> {
        let parts = &self.shared.parts;
        let origin = Origin { cache: self.shared.id, key, parent: parent.cloned() };
        Fill::begin(&parts.engine, parts.clock.now_us(), origin)
    }

    pub(super) fn weigh(&self, value: &V) -> u32 {
        let bytes = match &self.shared.parts.weigher {
            Some(weigher) => weigher(value),
            None => size_of::<V>(),
        };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Adds what `entry` depends on to the computation that uses it.
    #[inline]
    pub fn absorb(&self, parent: Option<&Arc<Fill>>, entry: &Entry<V>) {
        if let Some(parent) = parent {
            parent.absorb_entry(self.shared.id, entry);
        }
    }
}

impl<V: Send + Sync + 'static> Leader<V> {
    /// Which counter says why there is something to compute.
    pub fn why(&self) -> Count {
        self.why
    }

    /// The running computation: collects dependencies, and is the parent of nested calls.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Declares the policy's dependencies. Best done before the computation starts: then a failure
    /// carries them too, and a caller that turns the failure into a cached value depends on them.
    pub fn declare(&self, policy: &Policy) {
        for tag in policy.tags() {
            self.fill.depend_on(tag);
        }
    }

    /// Says which bytes stand for the value that the computation will end with, where entries rest outside of
    /// the process. Without this the cache's codec is asked.
    #[must_use]
    pub fn encoded(mut self, bytes: Vec<u8>) -> Self {
        self.encoded = Some(bytes);
        self
    }

    /// Ends the computation with a value: seals it, stores it if it is still fresh, and hands it to the
    /// waiters. Without a `lifetime` the cache's default counts. Returns the result, and whether it was
    /// stored.
    pub fn finish(self, value: V, lifetime: Option<Lifetime>) -> (Landing<V>, bool) {
        self.finish_with(value, Finish { lifetime, ..Finish::default() })
    }

    /// [`finish`](Self::finish) with a say in what becomes of the entry.
    pub fn finish_with(mut self, value: V, how: Finish) -> (Landing<V>, bool) {
        self.note_duration();
        // Foreign code, so first: should it panic, this leader is dropped and hands over.
        let weight = self.cache.weigh(&value);
        let Ended { landing, stored, is_private } = self.seal_and_store(value, how, weight);
        let unlocked = self.unlock();
        if let Some(flight) = self.flight.take() {
            flight.land(if is_private { Landing::Abandoned } else { landing.clone() });
        }
        // Last: an observer that panics must not keep waiters waiting.
        self.cache.told_of(unlocked);
        let shared = &*self.cache.shared;
        let key = self.fill.key();
        match &landing {
            Landing::BornStale(..) if is_private => {}
            Landing::BornStale(..) => shared.observe(&Event::BornStale { key }),
            _ if stored => {
                self.cache.ensure_sweeper();
                let elapsed_ms = shared.parts.clock.monotonic_ms().saturating_sub(self.started_ms);
                shared.observe(&Event::Filled { key, elapsed_ms });
            }
            _ => {}
        }
        (landing, stored)
    }

    /// How long the computation has taken until now, in nanoseconds; `None` if it is not measured, or an explicit
    /// store.
    pub fn elapsed_ns(&self) -> Option<u64> {
        self.stopwatch.as_ref().filter(|_| !self.supersedes).map(Stopwatch::elapsed_ns)
    }

    /// Notes how long the computation took. An explicit store is none.
    fn note_duration(&self) {
        let timings = self.cache.shared.parts.timings.as_ref();
        if let (Some(timings), Some(elapsed_ns)) = (timings, self.elapsed_ns()) {
            timings.fills.add_ns(elapsed_ns);
        }
    }

    fn seal_and_store(&self, value: V, how: Finish, weight: u32) -> Ended<V> {
        let shared = &*self.cache.shared;
        let parts = &shared.parts;
        let _reading = self.cache.begin_reading();
        let judged_ns = self.cache.asking_ns();
        // What others have invalidated meanwhile makes it stale here.
        if shared.keep_up()
            && let Some(flight) = &self.flight
        {
            flight.set_judged(judged_ns);
        }
        if mutant::is_on("late_as_of") {
            self.fill.begin_anew(parts.clock.now_us());
        }
        let Collected { token, mut basis, is_private } =
            self.fill.collect().expect("invariant: only the leader ends its fill");
        let placement = Placement {
            lifetime: how.lifetime.unwrap_or(parts.default_lifetime),
            expires_bound_ms: basis.expires_ms,
            started_ms: self.started_ms,
            now_ms: parts.clock.monotonic_ms(),
            weight,
            retention: how.retention,
        };
        let sealing = self.sealing(&basis);
        self.cache.count(Count::Computations);
        let sealed = if is_private {
            parts.engine.abandon(token);
            None
        } else {
            parts.engine.seal(token, &sealing).ok()
        };
        let Some(sealed) = sealed else {
            if self.supersedes && how.store {
                // What is stored is out of date by the caller's own word.
                self.cache.delete(self.fill.key());
            }
            self.leave();
            self.pass_on(&basis);
            if !is_private {
                self.cache.count(Count::BornStale);
            }
            let landing = Landing::BornStale(Arc::new(value), Arc::new(basis));
            return Ended { landing, stored: false, is_private };
        };
        let entry = Entry::new(value, sealed, &placement);
        basis.expires_ms = entry.hard_expiry_ms();
        self.pass_on(&basis);
        let entry = Arc::new(entry);
        let stored = how.store && self.commit(&entry);
        if !how.store {
            self.leave();
            entry.retire();
        }
        Ended { landing: Landing::Sealed(entry), stored, is_private }
    }

    fn sealing<'a>(&self, basis: &'a Basis) -> Sealing<'a> {
        Sealing {
            dependencies: &basis.dependencies,
            as_of_bound: basis.as_of_bound,
            now_us: self.cache.shared.parts.clock.now_us(),
        }
    }

    /// Stores the entry unless another was stored since this fill began (hits on a key are monotonic:
    /// among overlapping fills the first valid commit wins), or the key was deleted meanwhile.
    fn commit(&self, entry: &Arc<Entry<V>>) -> bool {
        let Some(resting) = &self.cache.shared.parts.resting else {
            // Before the stripe is locked: reading the log may take its time.
            let up_to_date = self.cache.shared.keep_up();
            return self.commit_above(entry, up_to_date, None).0;
        };
        let key = self.fill.key();
        let departure = Departure {
            key,
            began: self.began,
            rows_began: self.rows_began,
            supersedes: self.supersedes,
            encoded: self.encoded.as_deref(),
            unlocks: self.token.load(Ordering::Relaxed),
        };
        let committed = self.cache.commit_below(resting, entry, &departure, |sequence| {
            self.commit_above(entry, true, Some(sequence))
        });
        if committed.is_some() {
            // Given back with the row.
            self.token.store(0, Ordering::Relaxed);
        } else {
            self.leave();
            entry.retire();
            if self.supersedes {
                // What is stored is out of date by the caller's own word.
                self.cache.delete(key);
            }
        }
        // What had to go is dropped here, under no lock. What lies below is what is stored, whether or not the
        // near cache holds it too.
        committed.is_some()
    }

    /// Stores in memory; hands out what had to go, as dropping a value may run foreign code.
    ///
    /// `sequence` is that of the stripe before the entry was stored below, if it was.
    fn commit_above(
        &self,
        entry: &Arc<Entry<V>>,
        up_to_date: bool,
        sequence: Option<u64>,
    ) -> (bool, Vec<Arc<Entry<V>>>) {
        let shared = &*self.cache.shared;
        let key = self.fill.key();
        let is_fresh = |entry: &Arc<Entry<V>>| self.cache.status_as_of(up_to_date, entry) == Status::Fresh;
        let mut stripe = shared.flights.stripe(key);
        let current = shared.parts.storage.peek(key);
        let yields = match stripe.since(key, self.began) {
            // Another process may have replaced what was just stored below.
            _ if self.supersedes => {
                sequence.is_some_and(|sequence| stripe.since(key, sequence) == Since::Deleted)
            }
            Since::Deleted => !mutant::is_on("store_over_deleted"),
            // One that is gone may have been newer than ours.
            Since::Stored => !mutant::is_on("last_commit_wins") && current.as_ref().is_none_or(is_fresh),
            // What expired before it was finished, having been computed from something that had, is worth
            // less than what a refresh found fresh.
            Since::Nothing => entry.is_expired(entry.created_ms()) && current.as_ref().is_some_and(is_fresh),
        };
        let mut gone = Vec::new();
        if yields {
            entry.retire();
        } else {
            gone = shared.parts.storage.insert(key, Arc::clone(entry));
            stripe.stored(key);
        }
        stripe.arrive(key, self.flight.as_ref());
        drop(stripe);
        gone.extend(current);
        (!yields, gone)
    }

    /// Ends the computation with its own error, which all waiters get. Nothing is stored.
    pub fn fail(mut self, failure: Failure) {
        self.cache.count(Count::Errors);
        self.end(Some(failure));
    }

    /// Ends the computation without a value.
    fn end(&mut self, failure: Option<Failure>) {
        self.leave();
        let landing = match self.fill.collect() {
            Some(collected) => self.land_without_value(failure, collected),
            None => Landing::Abandoned,
        };
        let unlocked = self.unlock();
        if let Some(flight) = self.flight.take()
            && !(mutant::is_on("abandon_silently") && matches!(landing, Landing::Abandoned))
        {
            flight.land(landing);
        }
        self.cache.told_of(unlocked);
        self.cache.shared.observe(&Event::FillFailed { key: self.fill.key() });
    }

    fn land_without_value(&self, failure: Option<Failure>, collected: Collected) -> Landing<V> {
        let parts = &self.cache.shared.parts;
        let Collected { token, basis, is_private } = collected;
        // The caller may catch the error and go on from the fact that there was one.
        self.pass_on(&basis);
        let Some(failure) = failure.filter(|_| !is_private) else {
            parts.engine.abandon(token);
            return Landing::Abandoned;
        };
        // An error, too, tells how things were when the computation began.
        let proof = parts.engine.seal(token, &self.sealing(&basis)).ok().map(Arc::new);
        Landing::Failed(failure, Arc::new(basis), proof)
    }

    pub(super) fn leave(&self) {
        let key = self.fill.key();
        self.cache.shared.flights.stripe(key).arrive(key, self.flight.as_ref());
    }

    fn pass_on(&self, basis: &Basis) {
        if let Some(parent) = self.fill.parent() {
            parent.absorb_basis(self.cache.shared.id, basis);
        }
    }
}

impl<V: Send + Sync + 'static> Drop for Leader<V> {
    fn drop(&mut self) {
        // After `finish` and `fail` the fill has ended and there is no flight left.
        if self.flight.is_some() || self.fill.is_open() {
            self.end(None);
        }
    }
}

impl<V: Send + Sync + 'static> std::fmt::Debug for Leader<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leader").field("fill", &self.fill).finish_non_exhaustive()
    }
}
