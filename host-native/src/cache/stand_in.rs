//! Stale on purpose: entries that are not fresh any more and may stand in for the fresh value.
//!
//! A stale entry is never a hit. Who would rather serve it than wait, or fail, asks for it by
//! [`Cache::stand_in`] and says how much it puts up with; the entry's [`Retention`] says for how long it
//! was meant to be kept. A value computed from a stand-in is not fresh either
//! ([`Cache::absorb_stand_in`]).
//!
//! [`Retention`]: crate::Retention

use std::sync::Arc;

use zoocache_core::Verdict;

use super::{Cache, EntryState, Status};
use crate::entry::Entry;
use crate::fill::Fill;
use crate::storage::Storage;

/// How much a caller puts up with. By default nothing.
///
/// Both are ages in milliseconds; 0 is not at all, `u64::MAX` any age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerance {
    /// The entry expired less than this long ago.
    pub expired_ms: u64,
    /// The entry was invalidated, or began to be changed, less than this long ago.
    pub invalidated_ms: u64,
}

/// An entry that may stand in for the fresh value.
#[derive(Debug)]
pub struct StandIn<V> {
    /// The entry.
    pub entry: Arc<Entry<V>>,
    /// What it is now: fresh after all, stale, changing or expired.
    pub state: EntryState,
    /// For how many milliseconds it has not been fresh.
    pub overdue_ms: u64,
}

/// The time by both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) wall_us: u64,
    pub(super) monotonic_ms: u64,
}

/// Why an entry is not fresh, and for how long it has not been, in milliseconds.
struct Lapse {
    state: EntryState,
    expired_ms: Option<u64>,
    invalidated_ms: Option<u64>,
}

impl Lapse {
    fn is_within(&self, tolerance: Tolerance) -> bool {
        self.expired_ms.is_none_or(|age| age < tolerance.expired_ms)
            && self.invalidated_ms.is_none_or(|age| age < tolerance.invalidated_ms)
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// What is stored under `key`, if the caller puts up with it and its retention is not over. It may be
    /// fresh by now. Counts nothing, not even as a use: see [`Count::StaleServed`](crate::Count).
    ///
    /// ```
    /// use zoocache::{Cache, EntryState, Policy, Retention, Tolerance};
    /// let cache = Cache::<u64>::builder().build()?;
    /// let kept = Retention { grace_ms: 60_000, keep_invalidated: true };
    /// cache.put("price", 7, &Policy::default().tag("product:42")?.retention(kept));
    /// cache.invalidate(&["product:42"])?;
    /// assert_eq!(cache.get("price"), None);
    /// let tolerance = Tolerance { invalidated_ms: 30_000, ..Tolerance::default() };
    /// let stand_in = cache.stand_in(b"price", &tolerance).ok_or("nothing that may stand in")?;
    /// assert_eq!((*stand_in.entry.value(), stand_in.state), (7, EntryState::Stale));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Complexity
    /// O(dependencies x depth) when a stale entry is looked at for the first time, else as a lookup.
    pub fn stand_in(&self, key: &[u8], tolerance: &Tolerance) -> Option<StandIn<V>> {
        let entry = self.shared.parts.storage.peek(key)?;
        let (state, overdue_ms) = self.may_stand_in(&entry, tolerance)?;
        Some(StandIn { entry, state, overdue_ms })
    }

    /// May an entry that was found earlier stand in now? Its state, and for how many milliseconds it has
    /// not been fresh. To be asked just before it is served: what was deleted or replaced may not.
    pub fn may_stand_in(&self, entry: &Entry<V>, tolerance: &Tolerance) -> Option<(EntryState, u64)> {
        if entry.is_retired() || !self.shared.keep_up() {
            return None;
        }
        let lapse = self.lapse(entry, self.now())?;
        let admitted = lapse.is_within(*tolerance) && lapse.is_within(entry.retention().tolerance());
        admitted.then(|| (lapse.state, lapse.expired_ms.max(lapse.invalidated_ms).unwrap_or(0)))
    }

    /// Adds what a stand-in depends on to the computation that uses it, so that the result is as stale as
    /// the stand-in is: it is born stale, or expired at once. What is fresh is absorbed like any hit.
    pub fn absorb_stand_in(&self, parent: Option<&Arc<Fill>>, entry: &Entry<V>) {
        match parent {
            Some(parent) if self.status(entry) == Status::Fresh => parent.absorb_entry(self.shared.id, entry),
            Some(parent) => parent.absorb_stale(self.shared.id, entry),
            None => {}
        }
    }

    /// Is the entry's retention what keeps it from being freed?
    pub(super) fn is_kept(&self, entry: &Entry<V>, now: Now) -> bool {
        self.lapse(entry, now).is_some_and(|lapse| lapse.is_within(entry.retention().tolerance()))
    }

    pub(super) fn now(&self) -> Now {
        let clock = &self.shared.parts.clock;
        Now { wall_us: clock.now_us(), monotonic_ms: clock.monotonic_ms() }
    }

    /// `None` for an entry of which nothing can be said.
    fn lapse(&self, entry: &Entry<V>, now: Now) -> Option<Lapse> {
        let (state, invalidated_ms) = match self.shared.parts.engine.judge(entry.sealed()) {
            Verdict::Fresh => (EntryState::Fresh, None),
            Verdict::Stale => (EntryState::Stale, Some(self.invalidated_for_ms(entry, now))),
            // An announced change ends as an invalidation, whatever becomes of it.
            Verdict::Pending => (EntryState::Changing, Some(self.invalidated_for_ms(entry, now))),
            _ => return None,
        };
        let expired_ms = entry.overdue_ms(now.monotonic_ms);
        let state =
            if state == EntryState::Fresh && expired_ms.is_some() { EntryState::Expired } else { state };
        Some(Lapse { state, expired_ms, invalidated_ms })
    }

    /// The wall clock is asked only when this is noticed; from then on the one that never jumps counts.
    fn invalidated_for_ms(&self, entry: &Entry<V>, now: Now) -> u64 {
        let noticed = || {
            let at_us = self.shared.parts.engine.blame(entry.sealed()).map(|cause| cause.at.as_micros());
            let age_us = at_us.map_or(0, |at_us| now.wall_us.saturating_sub(at_us));
            now.monotonic_ms.saturating_sub(age_us / 1_000)
        };
        now.monotonic_ms.saturating_sub(entry.invalidated_since_ms(noticed))
    }
}
