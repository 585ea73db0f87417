//! The seam to whoever orders the invalidations of a domain.
//!
//! A sequencer assigns each invalidation its position and keeps this process's engine up to date with
//! the domain's log. It knows tags and positions; it never sees an entry.

#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "lmdb")]
pub(crate) use lmdb::LmdbSequencer;
pub use memory::MemorySequencer;
#[cfg(feature = "redis")]
pub(crate) use redis::RedisSequencer;

use std::any::Any;

use zoocache_core::{MarkId, Tag, Timestamp};

use crate::engine::Engine;
use crate::error::Error;

/// Orders the invalidations of one domain.
pub trait Sequencer: Send + Sync + 'static {
    /// Gives `tags` the next position of the log and applies it to `engine`. When it returns, no entry
    /// below the tags is fresh for any reader the domain promises it to.
    ///
    /// # Errors
    /// When the position could not be assigned; this process serves nothing that the invalidation covers all the same.
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error>;

    /// Marks `tags` as being changed until [`settle`](Self::settle) or the deadline.
    ///
    /// # Errors
    /// When the mark could not be placed.
    fn change(&self, engine: &dyn Engine, change: &Change<'_>) -> Result<MarkId, Error>;

    /// Invalidates the mark's tags and removes it, in one step.
    ///
    /// # Errors
    /// When no position could be assigned; the mark stays until its deadline, and this process serves nothing that the
    /// invalidation covers all the same, if it announced the change.
    fn settle(&self, engine: &dyn Engine, mark: MarkId, now_us: u64) -> Result<Timestamp, Error>;

    /// Are invalidations ordered outside of this process? If not, the engine is always current and the
    /// two methods below are never called.
    fn follows_log(&self) -> bool;

    /// Does `engine` hold everything a read must know that begins now? Asked before an entry is
    /// judged; must cost nanoseconds.
    fn is_current(&self) -> bool;

    /// Brings `engine` up to the end of the log.
    ///
    /// # Errors
    /// When the log could not be read: the caller must treat every entry as unknown.
    fn catch_up(&self, engine: &dyn Engine) -> Result<(), Error>;

    /// Brings `engine` up to what is known at the end of the log now, even if [`is_current`](Self::is_current)
    /// puts up with less.
    ///
    /// # Errors
    /// As [`catch_up`](Self::catch_up).
    fn sync(&self, engine: &dyn Engine) -> Result<(), Error> {
        self.catch_up(engine)
    }

    /// Would [`catch_up`](Self::catch_up) have to wait for other threads or processes, and not only read? A guess.
    fn would_wait(&self) -> bool {
        false
    }

    /// Asks for the end of the log without waiting for it, where it is far away.
    #[cfg(feature = "redis")]
    fn prefetch(&self) -> Option<crate::Prefetch> {
        None
    }

    /// Tells the other processes to forget what they remember of `key`: the change of the rows with this number
    /// will replace or delete it. To be called before that change is to be seen.
    ///
    /// # Errors
    /// When they could not be told.
    fn replaced(&self, _key: &[u8], _number: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Who is told, while catching up, which keys others have replaced or deleted.
    fn when_replaced(&self, _forget: Forget) {}

    /// How often a read found out what this process had not been told.
    fn catch_ups(&self) -> u64 {
        0
    }

    /// What the log still tells of past invalidations, for those who look at it; nothing, if nobody keeps one.
    ///
    /// # Errors
    /// When the log could not be read.
    fn history(&self, _wanted: &Wanted) -> Result<Vec<Invalidated>, Error> {
        Ok(Vec::new())
    }

    /// How often another domain took the place of the one that this process was in: nothing that was cached before
    /// counts any more.
    fn domain_changes(&self) -> u64 {
        0
    }

    /// To be called in a forked child.
    fn after_fork(&self) {}

    /// Forgets what is too old to decide anything. Called now and then, by a background thread.
    ///
    /// # Errors
    /// When the log could not be written.
    fn tidy(&self, _engine: &dyn Engine, _now_us: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// Forgets keys, each with the number of the change that replaces it, and hands out what has to be dropped once no
/// lock is held.
pub type Forget = Box<dyn Fn(&[(Vec<u8>, u64)]) -> Box<dyn Any + Send> + Send + Sync>;

/// Which invalidations of the past somebody wants to know of.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The earliest position.
    pub from: Timestamp,
    /// The latest position.
    pub to: Timestamp,
    /// How many, at most.
    pub most: usize,
    /// The latest first, instead of the earliest.
    pub newest_first: bool,
}

/// An invalidation of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidated {
    /// Its position.
    pub at: Timestamp,
    /// Its tags; the root for all. Those that were invalidated again since may be missing.
    pub tags: Vec<Tag>,
    /// Who made it, where that was noted.
    pub node: Option<String>,
}

/// A change that is about to be made to the source of truth.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What changes.
    pub tags: &'a [Tag],
    /// When the mark counts as settled by itself, in microseconds since the Unix epoch.
    pub deadline_us: u64,
    /// The time, in microseconds since the Unix epoch.
    pub now_us: u64,
}
