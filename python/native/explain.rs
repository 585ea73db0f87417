//! `explain` and `stats`, as dictionaries that `zoocache._explain` turns into records.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use zoocache::Stats;

use crate::cache::{NativeCache, key_text};

/// Why the entry under `key` is what it is.
#[pyfunction]
pub(crate) fn explain<'py>(
    py: Python<'py>,
    cache: &NativeCache,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let key = key_text(key)?;
    let state = cache.home.owned(py)?;
    let explanation = state.unlocked(py, || state.cache.explain(key));
    let record = PyDict::new(py);
    record.set_item("key", key)?;
    record.set_item("state", explanation.state.name())?;
    record.set_item("age_ms", explanation.age_ms)?;
    record.set_item("expires_in_ms", explanation.expires_in_ms)?;
    record.set_item("as_of_us", explanation.as_of_us)?;
    let dependencies = PyList::empty(py);
    for dependency in explanation.dependencies {
        dependencies.append((dependency.tag, dependency.latest, dependency.stale))?;
    }
    record.set_item("dependencies", dependencies)?;
    let cause = explanation.cause.map(|cause| (cause.tag, cause.at_us, cause.node));
    record.set_item("cause", cause)?;
    Ok(record)
}

/// Counters and sizes of a cache.
#[pyfunction]
pub(crate) fn stats<'py>(py: Python<'py>, cache: &NativeCache) -> PyResult<Bound<'py, PyDict>> {
    let home = cache.home.owned(py)?;
    let counted = home.cache.stats();
    home.troubles().log(py);
    record(py, &counted, home.hits())
}

/// What was counted, with the hits that went past the host's own counters.
pub(crate) fn record<'py>(py: Python<'py>, stats: &Stats, more_hits: u64) -> PyResult<Bound<'py, PyDict>> {
    let record = PyDict::new(py);
    for (name, value) in [
        ("hits", stats.hits + more_hits),
        ("misses", stats.misses),
        ("stale", stats.stale),
        ("expired", stats.expired),
        ("born_stale", stats.born_stale),
        ("computations", stats.computations),
        ("errors", stats.errors),
        ("waits", stats.waits),
        ("timeouts", stats.timeouts),
        ("stale_served", stats.stale_served),
        ("refreshes", stats.refreshes),
        ("shared_hits", stats.shared_hits),
        ("rejected", stats.rejected),
        ("catch_ups", stats.catch_ups),
        ("domain_changes", stats.domain_changes),
        ("leads", stats.leads),
        ("storage_errors", stats.storage_errors),
        ("invalidations", stats.invalidations),
        ("entries", stats.entries),
        ("evicted", stats.evicted),
        ("tags", stats.tags),
    ] {
        record.set_item(name, value)?;
    }
    Ok(record)
}
