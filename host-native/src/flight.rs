//! Single flight: one computation per key at a time, and everyone else waits for it.
//!
//! A [`Flight`] is one running computation that others may wait for, threads and tasks alike. The
//! [`Flights`] table holds them by key and also orders the stores of a key: every store and delete takes
//! the key's stripe, so "the first valid commit among overlapping fills wins" is decided in one place.
//! It knows neither storage nor engine; callers act under the stripe's lock.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::engine::Proof;
use crate::entry::Entry;
use crate::error::Failure;
use crate::fill::{Basis, Fill};
use crate::hash::RandomState;
use crate::mutant;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How a flight ended.
#[derive(Debug)]
pub enum Landing<V> {
    /// With a value and the proof of what it depends on; stored or not.
    Sealed(Arc<Entry<V>>),
    /// With a value that was stale before it was finished: only for those who asked before it began.
    BornStale(Arc<V>, Arc<Basis>),
    /// With the computation's own error, what it had used until then, and, unless that was outdated
    /// already, the proof of it.
    Failed(Failure, Arc<Basis>, Option<Arc<Proof>>),
    /// Without any result: the leader was cancelled or its thread died. Somebody else must lead.
    Abandoned,
}

impl<V> Clone for Landing<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Sealed(entry) => Self::Sealed(Arc::clone(entry)),
            Self::BornStale(value, basis) => Self::BornStale(Arc::clone(value), Arc::clone(basis)),
            Self::Failed(failure, basis, proof) => {
                Self::Failed(Arc::clone(failure), Arc::clone(basis), proof.clone())
            }
            Self::Abandoned => Self::Abandoned,
        }
    }
}

enum State<V> {
    /// Wakers by the number of the waiter's place: who came first is woken first.
    Running(BTreeMap<u64, Waker>),
    Landed(Landing<V>),
}

/// One computation that others may wait for.
pub(crate) struct Flight<V> {
    pub(crate) fill: Arc<Fill>,
    state: Mutex<State<V>>,
    /// When the result was judged by what was known everywhere, where every read asks for that; else 0.
    judged_ns: AtomicU64,
}

impl<V> Flight<V> {
    pub(crate) fn new(fill: Arc<Fill>) -> Arc<Self> {
        let state = Mutex::new(State::Running(BTreeMap::new()));
        Arc::new(Self { fill, state, judged_ns: AtomicU64::new(0) })
    }

    /// The result was judged by everything that was known anywhere at this time.
    pub(crate) fn set_judged(&self, judged_ns: u64) {
        self.judged_ns.store(judged_ns, Ordering::Release);
    }

    /// Was it judged so for a caller who arrived at this time?
    pub(crate) fn is_judged_since(&self, arrived_ns: u64) -> bool {
        arrived_ns != 0 && self.judged_ns.load(Ordering::Acquire) >= arrived_ns
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
        // Outside the lock: a waker may run foreign code.
        wakers.into_values().for_each(Waker::wake);
    }

    /// The result, if there is one.
    pub(crate) fn landing(&self) -> Option<Landing<V>> {
        match &*self.state.lock() {
            State::Landed(landing) => Some(landing.clone()),
            State::Running(_) => None,
        }
    }

    /// The result, or `waker` is woken when there is one: the latest waker of each `place` counts.
    pub(crate) fn poll(&self, place: u64, waker: &Waker) -> Option<Landing<V>> {
        let replaced = match &mut *self.state.lock() {
            State::Landed(landing) => return Some(landing.clone()),
            State::Running(wakers) => wakers.insert(place, waker.clone()),
        };
        // Outside the lock: a waker may run foreign code.
        drop(replaced);
        None
    }

    /// Forgets the waker of a waiter that is gone.
    pub(crate) fn forget(&self, place: u64) {
        let mut state = self.state.lock();
        let forgotten = match &mut *state {
            State::Running(wakers) => wakers.remove(&place),
            State::Landed(_) => None,
        };
        drop(state);
        drop(forgotten);
    }

    /// Blocks the thread until the flight has landed or `timeout` has passed.
    pub(crate) fn wait(&self, place: u64, timeout: Duration) -> Option<Landing<V>> {
        let parked = Arc::new(Parked::default());
        if let Some(landing) = self.poll(place, &Waker::from(Arc::clone(&parked))) {
            return Some(landing);
        }
        parked.wait(timeout);
        self.landing()
    }
}

/// A thread that waits. Each has a condition of its own: a thousand threads woken through one would pass
/// its lock on one by one.
#[derive(Default)]
struct Parked {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parked {
    fn wait(&self, timeout: Duration) {
        // `wait_while_for` keeps the whole timeout across spurious wake-ups.
        drop(self.changed.wait_while_for(self.woken.lock(), |woken| !*woken, timeout));
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

/// What runs for one key. Lives as long as a computation of the key does.
struct Slot<V> {
    /// The computation that newcomers wait for.
    flight: Option<Arc<Flight<V>>>,
    /// Computations that are running: the flight's and those beside it.
    running: usize,
    /// `sequence` of the latest store, if it came while a computation was running.
    stored_at: u64,
    /// `sequence` of the latest delete: a computation that began before it may not store.
    deleted_at: u64,
}

/// The computations, and the order of stores, of the keys that fall into one stripe.
pub(crate) struct Stripe<V> {
    slots: HashMap<Box<[u8]>, Slot<V>, RandomState>,
    /// Number of stores and deletes so far.
    sequence: u64,
}

impl<V> Stripe<V> {
    /// Number of stores and deletes of the stripe's keys so far.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn flight(&self, key: &[u8]) -> Option<&Arc<Flight<V>>> {
        self.slots.get(key)?.flight.as_ref()
    }

    /// Notes a computation that begins, as the key's flight if there is one. Returns the sequence at its
    /// beginning, for [`Stripe::since`].
    pub(crate) fn depart(&mut self, key: &[u8], flight: Option<&Arc<Flight<V>>>) -> u64 {
        let slot = self.slots.entry(Box::from(key)).or_insert(Slot {
            flight: None,
            running: 0,
            stored_at: 0,
            deleted_at: 0,
        });
        slot.running += 1;
        if let Some(flight) = flight {
            slot.flight = Some(Arc::clone(flight));
        }
        self.sequence
    }

    /// Notes that a computation has ended; newcomers do not wait for it any more.
    pub(crate) fn arrive(&mut self, key: &[u8], flight: Option<&Arc<Flight<V>>>) {
        // In a forked child there may be no slot: see `Flights::forget_all`.
        let Some(slot) = self.slots.get_mut(key) else { return };
        if let (Some(own), Some(current)) = (flight, &slot.flight)
            && Arc::ptr_eq(own, current)
        {
            slot.flight = None;
        }
        slot.running = slot.running.saturating_sub(1);
        if slot.running == 0 {
            self.slots.remove(key);
        }
    }

    /// What happened to the key since a computation that is running began at `began`.
    pub(crate) fn since(&self, key: &[u8], began: u64) -> Since {
        match self.slots.get(key) {
            Some(slot) if slot.deleted_at > began => Since::Deleted,
            Some(slot) if slot.stored_at > began => Since::Stored,
            _ => Since::Nothing,
        }
    }

    /// Notes a store. Other computations of the key began before it: newcomers must not get their
    /// results, which may be older than what they could have read already.
    pub(crate) fn stored(&mut self, key: &[u8]) {
        self.sequence += 1;
        if let Some(slot) = self.slots.get_mut(key) {
            slot.stored_at = self.sequence;
            if !mutant::is_on("join_overtaken") {
                slot.flight = None;
            }
        }
    }

    /// Notes that what is read below may not be what will be stored there in a moment. Running computations go on.
    pub(crate) fn replace(&mut self) {
        self.sequence += 1;
    }

    /// Forgets the key's flight and forbids running computations of the key to store.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.sequence += 1;
        if let Some(slot) = self.slots.get_mut(key) {
            slot.deleted_at = self.sequence;
            if !mutant::is_on("join_deleted") {
                slot.flight = None;
            }
        }
    }
}

/// What happened to a key since a computation of it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Nothing,
    /// Another value was stored.
    Stored,
    /// The key was deleted.
    Deleted,
}

const STRIPES: usize = 64;

/// All running flights of a cache.
pub(crate) struct Flights<V> {
    stripes: Box<[Mutex<Stripe<V>>]>,
    hasher: RandomState,
}

impl<V> Flights<V> {
    pub(crate) fn new() -> Self {
        let stripe = || Mutex::new(Stripe { slots: HashMap::default(), sequence: 0 });
        Self { stripes: (0..STRIPES).map(|_| stripe()).collect(), hasher: RandomState::default() }
    }

    pub(crate) fn stripe(&self, key: &[u8]) -> MutexGuard<'_, Stripe<V>> {
        let hash = self.hasher.hash_one(key);
        self.stripes[usize::try_from(hash % STRIPES as u64).expect("invariant: below 64")].lock()
    }

    /// Forgets all flights without landing them: after `fork` their leaders live in another process.
    pub(crate) fn forget_all(&self) {
        for stripe in &self.stripes {
            // Not dropped: their wakers may be objects of threads that do not exist here.
            std::mem::forget(std::mem::take(&mut stripe.lock().slots));
        }
    }
}
