//! The keys, what they hold and when they expire.
//!
//! They are ordered by a hash, so that a walk can go on from any of them whatever was added or removed meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sorted_set::SortedSet;

/// What a server holds. Clones share it until one of them is written to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data {
    /// By the hash of their names.
    keys: Arc<BTreeMap<u64, Vec<Key>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    name: Arc<[u8]>,
    entry: Entry,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) expires_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Text(Arc<[u8]>),
    Table(Arc<SortedSet>),
}

impl Entry {
    /// A key lives through the millisecond at which it expires.
    pub(crate) fn lives(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms <= expires_ms)
    }
}

/// The time by which keys expire.
pub(crate) fn milliseconds(now_us: u64) -> i64 {
    i64::try_from(now_us / 1_000).unwrap_or(i64::MAX)
}

impl Data {
    pub(crate) fn get(&self, name: &[u8], now_ms: i64) -> Option<&Entry> {
        let key = self.keys.get(&hash(name))?.iter().find(|key| *key.name == *name)?;
        key.entry.lives(now_ms).then_some(&key.entry)
    }

    pub(crate) fn get_mut(&mut self, name: &[u8], now_ms: i64) -> Option<&mut Entry> {
        // First: looking must not copy what is shared.
        self.get(name, now_ms)?;
        let keys = Arc::make_mut(&mut self.keys).get_mut(&hash(name))?;
        keys.iter_mut().find(|key| *key.name == *name).map(|key| &mut key.entry)
    }

    pub(crate) fn insert(&mut self, name: &[u8], entry: Entry) {
        let keys = Arc::make_mut(&mut self.keys).entry(hash(name)).or_default();
        match keys.iter_mut().find(|key| *key.name == *name) {
            Some(key) => key.entry = entry,
            None => keys.push(Key { name: Arc::from(name), entry }),
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        let hash = hash(name);
        if !self.keys.contains_key(&hash) {
            return;
        }
        let all = Arc::make_mut(&mut self.keys);
        if let Some(keys) = all.get_mut(&hash) {
            keys.retain(|key| *key.name != *name);
            if keys.is_empty() {
                all.remove(&hash);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.keys = Arc::default();
    }

    pub(crate) fn keys(&self, now_ms: i64) -> impl Iterator<Item = &[u8]> {
        let keys = self.keys.values().flatten().filter(move |key| key.entry.lives(now_ms));
        keys.map(|key| &*key.name)
    }

    /// About `count` keys, and where to go on: 0 at the end.
    pub(crate) fn walk(&self, from: u64, count: usize, now_ms: i64) -> (u64, Vec<&[u8]>) {
        let (mut names, mut passed) = (Vec::new(), 0);
        for (hash, keys) in self.keys.range(from..) {
            // Those of one hash together: a cursor has room for no more.
            if passed >= count {
                return (*hash, names);
            }
            passed += keys.len();
            names.extend(keys.iter().filter(|key| key.entry.lives(now_ms)).map(|key| &*key.name));
        }
        (0, names)
    }
}

/// FNV-1a: the same in each process.
fn hash(name: &[u8]) -> u64 {
    name.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
