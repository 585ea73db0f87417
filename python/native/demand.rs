//! Demands: reads that must know of an invalidation, however it came about.
//!
//! The demands around some code are found through a context variable. It is read only while any demand of
//! the process exists, which is part of what [`context::anybody_collects`] tells: a hit elsewhere pays
//! nothing for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use zoocache::Timestamp;

use crate::cache::NativeCache;
use crate::context;
use crate::imported::Imported;
use crate::state::{Home, State};

/// Demands alive in this process.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// What reads of one cache must know of, inside of other demands or none.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Demand {
    home: Home,
    position: Timestamp,
    outer: Option<Py<Demand>>,
}

#[pymethods]
impl Demand {
    #[new]
    #[pyo3(signature = (cache, position, outer=None))]
    fn new(cache: &Bound<'_, NativeCache>, position: u64, outer: Option<Py<Self>>) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        context::watch();
        Self { home: cache.get().home.clone(), position: Timestamp::from_micros(position), outer }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        context::unwatch();
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Could any code demand something?
#[inline]
pub(crate) fn is_there_any() -> bool {
    ALIVE.load(Ordering::Relaxed) != 0
}

/// Does code that runs here demand more than the cache knows? Then it is not served.
#[inline]
pub(crate) fn is_unmet(py: Python<'_>, home: &Home, state: &State) -> PyResult<bool> {
    if is_there_any() { is_unmet_here(py, home, state) } else { Ok(false) }
}

#[cold]
fn is_unmet_here(py: Python<'_>, home: &Home, state: &State) -> PyResult<bool> {
    static VARIABLE: Imported = Imported::new("zoocache._context", "DEMAND");
    let innermost = VARIABLE.get(py)?.call_method0("get")?;
    let Ok(innermost) = innermost.cast::<Demand>() else { return Ok(false) };
    let mut demand = innermost.get();
    loop {
        if demand.home.is(home) && !state.cache.has_reached(demand.position) {
            return Ok(true);
        }
        match &demand.outer {
            Some(outer) => demand = outer.get(),
            None => return Ok(false),
        }
    }
}
