//! Single flight: one computation per key at a time, and everyone else waits for it.
//!
//! A [`Flight`] is one running computation that others may wait for, threads and tasks alike. The
//! [`Flights`] table holds them by key and also orders the stores of a key: every store and delete takes
//! the key's stripe, so "the first valid commit among overlapping fills wins" is decided in one place.
//! It knows neither storage nor engine; callers act under the stripe's lock.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::entry::Entry;
use crate::error::Failure;
use crate::fill::{Basis, Fill};

/// How a flight ended.
#[derive(Debug)]
pub enum Landing<V> {
    /// With a value and the proof of what it depends on; stored or not.
    Sealed(Arc<Entry<V>>),
    /// With a value that was stale before it was finished: only for those who asked before it began.
    BornStale(Arc<V>, Arc<Basis>),
    /// With the computation's own error, and what it had used until then.
    Failed(Failure, Arc<Basis>),
    /// Without any result: the leader was cancelled or its thread died. Somebody else must lead.
    Abandoned,
}

impl<V> Clone for Landing<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Sealed(entry) => Self::Sealed(Arc::clone(entry)),
            Self::BornStale(value, basis) => Self::BornStale(Arc::clone(value), Arc::clone(basis)),
            Self::Failed(failure, basis) => Self::Failed(Arc::clone(failure), Arc::clone(basis)),
            Self::Abandoned => Self::Abandoned,
        }
    }
}

enum State<V> {
    Running(Vec<Waker>),
    Landed(Landing<V>),
}

/// One computation that others may wait for.
pub(crate) struct Flight<V> {
    pub(crate) fill: Arc<Fill>,
    state: Mutex<State<V>>,
    landed: Condvar,
}

impl<V> Flight<V> {
    pub(crate) fn new(fill: Arc<Fill>) -> Arc<Self> {
        Arc::new(Self { fill, state: Mutex::new(State::Running(Vec::new())), landed: Condvar::new() })
    }

    /// Publishes the result and wakes everyone. Only the first landing counts.
    pub(crate) fn land(&self, landing: Landing<V>) {
        let mut state = self.state.lock();
        if matches!(*state, State::Landed(_)) {
            return;
        }
        let State::Running(wakers) = std::mem::replace(&mut *state, State::Landed(landing)) else {
            return;
        };
        drop(state);
        self.landed.notify_all();
        // Outside the lock: a waker may run foreign code.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The result, if there is one.
    pub(crate) fn landing(&self) -> Option<Landing<V>> {
        match &*self.state.lock() {
            State::Landed(landing) => Some(landing.clone()),
            State::Running(_) => None,
        }
    }

    /// The result, or `waker` is woken when there is one.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Landing<V>> {
        match &mut *self.state.lock() {
            State::Landed(landing) => Some(landing.clone()),
            State::Running(wakers) => {
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                None
            }
        }
    }

    /// Blocks the thread until the flight has landed or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Landing<V>> {
        let mut state = self.state.lock();
        // `wait_while_for` keeps the whole timeout across spurious wake-ups.
        self.landed.wait_while_for(&mut state, |state| matches!(state, State::Running(_)), timeout);
        match &*state {
            State::Landed(landing) => Some(landing.clone()),
            State::Running(_) => None,
        }
    }
}

/// The flights and the order of stores of the keys that fall into one stripe.
pub(crate) struct Stripe<V> {
    flights: HashMap<Box<[u8]>, Arc<Flight<V>>, foldhash::fast::RandomState>,
    /// Number of stores and deletes so far.
    sequence: u64,
    /// `sequence` of the latest delete: a fill that began before it may not store.
    deleted_at: u64,
}

impl<V> Stripe<V> {
    pub(crate) fn flight(&self, key: &[u8]) -> Option<&Arc<Flight<V>>> {
        self.flights.get(key)
    }

    pub(crate) fn depart(&mut self, key: &[u8], flight: &Arc<Flight<V>>) {
        self.flights.insert(Box::from(key), Arc::clone(flight));
    }

    /// Removes the flight, unless another one has taken its place.
    pub(crate) fn arrive(&mut self, key: &[u8], flight: &Arc<Flight<V>>) {
        if self.flights.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            self.flights.remove(key);
        }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Forgets the key's flight and forbids running fills of the stripe to store. Other keys of the
    /// stripe pay at most one computation for it.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.deleted_at = self.next_sequence();
        self.flights.remove(key);
    }

    pub(crate) fn was_deleted_since(&self, began: u64) -> bool {
        self.deleted_at > began
    }
}

const STRIPES: usize = 64;

/// All running flights of a cache.
pub(crate) struct Flights<V> {
    stripes: Box<[Mutex<Stripe<V>>]>,
    hasher: foldhash::fast::RandomState,
}

impl<V> Flights<V> {
    pub(crate) fn new() -> Self {
        let stripe = || Mutex::new(Stripe { flights: HashMap::default(), sequence: 0, deleted_at: 0 });
        Self {
            stripes: (0..STRIPES).map(|_| stripe()).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    pub(crate) fn stripe(&self, key: &[u8]) -> MutexGuard<'_, Stripe<V>> {
        let hash = self.hasher.hash_one(key);
        self.stripes[usize::try_from(hash % STRIPES as u64).expect("invariant: below 64")].lock()
    }

    /// Forgets all flights without landing them: after `fork` their leaders live in another process.
    pub(crate) fn forget_all(&self) {
        for stripe in &self.stripes {
            stripe.lock().flights.clear();
        }
    }
}
