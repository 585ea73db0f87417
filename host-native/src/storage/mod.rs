//! The seam to where entries rest.
//!
//! A storage keeps entries under keys and makes room when it is full. It knows nothing of tags and never
//! decides whether an entry is fresh; whoever reads it judges.

#[cfg(any(feature = "lmdb", feature = "redis"))]
mod envelope;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "lmdb")]
pub(crate) use lmdb::LmdbStorage;
pub use memory::{Limits, MemoryStorage};
#[cfg(feature = "redis")]
pub(crate) use redis::RedisStorage;
#[cfg(feature = "fuzzing")]
pub(crate) use redis::fuzzing;

use std::sync::Arc;
use std::time::Duration;

use zoocache_core::Header;

use crate::entry::Entry;
use crate::error::Error;

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

/// Where entries rest as bytes, outside of the process, and survive it.
///
/// Rows are numbered by the transaction that stored them, and numbers only rise. An error costs a
/// computation, never a wrong value; what cannot be read as a row is none.
pub trait Rows: Send + Sync + 'static {
    /// The number of the latest change that a reader sees: what it does not see has a higher one. 0 if that
    /// cannot be said.
    fn number(&self) -> u64;
    /// The row under `key`.
    ///
    /// # Errors
    /// When it could not be read.
    fn get(&self, key: &[u8]) -> Result<Found, Error>;
    /// Stores a row if `admits` says so, which is shown what is stored there now and the number that the row would
    /// have; in one step, against all processes. Nobody sees the row before `admits` has answered; it may be asked
    /// again. Returns whether it was stored.
    ///
    /// # Errors
    /// When it could not be written: nothing has changed then.
    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error>;
    /// Removes and returns the row under `key`. Before anybody can miss it, `tell` is called with the number of
    /// this change; also if there is no row. Nothing is removed if it answers that somebody could not be told.
    ///
    /// # Errors
    /// When it could not be removed.
    fn delete(&self, key: &[u8], tell: &mut dyn FnMut(u64) -> bool) -> Result<Option<Row>, Error>;
    /// Notes that rows were used. A row that was used goes late when room runs out, and one with a time to idle
    /// lives on. Those that are gone are passed over.
    ///
    /// # Errors
    /// When it could not be noted.
    fn touch(&self, uses: &[Use], now_us: u64) -> Result<(), Error>;
    /// Takes the lock of a key, which ends at its deadline or with this process; or returns the token of the
    /// process that holds it. A lock keeps nobody from storing.
    ///
    /// # Errors
    /// When it could not be taken.
    fn lock(&self, key: &[u8], lease: &Lease) -> Result<Option<u64>, Error>;
    /// Gives a lock back, if it is still that of `token`.
    ///
    /// # Errors
    /// When it could not be given back: it ends at its deadline.
    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Error>;
    /// Blocks for `pause`, or less if the lock of the key is given back meanwhile.
    fn pause(&self, _key: &[u8], pause: Duration) {
        crate::clock::pause(pause);
    }
    /// Does [`get`](Self::get) also learn what the log says, so that reading it first would be for nothing?
    fn brings_news(&self) -> bool {
        false
    }
    /// Asks for rows without waiting for them, where they are far away; and what the log says, if that `must` be known
    /// as of now.
    #[cfg(feature = "redis")]
    fn prefetch(&self, _keys: Vec<crate::server::Asked>, _must: bool) -> Option<crate::server::Prefetch> {
        None
    }
    /// Calls `visit` with the key and the row of each that can be read, in no order. Not a snapshot of one
    /// instant.
    ///
    /// # Errors
    /// When rows could not be read; some may have been visited.
    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Row)) -> Result<(), Error>;
    /// Removes the rows with numbers up to `last`, all of which are stale; what was stored later may be fresh, and others
    /// may hold it.
    ///
    /// # Errors
    /// When they could not be removed.
    fn clear(&self, last: u64) -> Result<(), Error>;
    /// Removes what has expired at `now_us` and some of what `is_dead`, a little at a time: called again, it
    /// goes on where it stopped. Returns how many.
    ///
    /// # Errors
    /// When something could not be removed.
    fn sweep(&self, now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error>;
    /// Some rows and where each of them stands, for those who look at them: from the beginning if `from` is empty, else
    /// after that place. Values stay where they are, so nothing is authenticated. Also says where to go on when all of
    /// these have been seen; empty at the end.
    ///
    /// # Errors
    /// When they could not be read.
    fn glance(&self, from: &[u8]) -> Result<(Vec<Glimpse>, Vec<u8>), Error> {
        let mut seen = Vec::new();
        self.visit(&mut |key, row| {
            let (header, bytes) = (row.header.clone(), row.payload.len() as u64);
            let (key, place, expires_us) = (key.to_vec(), key.to_vec(), row.expires_us);
            seen.push(Glimpse { key, header, expires_us, bytes, place });
        })?;
        seen.retain(|glimpse| from.is_empty() || *glimpse.place > *from);
        seen.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        Ok((seen, Vec::new()))
    }
    /// A row whose value is not this process's to read, as it was authenticated with a secret that this process was not
    /// given; for those who look at it.
    ///
    /// # Errors
    /// When it could not be read.
    fn glance_at(&self, _key: &[u8]) -> Result<Option<Glimpse>, Error> {
        Ok(None)
    }
    /// When the time of a row runs out, as far as is known now, for those who look at it: Unix microseconds; 0 = never.
    ///
    /// # Errors
    /// When it could not be asked for.
    fn expires_us(&self, _key: &[u8], row: &Row) -> Result<u64, Error> {
        Ok(row.expires_us)
    }
    /// Facts of a folder, where entries rest in one.
    ///
    /// # Errors
    /// When it could not be read.
    #[cfg(feature = "lmdb")]
    fn folder(&self) -> Result<Option<crate::FolderFacts>, Error> {
        Ok(None)
    }
    /// Sizes and counters; `None` where they are not this process's business.
    fn stats(&self) -> Option<StorageStats>;
}

/// What is stored under a key.
#[derive(Debug, Clone)]
pub enum Found {
    /// No row.
    Nothing,
    /// One that is damaged, of another format, or not authentic.
    Rejected,
    /// A row.
    Row(Row),
}

impl Found {
    /// The row, if there is one that can be read.
    pub fn row(self) -> Option<Row> {
        match self {
            Self::Row(row) => Some(row),
            Self::Nothing | Self::Rejected => None,
        }
    }
}

/// A stored row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The number of the transaction that stored it.
    pub number: u64,
    /// What it is judged by.
    pub header: Header,
    /// Time to idle in microseconds, or 0.
    pub idle_us: u64,
    /// When its time runs out, Unix microseconds; 0 = never, or only its storage knows
    /// ([`Rows::expires_us`]). Later than it was at first if uses have extended it.
    pub expires_us: u64,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Row {
    /// Has its time run out?
    pub(crate) fn is_expired(&self, now_us: u64) -> bool {
        self.expires_us != 0 && self.expires_us <= now_us
    }
}

/// A row that somebody came by.
#[derive(Debug, Clone)]
pub struct Glimpse {
    /// Its key.
    pub key: Vec<u8>,
    /// What it is judged by, as it says itself.
    pub header: Header,
    /// When its time runs out, Unix microseconds; 0 = never.
    pub expires_us: u64,
    /// How many bytes it takes.
    pub bytes: u64,
    /// Where those after it begin.
    pub place: Vec<u8>,
}

/// Whether a row may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may not.
    Refused,
    /// It may.
    Granted,
    /// It may, and others may hold what it replaces, and would go on serving it.
    Replacing,
}

/// A row to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'a> {
    /// What it will be judged by. Its expiry is what no use extends its life beyond.
    pub header: &'a Header,
    /// Time to idle in microseconds, or 0: how long it lives from its creation, and from each use, on.
    pub idle_us: u64,
    /// What it holds.
    pub payload: &'a [u8],
    /// The token of a lock that is given back with the row; 0 for none.
    pub unlocks: u64,
    /// Does it yield to nothing that was stored or deleted since its computation began?
    pub supersedes: bool,
}

/// A use of a row.
#[derive(Debug, Clone)]
pub struct Use {
    /// Of which.
    pub key: Box<[u8]>,
    /// When, in microseconds since the Unix epoch.
    pub used_us: u64,
    /// For how many milliseconds from now on it lives, if it has a time to idle; else 0.
    pub left_ms: u64,
}

/// A lock that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// By chance, and not 0: tells it from all others.
    pub token: u64,
    /// The time, in microseconds since the Unix epoch.
    pub now_us: u64,
    /// When it ends.
    pub deadline_us: u64,
}
