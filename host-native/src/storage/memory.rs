//! Entries in this process's memory.
//!
//! Sharding, scan-resistant eviction (Clock-PRO with S3-FIFO's ideas) and accounting are `quick_cache`'s.
//! This file adds both limits at once, and the rule that no value is dropped under a shard's lock.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::{Storage, StorageStats};
use crate::entry::Entry;
use crate::lock::Mutex;

/// Bytes that an entry occupies beside its key and value: allocations, table slot, links.
const BOOKKEEPING_BYTES: u64 = 208;
/// One shard for this many entries: short locks for big caches, exact limits for small ones.
const ENTRIES_PER_SHARD: u64 = 1_024;
const MAX_SHARDS: u64 = 64;

/// How much a memory storage may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Number of entries.
    pub max_entries: Option<u64>,
    /// Bytes of keys, values (as the weigher saw them) and bookkeeping.
    pub max_bytes: Option<u64>,
}

impl Limits {
    /// The capacity in weight units, and the least an entry may weigh.
    ///
    /// `quick_cache` bounds one sum of weights. Where both limits are set an entry weighs at least
    /// `max_bytes / max_entries`, so neither the bytes nor the number can pass its limit; a cache of
    /// entries that are partly small and partly large may evict a little before it must.
    fn capacity(&self) -> (u64, Weight) {
        match (self.max_entries, self.max_bytes) {
            (None, None) => (u64::MAX / 2, Weight::Bytes { at_least: 1 }),
            (Some(entries), None) => (entries, Weight::One),
            (None, Some(bytes)) => (bytes, Weight::Bytes { at_least: 1 }),
            (Some(entries), Some(bytes)) => {
                (bytes, Weight::Bytes { at_least: bytes.div_ceil(entries).max(1) })
            }
        }
    }

    /// Shards: a power of two, so that each has the same share and their sum never passes the limit.
    fn shards(&self) -> u64 {
        let expected = match (self.max_entries, self.max_bytes) {
            (Some(entries), _) => entries,
            (None, Some(bytes)) => bytes / 1_024,
            (None, None) => u64::MAX,
        };
        let wanted = (expected / ENTRIES_PER_SHARD).clamp(1, MAX_SHARDS);
        // Rounded down to a power of two.
        1 << wanted.ilog2()
    }
}

#[derive(Debug, Clone, Copy)]
enum Weight {
    One,
    Bytes { at_least: u64 },
}

impl<V> Weighter<Box<[u8]>, Arc<Entry<V>>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry<V>>) -> u64 {
        match self {
            Self::One => 1,
            Self::Bytes { at_least } => {
                (key.len() as u64 + u64::from(entry.weight()) + BOOKKEEPING_BYTES).max(*at_least)
            }
        }
    }
}

/// Collects what a request evicts or replaces, so that it is dropped after the shard is unlocked.
#[derive(Debug, Clone)]
struct Collector;

impl<V> Lifecycle<Box<[u8]>, Arc<Entry<V>>> for Collector {
    type RequestState = Vec<Arc<Entry<V>>>;

    fn on_evict(&self, state: &mut Self::RequestState, _key: Box<[u8]>, entry: Arc<Entry<V>>) {
        entry.retire();
        state.push(entry);
    }
}

type Shards<V, S> = Cache<Box<[u8]>, Arc<Entry<V>>, Weight, S, Collector>;

/// Entries in this process's memory. `S` hashes keys; only tests need another than the default.
pub struct MemoryStorage<V, S = crate::hash::RandomState> {
    shards: Shards<V, S>,
    counts_bytes: bool,
    evicted: AtomicU64,
}

impl<V> MemoryStorage<V> {
    /// An empty storage.
    pub fn new(limits: Limits) -> Self {
        Self::with_hasher(limits, crate::hash::RandomState::default())
    }
}

impl<V, S: BuildHasher + Clone> MemoryStorage<V, S> {
    /// An empty storage with a hasher of the caller's.
    pub fn with_hasher(limits: Limits, hasher: S) -> Self {
        let (capacity, weight) = limits.capacity();
        let shards = limits.shards();
        let capacity = capacity / shards * shards;
        let expected = limits.max_entries.unwrap_or(1 << 18).min(1 << 24);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(expected.max(shards * 32)).unwrap_or(1))
            .weight_capacity(capacity)
            // The cold queue gets room for at least one entry in caches of a few entries too.
            .hot_allocation(0.97)
            .build()
            .expect("invariant: capacity and estimate are set");
        let shards = Cache::with_options(options, weight, hasher, Collector);
        Self { shards, counts_bytes: matches!(weight, Weight::Bytes { .. }), evicted: AtomicU64::new(0) }
    }

    /// The entry under `key`; see [`Storage::get`].
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        self.shards.get(key)
    }
}

impl<V, S> Storage<V> for MemoryStorage<V, S>
where
    V: Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    #[inline]
    fn get(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        self.shards.get(key)
    }

    fn peek(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        self.shards.peek(key)
    }

    fn insert(&self, key: &[u8], entry: Arc<Entry<V>>) -> Vec<Arc<Entry<V>>> {
        // Held until after the insert, which may drop the replaced entry under the shard's lock.
        let replaced = self.shards.peek(key);
        let mut gone = Vec::new();
        self.shards.insert_with_lifecycle(Box::from(key), entry, &mut gone);
        if let Some(replaced) = &replaced {
            replaced.retire();
            gone.retain(|entry| !Arc::ptr_eq(entry, replaced));
        }
        self.evicted.fetch_add(gone.len() as u64, Ordering::Relaxed);
        gone.extend(replaced);
        gone
    }

    fn remove(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        let (_, entry) = self.shards.remove(key)?;
        entry.retire();
        Some(entry)
    }

    fn sweep(&self, is_dead: &dyn Fn(&Entry<V>) -> bool) -> Vec<Arc<Entry<V>>> {
        let dead = Mutex::new(Vec::new());
        crate::sync::undisturbed(|| {
            self.shards.retain(|_, entry| {
                let keep = !is_dead(entry);
                if !keep {
                    entry.retire();
                    dead.lock().push(Arc::clone(entry));
                }
                keep
            });
        });
        dead.into_inner()
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Entry<V>)) {
        crate::sync::undisturbed(|| {
            for (key, entry) in self.shards.iter() {
                visit(&key, &entry);
            }
        });
    }

    fn stats(&self) -> StorageStats {
        StorageStats {
            entries: self.shards.len() as u64,
            bytes: self.counts_bytes.then(|| self.shards.weight()),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}
