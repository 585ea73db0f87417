//! What is stored under a key: a value, the proof of what it was computed from, and its lifetime.
//!
//! An entry is written once, by the fill that computed it. Access times and freshness proofs live in
//! atomics beside the value; nothing ever writes an entry back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zoocache_core::Sealed;

/// Expiry of an entry that never expires.
pub(crate) const NEVER: u64 = u64::MAX;

/// A stored value. Times are milliseconds of [`crate::WallClock::monotonic_ms`].
#[derive(Debug)]
pub struct Entry<V> {
    value: V,
    sealed: Sealed,
    expires_ms: AtomicU64,
    /// What no hit extends `expires_ms` beyond.
    bound_ms: u64,
    /// Time to idle, or 0: then `expires_ms` never moves.
    idle_ms: u64,
    created_ms: u64,
    weight: u32,
    /// Set when the entry leaves the storage, for those who remember it beside the storage.
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
}

/// What surrounds a value when it becomes an [`Entry`].
pub(crate) struct Placement {
    pub(crate) lifetime: Lifetime,
    /// Upper bound of the expiry, from the values this one was computed from.
    pub(crate) expires_bound_ms: u64,
    pub(crate) now_ms: u64,
    pub(crate) weight: u32,
}

impl<V> Entry<V> {
    pub(crate) fn new(value: V, sealed: Sealed, placement: &Placement) -> Self {
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
            weight: placement.weight,
            retired: AtomicBool::new(false),
        }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &V {
        &self.value
    }

    /// The proof of its dependencies.
    #[inline]
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }

    /// When the entry was stored.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// When the entry expires, if it does.
    pub fn expires_ms(&self) -> Option<u64> {
        Some(self.expires_ms.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }

    /// The expiry that no hit moves: what bounds a value computed from this one.
    pub(crate) fn hard_expiry_ms(&self) -> u64 {
        if self.idle_ms == 0 { self.expires_ms.load(Ordering::Relaxed) } else { self.bound_ms }
    }

    /// Can the entry expire at all? A reader that learns no needs no clock.
    #[inline]
    pub fn can_expire(&self) -> bool {
        self.expires_ms.load(Ordering::Relaxed) != NEVER
    }

    /// Notes that the entry has left its storage.
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
