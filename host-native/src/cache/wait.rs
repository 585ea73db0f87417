//! Waiting for somebody else's computation, and whether its result may be taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use zoocache_core::Verdict;

use super::{Cache, Leader, Status};
use crate::counters::Count;
use crate::engine::Proof;
use crate::entry::Entry;
use crate::error::Failure;
use crate::event::Event;
use crate::fill::{Basis, Fill, WaitsFor};
use crate::flight::{Flight, Landing};
use crate::mutant;

/// A place in the queue for somebody else's result.
pub struct Waiter<V: Send + Sync + 'static> {
    cache: Cache<V>,
    flight: Arc<Flight<V>>,
    second_round: bool,
    /// When the caller asked, where every read asks what has changed; else 0.
    arrived_ns: u64,
    parent: Option<Arc<Fill>>,
    /// Tells this waiter's waker from those of others.
    place: u64,
    _waits_for: WaitsFor,
}

/// How a wait ended.
#[derive(Debug)]
pub enum Waited<V> {
    /// With a value that this caller may take.
    Entry(Arc<Entry<V>>),
    /// With a value that this caller may take although it is stale for those who come after it.
    Value(Arc<V>),
    /// With the leader's error.
    Failed(Failure),
    /// The result was computed from what was true before this caller asked, or there is none: join again
    /// (with `second_round`).
    Again,
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// A place in the queue of `flight`; `None` if `flight` waits for `parent`.
    pub(super) fn waiter(
        &self,
        flight: Arc<Flight<V>>,
        parent: Option<&Arc<Fill>>,
        second_round: bool,
    ) -> Option<Waiter<V>> {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        let waits_for = WaitsFor::note(parent, &flight.fill)?;
        self.count(Count::Waits);
        Some(Waiter {
            cache: self.clone(),
            flight,
            second_round: second_round && !mutant::is_on("no_second_round"),
            arrived_ns: self.asking_ns(),
            parent: parent.cloned(),
            place: PLACES.fetch_add(1, Ordering::Relaxed),
            _waits_for: waits_for,
        })
    }
}

impl<V: Send + Sync + 'static> Leader<V> {
    /// A place in the queue for this leader's own result, for a caller who began the computation, left it
    /// to somebody else, and now waits for it after all. The caller asked before the computation began,
    /// so it takes whatever comes of it.
    ///
    /// `None` if nobody can wait for this leader (it computes beside the key's flight), or if it waits
    /// itself, directly or through others, for `parent`, the computation the caller is part of.
    pub fn waiter(&self, parent: Option<&Arc<Fill>>) -> Option<Waiter<V>> {
        self.cache.waiter(Arc::clone(self.flight.as_ref()?), parent, true)
    }
}

impl<V: Send + Sync + 'static> Waiter<V> {
    /// Blocks this thread until there is a result; `None` when `timeout` has passed.
    pub fn wait(&self, timeout: Duration) -> Option<Waited<V>> {
        self.flight.wait(self.place, timeout).map(|landing| self.accept(landing))
    }

    /// Blocks this thread until [`try_take`](Self::try_take) has a result; `false` when `timeout` has passed.
    /// Takes no lock of the cache but the flight's, so a process may fork meanwhile.
    pub fn wait_until_landed(&self, timeout: Duration) -> bool {
        self.flight.wait(self.place, timeout).is_some()
    }

    /// The result, if there is one; else `waker` is woken as soon as there is.
    pub fn poll(&self, waker: &Waker) -> Option<Waited<V>> {
        self.flight.poll(self.place, waker).map(|landing| self.accept(landing))
    }

    /// The result, if there is one.
    pub fn try_take(&self) -> Option<Waited<V>> {
        self.flight.landing().map(|landing| self.accept(landing))
    }

    /// Notes that the caller stops waiting and computes for itself.
    pub fn give_up(&self) {
        self.cache.count(Count::Timeouts);
        self.cache.shared.observe(&Event::WaitTimedOut { key: self.flight.fill.key() });
    }

    /// A result may be taken if its computation began after this caller asked, or if it is fresh now.
    fn accept(&self, landing: Landing<V>) -> Waited<V> {
        let is_later = self.second_round || mutant::is_on("trust_leader");
        match landing {
            Landing::Sealed(entry)
                if is_later
                    || self.flight.is_judged_since(self.arrived_ns)
                    || self.cache.status(&entry) == Status::Fresh =>
            {
                self.cache.absorb(self.parent.as_ref(), &entry);
                Waited::Entry(entry)
            }
            Landing::BornStale(value, basis) if is_later => {
                self.absorb(&basis);
                Waited::Value(value)
            }
            Landing::Failed(failure, basis, proof) if is_later || self.holds(proof.as_deref()) => {
                self.absorb(&basis);
                Waited::Failed(failure)
            }
            Landing::Sealed(_) | Landing::BornStale(..) | Landing::Failed(..) | Landing::Abandoned => {
                Waited::Again
            }
        }
    }

    /// Is what a failed computation had used still as it was?
    fn holds(&self, proof: Option<&Proof>) -> bool {
        let shared = &*self.cache.shared;
        shared.keep_up() && proof.is_some_and(|proof| shared.parts.engine.judge(proof) == Verdict::Fresh)
    }

    fn absorb(&self, basis: &Basis) {
        if let Some(parent) = &self.parent {
            parent.absorb_basis(self.cache.shared.id, basis);
        }
    }
}

impl<V: Send + Sync + 'static> Drop for Waiter<V> {
    fn drop(&mut self) {
        self.flight.forget(self.place);
    }
}

impl<V: Send + Sync + 'static> std::fmt::Debug for Waiter<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("fill", &self.flight.fill).finish_non_exhaustive()
    }
}
