//! What happened to the calls of one function.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use zoocache::Count;

/// Counters of one function. Adds are loads and stores: the interpreter lock orders them, and a count
/// lost without it would be no harm.
#[derive(Debug, Default)]
pub(crate) struct FunctionCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    errors: AtomicU64,
}

impl FunctionCounters {
    #[inline]
    fn bump(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn hit(&self) {
        Self::bump(&self.hits);
    }

    pub(crate) fn miss(&self, why: Count) {
        Self::bump(if matches!(why, Count::Stale) { &self.stale } else { &self.misses });
    }

    pub(crate) fn error(&self) {
        Self::bump(&self.errors);
    }

    /// Writes the counters into `stats`.
    pub(crate) fn write_to(&self, stats: &Bound<'_, PyDict>) -> PyResult<()> {
        stats.set_item("hits", self.hits.load(Ordering::Relaxed))?;
        stats.set_item("misses", self.misses.load(Ordering::Relaxed))?;
        stats.set_item("stale", self.stale.load(Ordering::Relaxed))?;
        stats.set_item("errors", self.errors.load(Ordering::Relaxed))
    }
}
