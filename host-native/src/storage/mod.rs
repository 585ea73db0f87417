//! The seam to where entries rest.
//!
//! A storage keeps entries under keys and makes room when it is full. It knows nothing of tags and never
//! decides whether an entry is fresh; whoever reads it judges.

mod memory;

pub use memory::{Limits, MemoryStorage};

use std::sync::Arc;

use crate::entry::Entry;

/// Where entries rest. All methods may be called from any thread.
///
/// No method drops a value while it holds a lock: dropping a value may run foreign code.
pub trait Storage<V>: Send + Sync + 'static {
    /// The entry under `key`; counts as a use for eviction.
    fn get(&self, key: &[u8]) -> Option<Arc<Entry<V>>>;
    /// The same without counting as a use.
    fn peek(&self, key: &[u8]) -> Option<Arc<Entry<V>>>;
    /// Stores `entry`, replacing what was there; evicts others when room runs out. Returns what had to
    /// go: the caller may hold locks of its own, and drops it after those.
    #[must_use = "dropping values runs foreign code: do it without a lock"]
    fn insert(&self, key: &[u8], entry: Arc<Entry<V>>) -> Vec<Arc<Entry<V>>>;
    /// Removes and returns what is stored under `key`.
    fn remove(&self, key: &[u8]) -> Option<Arc<Entry<V>>>;
    /// Removes and returns every entry for which `is_dead` answers true.
    fn sweep(&self, is_dead: &dyn Fn(&Entry<V>) -> bool) -> Vec<Arc<Entry<V>>>;
    /// Calls `visit` for each entry, in no order.
    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Entry<V>));
    /// Sizes and counters.
    fn stats(&self) -> StorageStats;
}

/// Sizes and counters of a storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageStats {
    /// Entries stored now.
    pub entries: u64,
    /// Bytes of keys, values (as the weigher saw them) and bookkeeping; `None` where only the number of
    /// entries is bounded, since nobody counts bytes then.
    pub bytes: Option<u64>,
    /// Entries removed because room ran out, since the start.
    pub evicted: u64,
}
