//! Replacing and deleting what others remember: a later hit never returns an older value than an earlier one.
//!
//! Others go on serving what is fresh until they are told. They are told *before* the change can be seen, inside the
//! write transaction that makes it, and with the number it will have. Who is told forgets the key, and until it can
//! read the change, it does not remember what it reads in its place. So whoever has seen the new value was told
//! before everybody else looks again, and a process that dies in between has told of a change that never was.
//! (Told afterwards, the others would be left with the old value by a process that died in between.)

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Mutex;

use super::Cache;
use super::resting::Resting;
use crate::entry::Entry;
use crate::error::Error;
use crate::storage::Storage;

/// Keys of which what is read may be about to be replaced.
#[derive(Default)]
pub(super) struct Replaced {
    /// By key: the number of the change. Rows that are read at that number or later may be remembered.
    keys: Mutex<HashMap<Box<[u8]>, u64, crate::hash::RandomState>>,
    any: AtomicBool,
}

impl Replaced {
    /// Notes keys; forgets those whose change can be read, now that rows have the `number`.
    fn note<'a>(&self, keys: impl Iterator<Item = (&'a [u8], u64)>, number: u64) {
        let mut held = self.keys.lock();
        held.retain(|_, change| *change > number);
        for (key, change) in keys.filter(|(_, change)| *change > number) {
            let held = held.entry(Box::from(key)).or_default();
            *held = change.max(*held);
        }
        self.any.store(!held.is_empty(), Ordering::Relaxed);
    }

    /// Is it to be forgotten again what is read of this key from now on? To be asked after the key's stripe was
    /// locked, in which the key is forgotten after it was noted here.
    pub(super) fn holds(&self, key: &[u8], number: impl FnOnce() -> u64) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut held = self.keys.lock();
        if !held.contains_key(key) {
            return false;
        }
        let number = number();
        held.retain(|_, change| *change > number);
        self.any.store(!held.is_empty(), Ordering::Relaxed);
        held.contains_key(key)
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Tells the others, and this process's own near cache, to forget a key that the change with the `number` will
    /// replace. To be called inside the transaction that makes it. What is handed out is to be dropped outside.
    pub(super) fn tell_replaced(
        &self,
        resting: &Resting<V>,
        key: &[u8],
        number: u64,
    ) -> (Result<(), Error>, Option<Arc<Entry<V>>>) {
        let shared = &*self.shared;
        resting.replaced.note(std::iter::once((key, number)), number.saturating_sub(1));
        let gone = {
            let mut stripe = shared.flights.stripe(key);
            stripe.replace();
            shared.parts.storage.remove(key)
        };
        (shared.parts.sequencer.replaced(key, number), gone)
    }

    /// Lets the near cache forget what other processes are about to replace or delete.
    pub(crate) fn listen_to_others(&self) {
        let shared = Arc::downgrade(&self.shared);
        self.shared.parts.sequencer.when_replaced(Box::new(move |keys| {
            let Some(shared) = shared.upgrade() else { return Box::new(()) };
            if let Some(resting) = &shared.parts.resting {
                let keys = keys.iter().map(|(key, number)| (&key[..], *number));
                resting.replaced.note(keys, resting.rows.number());
            }
            let mut gone = Vec::new();
            for (key, _) in keys {
                let mut stripe = shared.flights.stripe(key);
                stripe.delete(key);
                gone.extend(shared.parts.storage.remove(key));
            }
            // The cache itself too: this may be its last owner, and a lock is held here.
            Box::new((gone, shared))
        }));
    }
}
