//! Everything that is counted and measured of one cache, for `zoocache.telemetry`.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use zoocache::Histogram;

use crate::cache::NativeCache;
use crate::counters::Counted;
use crate::explain;
use crate::state::{Home, State};

/// Reads what is counted of a cache, as it is configured now; nothing any more when it is configured anew.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Metrics {
    home: Home,
    state: Weak<State>,
    /// Functions outlive the cache that they use, and their counters go on.
    before: Vec<(Arc<str>, Counted)>,
}

impl Metrics {
    fn functions(&self) -> impl Iterator<Item = (Arc<str>, Counted)> {
        self.home.site().functions().read().into_iter().map(|(name, counted)| {
            // Not by its text: a name that was given up and taken anew begins anew.
            let before = self.before.iter().find(|(known, _)| Arc::ptr_eq(known, &name));
            let counted = before.map_or(counted, |(_, before)| counted.since(*before));
            (name, counted)
        })
    }
}

#[pymethods]
impl Metrics {
    #[new]
    fn new(py: Python<'_>, cache: &NativeCache) -> PyResult<Self> {
        let home = cache.home.clone();
        let state = Arc::downgrade(&home.owned(py)?);
        let before = home.site().functions().read();
        Ok(Self { home, state, before })
    }

    /// The counters and sizes; a tuple of each function's; and how long things took: bounds in seconds, then by
    /// name the counts between them and the sum in seconds. `None` if the cache is gone.
    #[expect(clippy::cast_precision_loss, reason = "durations need not be exact to the nanosecond")]
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(state) = self.state.upgrade() else { return Ok(None) };
        let counted = state.cache.stats();
        state.troubles().log(py);
        let functions = PyList::empty(py);
        for (name, Counted { hits, misses, stale, expired, errors, .. }) in self.functions() {
            functions.append((&*name, hits, misses, stale, expired, errors))?;
        }
        let timings = PyDict::new(py);
        if let Some(kept) = state.cache.timings() {
            for (name, histogram) in
                [("fill", &kept.fills), ("read", &kept.reads), ("write", &kept.writes), ("lag", &kept.lag)]
            {
                let read = histogram.read();
                timings.set_item(name, (read.counts, read.sum_ns as f64 / 1e9))?;
            }
        }
        let record = PyDict::new(py);
        record.set_item("stats", explain::record(py, &counted, state.hits())?)?;
        record.set_item("bytes", counted.bytes)?;
        record.set_item("functions", functions)?;
        record.set_item("bounds", Histogram::bounds_us().map(|us| us as f64 / 1e6).collect::<Vec<_>>())?;
        record.set_item("timings", timings)?;
        Ok(Some(record))
    }
}
