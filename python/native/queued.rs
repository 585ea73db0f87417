//! Computations of the background that have not begun yet.
//!
//! A reader who finds nothing that may be served need not wait until it is their turn: it calls them off
//! and computes by itself.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use zoocache::Leader;
use zoocache::lock::Mutex;

use crate::value::Value;

/// A leader, until somebody takes it.
pub(crate) type Held = Mutex<Option<Leader<Value>>>;

/// What waits for its turn, by key.
#[derive(Default)]
pub(crate) struct Queued(Mutex<HashMap<Box<[u8]>, Weak<Held>>>);

impl Queued {
    pub(crate) fn add(&self, held: &Arc<Held>) {
        let key = held.lock().as_ref().map(|leader| Box::from(leader.fill().key()));
        if let Some(key) = key {
            self.0.lock().insert(key, Arc::downgrade(held));
        }
    }

    /// Notes that a computation begins, or never will: nobody calls it off from now on.
    pub(crate) fn remove(&self, key: &[u8], held: &Arc<Held>) {
        let mut queued = self.0.lock();
        if queued.get(key).is_some_and(|own| std::ptr::eq(own.as_ptr(), Arc::as_ptr(held))) {
            queued.remove(key);
        }
    }

    /// Calls off the computation of `key`; says whether there was one. Who waited for it joins anew.
    pub(crate) fn call_off(&self, key: &[u8]) -> bool {
        let leader = {
            let mut queued = self.0.lock();
            let held = queued.remove(key).and_then(|held| held.upgrade());
            // Still under the lock: once removed it might begin.
            held.and_then(|held| held.lock().take())
        };
        // Dropped with nothing locked: it wakes those who wait.
        leader.is_some()
    }
}
