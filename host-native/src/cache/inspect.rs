//! Looking inside: counters, sizes, and why an entry is what it is.

use std::sync::Arc;

use zoocache_core::{Cause, Verdict};

use super::affected::is_at_or_above;
use super::resting::value_of;
use super::{Cache, Status};
use crate::counters::Count;
use crate::engine::Proof;
use crate::entry::Entry;
use crate::error::Error;
use crate::gate;
use crate::sequencer::{Invalidated, Wanted};
use crate::storage::Storage;

/// Counters and sizes of a cache. Not a snapshot of one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Fresh entries served.
    pub hits: u64,
    /// Reads that found out what this process had not been told: where messages were lost or late.
    pub catch_ups: u64,
    /// How often another domain took the place of the one that the cache was in, so that nothing cached before counts:
    /// a server that lost its data, or a folder that was replaced.
    pub domain_changes: u64,
    /// Callers that computed while others could wait for them.
    pub leads: u64,
    /// Lookups that found nothing under the key.
    pub misses: u64,
    /// Lookups that found an entry of which a dependency was invalidated.
    pub stale: u64,
    /// Lookups that found an entry whose time had run out.
    pub expired: u64,
    /// Computed values that were not stored, because a dependency was invalidated meanwhile.
    pub born_stale: u64,
    /// Computations that ended with a value.
    pub computations: u64,
    /// Computations that failed.
    pub errors: u64,
    /// Callers that waited for somebody else's computation.
    pub waits: u64,
    /// Callers that waited too long and computed for themselves.
    pub timeouts: u64,
    /// Entries that were not fresh and were served on purpose.
    pub stale_served: u64,
    /// Computations begun for entries that could still be served.
    pub refreshes: u64,
    /// Entries that were found below the near cache, where processes share them.
    pub shared_hits: u64,
    /// Times that storage could not be read or written.
    pub storage_errors: u64,
    /// Lookups that found below the near cache what is damaged, of another format, or not authentic: each is
    /// a miss beside.
    pub rejected: u64,
    /// Invalidations, of any number of tags each.
    pub invalidations: u64,
    /// Entries stored now, fresh or not.
    pub entries: u64,
    /// Bytes in use, where they are counted (see [`crate::storage::StorageStats::bytes`]).
    pub bytes: Option<u64>,
    /// Entries removed because room ran out.
    pub evicted: u64,
    /// Tags known to the engine.
    pub tags: u64,
}

/// What an entry is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryState {
    /// It would be served.
    Fresh,
    /// A dependency was invalidated after its computation began.
    Stale,
    /// A dependency is being changed right now.
    Changing,
    /// Its time has run out.
    Expired,
    /// Nothing is stored under the key.
    Absent,
}

impl EntryState {
    /// The state in one lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Changing => "changing",
            Self::Expired => "expired",
            Self::Absent => "absent",
        }
    }
}

/// One dependency of an explained entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyState {
    /// The tag; `a:b:*` for a whole subtree.
    pub tag: String,
    /// Position of the latest invalidation that covers it: microseconds since the Unix epoch, 0 = never.
    pub latest: u64,
    /// Whether that invalidation came after the entry's computation began.
    pub stale: bool,
}

/// What made an entry stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleCause {
    /// The tag that was invalidated: a dependency, or something above or below it.
    pub tag: String,
    /// When, in microseconds since the Unix epoch by the clock of the domain.
    pub at_us: u64,
    /// The node that did it.
    pub node: String,
}

/// Why an entry is fresh, stale, expired or absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What the entry is now.
    pub state: EntryState,
    /// Milliseconds since it was stored.
    pub age_ms: u64,
    /// Milliseconds until it expires, if it does.
    pub expires_in_ms: Option<u64>,
    /// Position at which its computation began, in microseconds since the Unix epoch.
    pub as_of_us: u64,
    /// Its dependencies.
    pub dependencies: Vec<DependencyState>,
    /// What made it stale, if it is.
    pub cause: Option<StaleCause>,
}

impl Explanation {
    const fn absent() -> Self {
        Self {
            state: EntryState::Absent,
            age_ms: 0,
            expires_in_ms: None,
            as_of_us: 0,
            dependencies: Vec::new(),
            cause: None,
        }
    }
}

/// What is known of an entry that is to be explained.
pub(super) struct Stored<'a> {
    pub(super) sealed: &'a Proof,
    pub(super) age_ms: u64,
    pub(super) expires_in_ms: Option<u64>,
    pub(super) is_expired: bool,
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let below = shared.parts.resting.as_ref().and_then(|resting| resting.rows.stats());
        let storage = below.unwrap_or_else(|| shared.parts.storage.stats());
        let sum = |what| shared.counters.sum(what);
        Stats {
            hits: sum(Count::Hits),
            catch_ups: shared.parts.sequencer.catch_ups(),
            domain_changes: shared.parts.sequencer.domain_changes(),
            leads: sum(Count::Leads),
            misses: sum(Count::Misses),
            stale: sum(Count::Stale),
            expired: sum(Count::Expired),
            born_stale: sum(Count::BornStale),
            computations: sum(Count::Computations),
            errors: sum(Count::Errors),
            waits: sum(Count::Waits),
            timeouts: sum(Count::Timeouts),
            stale_served: sum(Count::StaleServed),
            refreshes: sum(Count::Refreshes),
            shared_hits: sum(Count::SharedHits),
            storage_errors: sum(Count::StorageErrors),
            rejected: sum(Count::Rejected),
            invalidations: shared.invalidations.load(std::sync::atomic::Ordering::Relaxed),
            entries: storage.entries,
            bytes: storage.bytes,
            evicted: storage.evicted,
            tags: shared.parts.engine.stats().nodes as u64,
        }
    }

    /// Why the entry under `key` is what it is, in memory or where processes share it. Counts neither as a hit
    /// nor as a use.
    ///
    /// # Complexity
    /// O(dependencies x depth).
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Explanation {
        self.shared.keep_up();
        let key = key.as_ref();
        let near = self.shared.parts.storage.peek(key).map(|entry| self.explain_entry(&entry));
        let explained = match (near, &self.shared.parts.resting) {
            // What is not fresh here may be so there: another process has computed it anew.
            (near, Some(resting)) if near.as_ref().is_none_or(|near| near.state != EntryState::Fresh) => {
                self.explain_below(resting, key).or(near)
            }
            (near, _) => near,
        };
        explained.unwrap_or_else(Explanation::absent)
    }

    fn explain_entry(&self, entry: &Entry<V>) -> Explanation {
        let now_ms = self.shared.parts.clock.monotonic_ms();
        self.explain_stored(&Stored {
            sealed: entry.sealed(),
            age_ms: now_ms.saturating_sub(entry.created_ms()),
            expires_in_ms: entry.expires_ms().map(|at| at.saturating_sub(now_ms)),
            is_expired: entry.is_expired(now_ms),
        })
    }

    /// What made an entry stale, and who did that: this process, unless others could have; then the log says who, and
    /// what it was below a subtree, if it still knows.
    fn cause_of(&self, cause: &Cause) -> StaleCause {
        let shared = &self.shared;
        let mut found = StaleCause {
            tag: cause.tag.to_string(),
            at_us: cause.at.as_micros(),
            node: shared.parts.node.clone(),
        };
        if shared.follows_log {
            let wanted = Wanted { from: cause.at, to: cause.at, most: 1, newest_first: false };
            let told = shared.parts.sequencer.history(&wanted).unwrap_or_default().pop();
            let (tags, node) = told.map_or((Vec::new(), None), |told| (told.tags, told.node));
            found.node = node.unwrap_or_else(|| "a process that shares the cache".to_owned());
            if cause.tag.is_subtree()
                && let Some(tag) = tags.iter().find(|tag| is_at_or_above(&cause.tag, tag))
            {
                found.tag = tag.to_string();
            }
        }
        found
    }

    /// What is still known of past invalidations, where others are told of them; nothing in memory.
    ///
    /// # Errors
    /// When the log could not be read.
    pub fn history(&self, wanted: &Wanted) -> Result<Vec<Invalidated>, Error> {
        let _passed = gate::pass();
        self.shared.parts.sequencer.history(wanted)
    }

    /// The entry under `key` in this process's memory, fresh or not. Counts neither as a hit nor as a use.
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Option<Arc<Entry<V>>> {
        self.shared.parts.storage.peek(key.as_ref())
    }

    /// The bytes of the value under `key` outside of the process, fresh or not, as its codec wrote them; `None` if there
    /// is none that can be read. Counts neither as a hit nor as a use.
    ///
    /// # Errors
    /// When the storage could not be read.
    pub fn value_bytes(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let _passed = gate::pass();
        let Some(resting) = &self.shared.parts.resting else { return Ok(None) };
        Ok(resting.rows.get(key.as_ref())?.row().and_then(|row| value_of(&row).map(<[u8]>::to_vec)))
    }

    /// Sizes of the folder, where entries rest in one.
    ///
    /// # Errors
    /// When it could not be read.
    #[cfg(feature = "lmdb")]
    pub fn folder(&self) -> Result<Option<crate::FolderFacts>, Error> {
        self.shared.parts.resting.as_ref().map_or(Ok(None), |resting| resting.rows.folder())
    }

    pub(super) fn explain_stored(&self, stored: &Stored<'_>) -> Explanation {
        let parts = &self.shared.parts;
        let sealed = stored.sealed;
        let state = match parts.engine.judge(sealed) {
            Verdict::Fresh if stored.is_expired => EntryState::Expired,
            Verdict::Fresh => EntryState::Fresh,
            Verdict::Pending => EntryState::Changing,
            _ => EntryState::Stale,
        };
        let dependencies = sealed
            .dependencies()
            .map(|handle| {
                let tag = handle.tag();
                let latest = parts.engine.latest(&tag);
                DependencyState {
                    tag: tag.to_string(),
                    latest: latest.as_micros(),
                    stale: latest > sealed.as_of(),
                }
            })
            .collect();
        let cause = parts.engine.blame(sealed).map(|cause| self.cause_of(&cause));
        Explanation {
            state,
            age_ms: stored.age_ms,
            expires_in_ms: stored.expires_in_ms,
            as_of_us: sealed.as_of().as_micros(),
            dependencies,
            cause,
        }
    }

    /// Calls `visit` with the key of each stored entry and whether it is fresh, in no order.
    pub fn visit(&self, visit: &mut dyn FnMut(&[u8], bool)) {
        self.shared.keep_up();
        match &self.shared.parts.resting {
            None => self
                .shared
                .parts
                .storage
                .visit(&mut |key, entry| visit(key, self.status_untouched(entry) == Status::Fresh)),
            Some(resting) => self.visit_below(resting, &mut |key, _, is_fresh| visit(key, is_fresh)),
        }
    }

    pub(super) fn status_untouched(&self, entry: &Entry<V>) -> Status {
        let now_ms = self.shared.parts.clock.monotonic_ms();
        match self.shared.parts.engine.judge(entry.sealed()) {
            Verdict::Fresh if entry.is_expired(now_ms) => Status::Expired,
            Verdict::Fresh => Status::Fresh,
            _ => Status::Stale,
        }
    }
}
