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

use parking_lot::Mutex;

use super::Cache;
use super::resting::Resting;
use crate::entry::Entry;
use crate::error::Error;
use crate::storage::Storage;

/// Keys of which what is read may be about to be replaced.
#[derive(Default)]
pub(super) struct Replaced {
    /// By key: the number of the change. Rows that are read at that number or later may be remembered.
    keys: Mutex<HashMap<Box<[u8]>, u64, foldhash::fast::RandomState>>,
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

#[cfg(all(test, feature = "lmdb"))]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use zoocache_core::Tag;

    use crate::codec::{CodecError, ValueCodec};
    use crate::{Cache, ManualClock, Policy};

    struct Number;

    impl ValueCodec<u64> for Number {
        fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
            Ok(value.to_le_bytes().to_vec())
        }

        fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
            Ok(u64::from_le_bytes(bytes.try_into()?))
        }
    }

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn pair(name: &str) -> (Cache<u64>, Cache<u64>, Folder) {
        let path = std::env::temp_dir().join(format!("zoocache-replaced-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let open = || {
            let clock = Arc::new(ManualClock::at(1_800_000_000_000_000));
            Cache::builder().clock(clock).lmdb(&path, Number).build().expect("opens")
        };
        (open(), open(), Folder(path.clone()))
    }

    fn policy() -> Policy {
        Policy::default().with_tags([Tag::parse("a").expect("valid tag")])
    }

    fn hits_below(cache: &Cache<u64>, expected: u64) -> u64 {
        let before = cache.stats().shared_hits;
        for _ in 0..3 {
            assert_eq!(cache.get("k"), Some(expected));
        }
        cache.stats().shared_hits - before
    }

    #[test]
    fn others_forget_before_the_change_is_seen_and_remember_when_it_is() {
        let (one, two, _folder) = pair("order");
        one.put("k", 1, &policy());
        assert_eq!(hits_below(&two, 1), 1, "then from its near cache");
        let resting = one.shared.parts.resting.as_ref().expect("a folder");
        resting
            .rows
            .delete(b"k", &mut |number| {
                let (told, gone) = one.tell_replaced(resting, b"k", number);
                assert!(told.is_ok() && gone.is_some());
                assert_eq!(hits_below(&two, 1), 3, "it is there still, and is not remembered");
            })
            .expect("can be written");
        assert_eq!((one.get("k"), two.get("k")), (None, None));
        one.put("k", 2, &policy());
        assert_eq!((hits_below(&one, 2), hits_below(&two, 2)), (0, 1));
    }

    #[test]
    fn who_dies_after_telling_costs_reads_until_somebody_else_stores() {
        let (one, two, _folder) = pair("death");
        one.put("k", 1, &policy());
        assert_eq!(hits_below(&two, 1), 1);
        let next = one.rows_number() + 1;
        one.shared.parts.sequencer.replaced(b"k", next).expect("can be written");
        assert_eq!(hits_below(&two, 1), 3);
        one.put("other", 1, &policy());
        assert_eq!(hits_below(&two, 1), 1);
    }
}
