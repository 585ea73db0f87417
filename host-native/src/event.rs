//! What observers are told.
//!
//! Events are for the rare things: fills, invalidations, evictions. A hit raises no event; hits are
//! counted (see [`crate::Stats`]) and read on demand, so that watching a cache costs a hit nothing.

use zoocache_core::{MarkId, Tag, Timestamp};

/// Something that happened in a cache.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A computation finished and its result was stored.
    Filled {
        /// The entry's key.
        key: &'a [u8],
        /// How long the computation took, in milliseconds of the coarse clock.
        elapsed_ms: u64,
    },
    /// A computation finished, but a dependency was invalidated (or is being changed) meanwhile: the
    /// value went to its caller and was not stored.
    BornStale {
        /// The key.
        key: &'a [u8],
    },
    /// A computation failed or was abandoned.
    FillFailed {
        /// The key.
        key: &'a [u8],
    },
    /// Tags were invalidated.
    Invalidated {
        /// The tags; the root stands for `clear`.
        tags: &'a [Tag],
        /// The position of the invalidation in the domain's log.
        at: Timestamp,
    },
    /// A change was settled, and thereby its tags invalidated.
    Settled {
        /// The mark that announced it.
        mark: MarkId,
        /// The position of the invalidation in the domain's log.
        at: Timestamp,
    },
    /// A caller gave up waiting for somebody else's computation and computed for itself.
    WaitTimedOut {
        /// The key.
        key: &'a [u8],
    },
    /// A value could not be read from, or written to, where entries rest outside of the process, or an
    /// invalidation could not be told to others. The cache goes on: it computes what it cannot read.
    StorageFailed {
        /// What went wrong.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// What was stored was damaged and is gone: the cache begins empty.
    StartedOver {
        /// What was found.
        cause: &'a str,
    },
    /// Dead entries were removed in the background.
    Swept {
        /// How many.
        entries: usize,
    },
}

/// Receives [`Event`]s, on the thread where they happen and with no lock of the cache held.
///
/// An observer must be quick; it may call the cache.
pub trait Observer: Send + Sync + 'static {
    /// Called once for each event.
    fn on_event(&self, event: &Event<'_>);
}
