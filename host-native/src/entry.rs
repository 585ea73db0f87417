//! What is stored under a key: a value, the proof of what it was computed from, and its lifetime.
//!
//! An entry is written once, by the fill that computed it. Access times and freshness proofs live in
//! atomics beside the value; nothing ever writes an entry back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cache::Tolerance;
use crate::engine::Proof;

/// Expiry of an entry that never expires.
pub(crate) const NEVER: u64 = u64::MAX;
/// Expiry of an entry that was expired before it was made, by nobody knows how long.
pub(crate) const LONG_AGO: u64 = 0;

/// A stored value. Times are milliseconds of [`crate::WallClock::monotonic_ms`].
#[derive(Debug)]
pub struct Entry<V> {
    value: V,
    sealed: Proof,
    expires_ms: AtomicU64,
    /// What no hit extends `expires_ms` beyond.
    bound_ms: u64,
    /// Time to idle, or 0: then `expires_ms` never moves.
    idle_ms: u64,
    created_ms: u64,
    /// The number of the row that it was read from; 0 for one that was computed here.
    number: u64,
    /// Since when the entry is known to be invalidated; [`NEVER`] until somebody has noticed.
    invalidated_ms: AtomicU64,
    weight: u32,
    /// How long the computation took.
    computed_ms: u32,
    /// The retention, field by field: as one it would be padded.
    grace_ms: u32,
    keep_invalidated: bool,
    /// Set by a hit, until it is told where the entry rests.
    used: AtomicBool,
    /// Set when the entry is not in the storage, for those who remember it beside the storage.
    retired: AtomicBool,
}

/// How long an entry lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Milliseconds until the entry expires; `None` for never.
    pub ttl_ms: Option<u64>,
    /// Whether each hit starts `ttl_ms` anew (time to idle).
    pub extend_on_hit: bool,
}

impl Lifetime {
    /// An entry that never expires.
    pub const FOREVER: Self = Self { ttl_ms: None, extend_on_hit: false };

    /// Shortened by up to `fraction` of itself, by chance: entries that were stored together then do not
    /// expire together. `random_unit` is drawn evenly from 0 to 1. Never longer, and never below 1 ms.
    ///
    /// ```
    /// use zoocache::Lifetime;
    /// let minute = Lifetime { ttl_ms: Some(60_000), extend_on_hit: false };
    /// assert_eq!(minute.jittered(0.1, 0.5).ttl_ms, Some(57_000));
    /// assert_eq!(Lifetime::FOREVER.jittered(0.1, 0.5), Lifetime::FOREVER);
    /// ```
    #[must_use]
    pub fn jittered(self, fraction: f64, random_unit: f64) -> Self {
        let share = unit(fraction) * unit(random_unit);
        let shorten = |ttl: u64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share between 0 and 1 of the time; it is random anyway"
            )]
            let less = (ttl as f64 * share) as u64;
            ttl.saturating_sub(less).max(ttl.min(1))
        };
        Self { ttl_ms: self.ttl_ms.map(shorten), ..self }
    }
}

/// `number` as a share between 0 and 1; what is no number is 0.
fn unit(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// How long an entry is kept although it is not fresh any more, to stand in for the fresh value
/// ([`Cache::stand_in`](crate::Cache::stand_in)). By default not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Milliseconds after its expiry, or after its invalidation if `keep_invalidated`, in which it may
    /// stand in; `u32::MAX` for as long as there is room for it.
    pub grace_ms: u32,
    /// Whether it may stand in after an invalidation too, and not only after its time ran out.
    pub keep_invalidated: bool,
}

impl Retention {
    /// What the retention admits at most, whatever a caller would put up with.
    pub(crate) fn tolerance(self) -> Tolerance {
        let grace = if self.grace_ms == u32::MAX { u64::MAX } else { u64::from(self.grace_ms) };
        Tolerance { expired_ms: grace, invalidated_ms: if self.keep_invalidated { grace } else { 0 } }
    }
}

/// What surrounds a value when it becomes an [`Entry`].
pub(crate) struct Placement {
    pub(crate) lifetime: Lifetime,
    /// Upper bound of the expiry, from the values this one was computed from.
    pub(crate) expires_bound_ms: u64,
    /// When the computation began.
    pub(crate) started_ms: u64,
    pub(crate) now_ms: u64,
    pub(crate) weight: u32,
    pub(crate) retention: Retention,
}

impl<V> Entry<V> {
    pub(crate) fn new(value: V, sealed: Proof, placement: &Placement) -> Self {
        let own = placement.lifetime.ttl_ms.map_or(NEVER, |ttl| placement.now_ms.saturating_add(ttl));
        Self {
            value,
            sealed,
            expires_ms: AtomicU64::new(own.min(placement.expires_bound_ms)),
            bound_ms: placement.expires_bound_ms,
            idle_ms: if placement.lifetime.extend_on_hit {
                placement.lifetime.ttl_ms.unwrap_or(0)
            } else {
                0
            },
            created_ms: placement.now_ms,
            number: 0,
            invalidated_ms: AtomicU64::new(NEVER),
            weight: placement.weight,
            computed_ms: u32::try_from(placement.now_ms.saturating_sub(placement.started_ms))
                .unwrap_or(u32::MAX),
            grace_ms: placement.retention.grace_ms,
            keep_invalidated: placement.retention.keep_invalidated,
            used: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// Of the row with this number.
    pub(crate) fn of_row(self, number: u64) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &V {
        &self.value
    }

    /// The proof of its dependencies.
    #[inline]
    pub fn sealed(&self) -> &Proof {
        &self.sealed
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }

    /// When the entry was stored.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// How long its computation took, in milliseconds of the coarse clock.
    pub fn computed_ms(&self) -> u32 {
        self.computed_ms
    }

    /// How long it is kept when it is not fresh any more.
    pub fn retention(&self) -> Retention {
        Retention { grace_ms: self.grace_ms, keep_invalidated: self.keep_invalidated }
    }

    /// When the entry expires, if it does.
    pub fn expires_ms(&self) -> Option<u64> {
        Some(self.expires_ms.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }

    /// The expiry that no hit moves: what bounds a value computed from this one.
    pub(crate) fn hard_expiry_ms(&self) -> u64 {
        if self.idle_ms == 0 { self.expires_ms.load(Ordering::Relaxed) } else { self.bound_ms }
    }

    /// The time to idle, or 0.
    pub(crate) fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    /// Can the entry expire at all? A reader that learns no needs no clock.
    #[inline]
    pub fn can_expire(&self) -> bool {
        self.expires_ms.load(Ordering::Relaxed) != NEVER
    }

    /// The expiry that counts for a value computed from this one after it was over.
    pub(crate) fn lapsed_expiry_ms(&self) -> u64 {
        self.expires_ms.load(Ordering::Relaxed)
    }

    /// For how long it has been expired, if it is.
    pub(crate) fn overdue_ms(&self, now_ms: u64) -> Option<u64> {
        match self.expires_ms.load(Ordering::Relaxed) {
            LONG_AGO => Some(u64::MAX),
            at => now_ms.checked_sub(at),
        }
    }

    /// Since when it is known to be invalidated: what was noticed first counts, and `noticed` is asked
    /// only once. (A tag remembers its latest invalidation only; without this an entry whose tag is
    /// invalidated again and again would seem just invalidated for ever.)
    pub(crate) fn invalidated_since_ms(&self, noticed: impl FnOnce() -> u64) -> u64 {
        match self.invalidated_ms.load(Ordering::Relaxed) {
            NEVER => {
                let noticed = noticed();
                self.invalidated_ms.fetch_min(noticed, Ordering::Relaxed).min(noticed)
            }
            since => since,
        }
    }

    /// Should the value be computed anew before it expires? Says so by chance, the likelier the nearer
    /// the expiry is and the longer the computation takes, so that of many readers about one begins early
    /// and none finds the entry expired: `now - delta * beta * ln(random) >= expiry` (Vattani, Chierichetti,
    /// Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).
    ///
    /// `beta` is 1 as a rule; more means earlier. `random_unit` is drawn evenly from 0 to 1. What cannot
    /// expire needs no refresh.
    pub fn wants_refresh(&self, now_ms: u64, beta: f64, random_unit: f64) -> bool {
        let Some(expires_ms) = self.expires_ms() else { return false };
        let remaining = expires_ms.saturating_sub(now_ms);
        if remaining == 0 {
            return true;
        }
        let surprise = -unit(random_unit).max(f64::MIN_POSITIVE).ln();
        let early = f64::from(self.computed_ms) * beta.max(0.0) * surprise;
        u32::try_from(remaining).is_ok_and(|remaining| early >= f64::from(remaining))
    }

    /// Notes that the entry is not in its storage, or not any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Has the entry left its storage?
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Has its time run out?
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms.load(Ordering::Relaxed)
    }

    /// Notes a hit, for those who ask later.
    #[inline]
    pub(crate) fn mark_used(&self) {
        // Written once, so that hot entries stay in shared cache lines.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// When it was used last, if it was since this was asked before; about now, unless it has a time to idle.
    pub(crate) fn take_use(&self, now_ms: u64) -> Option<u64> {
        if !self.used.load(Ordering::Relaxed) || !self.used.swap(false, Ordering::Relaxed) {
            return None;
        }
        let used_ms = match self.idle_ms {
            0 => now_ms,
            idle_ms => self.expires_ms.load(Ordering::Relaxed).saturating_sub(idle_ms),
        };
        Some(used_ms.min(now_ms))
    }

    /// Notes a hit: starts the time to idle anew.
    #[inline]
    pub fn touch(&self, now_ms: u64) {
        if self.idle_ms != 0 {
            let extended = now_ms.saturating_add(self.idle_ms).min(self.bound_ms);
            // Written only when the coarse clock has moved, so that hot entries stay in shared cache lines.
            if self.expires_ms.load(Ordering::Relaxed) < extended {
                self.expires_ms.store(extended, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_value_stays_small() {
        // Every stored value pays for this; `BOOKKEEPING_BYTES` of the memory storage counts it.
        assert!(size_of::<Entry<()>>() <= 112, "{}", size_of::<Entry<()>>());
    }
}
