//! One computation of a key at a time among all processes, for those who ask for it.
//!
//! A leader computes alone in its process; before it begins it may claim the key among the processes that share
//! its storage. If another holds it, the caller asks again after a pause: nothing here blocks, so threads and
//! tasks pause as they like. What the other stores is handed to the leader's waiters ([`Leader::yield_to`]).
//! A lock that cannot be had (an error, a third owner, a caller that gives up) costs a computation, no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Cache, Leader, Status};
use crate::counters::Count;
use crate::entry::Entry;
use crate::error::Error;
use crate::event::Event;
use crate::fill::Collected;
use crate::flight::Landing;
use crate::random::random_nonzero;
use crate::storage::Lease;

/// Computations of others that a leader waits for before it computes without the lock.
const MAX_OWNERS: usize = 2;

/// What a leader that asks to compute alone is told.
#[derive(Debug)]
pub enum Claim<V> {
    /// Compute: no other process does that asked too, or it is not worth waiting any longer.
    Ours,
    /// Another process computes it. Pause, some milliseconds, and ask again.
    Busy,
    /// Another process has stored this meanwhile: [`Leader::yield_to`] it.
    Found(Arc<Entry<V>>),
}

/// Whom a leader has waited for.
#[derive(Default)]
pub(super) struct Waiting {
    /// The tokens of those who held the lock.
    owners: Vec<u64>,
    /// The number of the rows when they were looked at last.
    looked_at: u64,
    gave_up: bool,
}

impl<V: Send + Sync + 'static> Leader<V> {
    /// Asks to compute alone among all processes. To be asked before the computation begins, and again for as
    /// long as it is [`Claim::Busy`]; never blocks. Who holds the lock has it until the leader ends, but not
    /// longer than for `lease`, and not beyond the death of the process. Where nothing is shared, it is
    /// [`Claim::Ours`] at once.
    ///
    /// Two computations of others are waited for at most; `lead_alone` and `put` ask nobody. Computations of
    /// different keys that wait for one another across processes are not noticed: the caller should
    /// [give up](Self::give_up_claim) after a while.
    ///
    /// # Complexity
    /// One small write transaction when it is ours; a read of some microseconds when it is busy.
    pub fn claim(&mut self, lease: Duration) -> Claim<V> {
        let cache = self.cache.clone();
        let Some(resting) = &cache.shared.parts.resting else { return Claim::Ours };
        if self.waiting.gave_up || self.token.load(Ordering::Relaxed) != 0 {
            return Claim::Ours;
        }
        // The number first: what is stored from then on is seen at the next look.
        let number = cache.rows_number();
        if number != self.waiting.looked_at.max(self.rows_began)
            && let Some(found) = self.find(number)
        {
            return Claim::Found(found);
        }
        let now_us = cache.shared.parts.clock.now_us();
        let lease_us = u64::try_from(lease.as_micros()).unwrap_or(u64::MAX);
        let token = random_nonzero();
        let lease = Lease { token, now_us, deadline_us: now_us.saturating_add(lease_us) };
        match resting.rows.lock(self.fill().key(), &lease) {
            Ok(None) => self.token.store(token, Ordering::Relaxed),
            Ok(Some(owner)) if self.may_wait_for(owner) => return Claim::Busy,
            Ok(Some(_)) => self.waiting.gave_up = true,
            Err(error) => cache.storage_failed(&error),
        }
        // Its former owner may have stored in between.
        let number = cache.rows_number();
        if let Some(found) = self.find(number) {
            return Claim::Found(found);
        }
        self.begin_anew(number);
        Claim::Ours
    }

    /// Notes that the caller has waited long enough for others: from now on the key counts as claimed, and is
    /// computed without the lock.
    pub fn give_up_claim(&mut self) {
        self.waiting.gave_up = true;
        self.cache.count(Count::Timeouts);
        let number = self.cache.rows_number();
        self.begin_anew(number);
        self.cache.shared.observe(&Event::WaitTimedOut { key: self.fill().key() });
    }

    /// Ends without a computation: the waiters get `entry`, which another process has stored
    /// ([`Claim::Found`]), and so does the caller; [`Landing::Abandoned`] if it is not fresh any more, and then
    /// the caller joins again.
    pub fn yield_to(mut self, entry: Arc<Entry<V>>) -> Landing<V> {
        self.leave();
        if let Some(Collected { token, .. }) = self.fill().collect() {
            self.cache.shared.parts.engine.abandon(token);
        }
        let unlocked = self.unlock();
        // Nobody joins any more, so whoever waits has asked before this look.
        let landing = if self.cache.status(&entry) == Status::Fresh {
            self.cache.absorb(self.fill().parent(), &entry);
            Landing::Sealed(entry)
        } else {
            Landing::Abandoned
        };
        if let Some(flight) = self.flight.take() {
            flight.land(landing.clone());
        }
        self.cache.told_of(unlocked);
        landing
    }

    /// Blocks for `pause`, or less if whoever holds the lock gives it back meanwhile and can say so.
    pub fn pause(&self, pause: Duration) {
        match &self.cache.shared.parts.resting {
            Some(resting) => resting.rows.pause(self.fill().key(), pause),
            None => crate::clock::pause(pause),
        }
    }

    fn find(&mut self, number: u64) -> Option<Arc<Entry<V>>> {
        self.waiting.looked_at = number;
        self.cache.found_since(self.fill().key(), self.rows_began)
    }

    fn may_wait_for(&mut self, owner: u64) -> bool {
        if self.waiting.owners.is_empty() {
            self.cache.count(Count::Waits);
        }
        if !self.waiting.owners.contains(&owner) {
            self.waiting.owners.push(owner);
        }
        self.waiting.owners.len() <= MAX_OWNERS
    }

    /// A computation that was held up begins now: what others have invalidated, stored or deleted until here it
    /// will see.
    fn begin_anew(&mut self, number: u64) {
        if self.waiting.owners.is_empty() {
            return;
        }
        let shared = &self.cache.shared;
        shared.keep_up();
        self.rows_began = number;
        self.began = shared.flights.stripe(self.fill.key()).sequence();
        self.started_ms = shared.parts.clock.monotonic_ms();
        self.stopwatch = self.cache.stopwatch();
        self.fill.begin_anew(shared.parts.clock.now_us());
    }

    /// Gives the lock back, if it is held.
    pub(super) fn unlock(&self) -> Result<(), Error> {
        let token = self.token.swap(0, Ordering::Relaxed);
        match &self.cache.shared.parts.resting {
            Some(resting) if token != 0 => resting.rows.unlock(self.fill().key(), token),
            _ => Ok(()),
        }
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Tells of an error, if there was one.
    pub(super) fn told_of(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.storage_failed(&error);
        }
    }
}
