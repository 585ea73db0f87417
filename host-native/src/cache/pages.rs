//! Entries as they stand in a cache, page by page, for those who look at it.
//!
//! Nothing here is served, counted or noted as a use, and values are not read. A page looks at a bounded number of
//! entries and holds a bounded number, so neither this process nor others are kept waiting for the whole cache.

use std::collections::BTreeMap;

use zoocache_core::{Header, Tag, Verdict};

use super::affected::{reaches, reaches_row};
use super::{Cache, EntryState, Resting, Status};
use crate::entry::Entry;
use crate::error::Error;
use crate::gate;
use crate::storage::{Glimpse, Storage};

/// Entries outside of the process that one page looks at, at least.
const MOST_LOOKED_AT: usize = 20_000;
/// Entries of one page.
const MOST: usize = 10_000;

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What their keys begin with.
    pub key_prefix: Vec<u8>,
    /// What invalidates them.
    pub tag: Option<Tag>,
    /// What they are.
    pub state: Option<EntryState>,
}

/// An entry, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its key.
    pub key: Vec<u8>,
    /// What it is now.
    pub state: EntryState,
    /// Bytes that it takes, where they are counted.
    pub bytes: Option<u64>,
    /// When it was stored, Unix microseconds.
    pub created_us: u64,
    /// When it expires, Unix microseconds; 0 = never.
    pub expires_us: u64,
    /// What it depends on.
    pub dependencies: Vec<Tag>,
}

/// Some entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries. There may be more where there are none.
    pub entries: Vec<Listed>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<Vec<u8>>,
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Entries from a place on, `most` of them at most; `from` is empty, or the `next` of the page before. Entries that
    /// come or go meanwhile may be missing.
    ///
    /// # Errors
    /// When they could not be read.
    ///
    /// # Complexity
    /// In memory O(entries) for each page; else O(`most`), and more where few are wanted.
    pub fn page(&self, wanted: &Filter, from: &[u8], most: usize) -> Result<Page, Error> {
        let _passed = gate::pass();
        self.shared.keep_up();
        let most = most.clamp(1, MOST);
        match &self.shared.parts.resting {
            None => Ok(self.page_here(wanted, from, most)),
            Some(resting) => self.page_below(resting, wanted, from, most),
        }
    }

    /// In the order of keys: those after `from`.
    fn page_here(&self, wanted: &Filter, from: &[u8], most: usize) -> Page {
        let clock = &self.shared.parts.clock;
        let (wall_us, now_ms) = (clock.now_us(), clock.monotonic_ms());
        let mut found: BTreeMap<Vec<u8>, Listed> = BTreeMap::new();
        self.shared.parts.storage.visit(&mut |key, entry| {
            let is_after = from.is_empty() || key > from;
            let is_among_first =
                found.len() <= most || found.last_key_value().is_some_and(|(last, _)| key < &**last);
            if !is_after || !is_among_first || !key.starts_with(&wanted.key_prefix) {
                return;
            }
            if wanted.tag.as_ref().is_some_and(|tag| !reaches(tag, entry)) {
                return;
            }
            let state = self.state_of(entry);
            if wanted.state.is_some_and(|wanted| wanted != state) {
                return;
            }
            let ago_us = now_ms.saturating_sub(entry.created_ms()).saturating_mul(1_000);
            let expires_us = entry.expires_ms().map_or(0, |at_ms| {
                let left_us = at_ms.saturating_sub(now_ms).saturating_mul(1_000);
                let over_us = now_ms.saturating_sub(at_ms).saturating_mul(1_000);
                wall_us.saturating_add(left_us).saturating_sub(over_us).max(1)
            });
            let listed = Listed {
                key: key.to_vec(),
                state,
                bytes: None,
                created_us: wall_us.saturating_sub(ago_us),
                expires_us,
                dependencies: entry.sealed().dependencies().map(|handle| handle.tag()).collect(),
            };
            found.insert(key.to_vec(), listed);
            // One more than wanted: it says whether there are others.
            if found.len() > most + 1 {
                found.pop_last();
            }
        });
        let has_more = found.len() > most;
        if has_more {
            found.pop_last();
        }
        let next = found.last_key_value().filter(|_| has_more).map(|(key, _)| key.clone());
        Page { entries: found.into_values().collect(), next }
    }

    fn page_below(
        &self,
        resting: &Resting<V>,
        wanted: &Filter,
        from: &[u8],
        most: usize,
    ) -> Result<Page, Error> {
        let (mut page, mut from, mut looked_at) = (Page::default(), from.to_vec(), 0);
        loop {
            let (seen, end) = resting.rows.glance(&from)?;
            looked_at += seen.len().max(1);
            for glimpse in seen {
                let Glimpse { key, header, expires_us, bytes, place } = glimpse;
                let is_wanted = key.starts_with(&wanted.key_prefix)
                    && wanted.tag.as_ref().is_none_or(|tag| reaches_row(tag, &header));
                if !is_wanted {
                    continue;
                }
                let state = self.state_below(&header, expires_us);
                if wanted.state.is_some_and(|wanted| wanted != state) {
                    continue;
                }
                page.entries.push(Listed {
                    key,
                    state,
                    bytes: Some(bytes),
                    created_us: header.created_us,
                    expires_us,
                    dependencies: header.dependencies.into_iter().map(|dependency| dependency.tag).collect(),
                });
                if page.entries.len() == most {
                    page.next = Some(place);
                    return Ok(page);
                }
            }
            if end.is_empty() {
                return Ok(page);
            }
            if looked_at >= MOST_LOOKED_AT {
                page.next = Some(end);
                return Ok(page);
            }
            from = end;
        }
    }

    fn state_of(&self, entry: &Entry<V>) -> EntryState {
        match (self.shared.parts.engine.judge(entry.sealed()), self.status_untouched(entry)) {
            (Verdict::Pending, _) => EntryState::Changing,
            (_, Status::Expired) => EntryState::Expired,
            (_, Status::Fresh) => EntryState::Fresh,
            _ => EntryState::Stale,
        }
    }

    pub(super) fn state_below(&self, header: &Header, expires_us: u64) -> EntryState {
        let parts = &self.shared.parts;
        let now_us = parts.clock.now_us();
        // Its own expiry may have been extended since.
        let header = Header { expires_us: 0, ..header.clone() };
        let mut verdict = parts.engine.judge_header(&header, now_us);
        if verdict == Verdict::Unknown {
            // Stored after the log was read.
            self.shared.keep_up();
            verdict = parts.engine.judge_header(&header, now_us);
        }
        match verdict {
            Verdict::Fresh if expires_us != 0 && expires_us <= now_us => EntryState::Expired,
            Verdict::Fresh => EntryState::Fresh,
            Verdict::Pending => EntryState::Changing,
            _ => EntryState::Stale,
        }
    }
}
