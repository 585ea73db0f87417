//! Batches: invalidations that are collected, to be made as one.
//!
//! The batches that are open around some code are found through a context variable. It is read only while
//! any batch of the process is open, which one relaxed load tells.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use zoocache::Tag;
use zoocache::lock::Mutex;

use crate::cache::NativeCache;
use crate::imported::Imported;
use crate::state::Home;

/// Open batches of this process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// What an open batch has collected.
struct Collected(HashSet<Tag>);

impl Collected {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(HashSet::new())
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Collects the invalidations of one cache, inside of another batch or none.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Batch {
    home: Home,
    /// `None` when the batch has ended.
    collected: Mutex<Option<Collected>>,
    outer: Option<Py<Batch>>,
}

impl Batch {
    /// Takes the tags into the innermost batch of the cache that is open, this one or one around it.
    fn take_in(&self, home: &Home, tags: &mut dyn Iterator<Item = Tag>) -> bool {
        let mut batch = self;
        loop {
            if batch.home.is(home)
                && let Some(collected) = batch.collected.lock().as_mut()
            {
                collected.0.extend(tags);
                return true;
            }
            match &batch.outer {
                Some(outer) => batch = outer.get(),
                None => return false,
            }
        }
    }
}

#[pymethods]
impl Batch {
    /// A batch inside of `outer`.
    #[new]
    #[pyo3(signature = (cache, outer=None))]
    fn new(cache: &Bound<'_, NativeCache>, outer: Option<Py<Self>>) -> Self {
        let home = cache.get().home.clone();
        Self { home, collected: Mutex::new(Some(Collected::new())), outer }
    }

    /// Ends the batch: its tags are invalidated together, or go to the batch around it. Returns the
    /// position if anything was invalidated.
    fn send(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let Some(collected) = self.collected.lock().take() else { return Ok(None) };
        if collected.0.is_empty() {
            return Ok(None);
        }
        if let Some(outer) = &self.outer
            && outer.get().take_in(&self.home, &mut collected.0.iter().cloned())
        {
            return Ok(None);
        }
        let tags = topmost(collected.0.iter().cloned().collect());
        self.home.owned(py)?.invalidate(py, &tags).map(|at| Some(at.as_micros()))
    }

    /// Ends the batch and forgets what it collected.
    fn discard(&self) {
        let collected = self.collected.lock().take();
        drop(collected);
    }
}

/// Leaves out what lies below another of the tags.
fn topmost(mut tags: Vec<Tag>) -> Vec<Tag> {
    // So sorted, what lies below a tag follows it.
    tags.sort_by(|left, right| left.segments().cmp(right.segments()));
    tags.dedup_by(|lower, upper| {
        let mut path = lower.segments();
        upper.segments().all(|segment| path.next() == Some(segment))
    });
    tags
}

/// Leaves the tags to a batch that is open here, if there is one.
#[inline]
pub(crate) fn collect(py: Python<'_>, home: &Home, tags: &[Tag]) -> PyResult<bool> {
    if OPEN.load(Ordering::Relaxed) == 0 { Ok(false) } else { collect_here(py, home, tags) }
}

#[cold]
fn collect_here(py: Python<'_>, home: &Home, tags: &[Tag]) -> PyResult<bool> {
    static VARIABLE: Imported = Imported::new("zoocache._context", "BATCH");
    let batch = VARIABLE.get(py)?.call_method0("get")?;
    Ok(batch.cast::<Batch>().is_ok_and(|batch| batch.get().take_in(home, &mut tags.iter().cloned())))
}
