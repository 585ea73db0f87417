//! Which computation is running here: the link between Python's context variables and the host's fills.
//!
//! The running fill is kept in a context variable, so that tasks and threads started by a computation take
//! part in it. Reading a context variable costs more than a hit; it is read only while any fill of the
//! process is running, which one relaxed load tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use zoocache::lock::Mutex;
use zoocache::{Fill, Leader};

use crate::imported::Imported;
use crate::state::Home;
use crate::value::Value;

/// Frames alive in this process, and what else a hit must look for in its context.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A running computation, as a Python object.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Frame {
    fill: Arc<Fill>,
}

impl Frame {
    pub(crate) fn new(fill: &Arc<Fill>) -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self { fill: Arc::clone(fill) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets hits look at their context, until [`unwatch`] as many times.
pub(crate) fn watch() {
    RUNNING.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn unwatch() {
    RUNNING.fetch_sub(1, Ordering::Relaxed);
}

fn variable(py: Python<'_>) -> PyResult<Borrowed<'static, '_, PyAny>> {
    static VARIABLE: Imported = Imported::new("zoocache._context", "CURRENT");
    VARIABLE.get(py)
}

/// Is any computation running in this process, or anything demanded of its hits (`demand.rs`)?
#[inline]
pub(crate) fn anybody_collects() -> bool {
    RUNNING.load(Ordering::Relaxed) != 0
}

/// The computation that this code is part of, if there is one.
///
/// # Errors
/// Only if the package is broken.
#[inline]
pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Arc<Fill>>> {
    if anybody_collects() { read(py) } else { Ok(None) }
}

fn read(py: Python<'_>) -> PyResult<Option<Arc<Fill>>> {
    let frame = variable(py)?.call_method0("get")?;
    // A task can outlive the computation that started it and still be part of one around that.
    Ok(frame.cast::<Frame>().ok().and_then(|frame| frame.get().fill.nearest_open()))
}

/// Runs `body` as part of the computation `fill`.
pub(crate) fn within<R>(py: Python<'_>, fill: &Arc<Fill>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let variable = variable(py)?;
    let token = variable.call_method1("set", (Frame::new(fill),))?;
    let result = body();
    variable.call_method1("reset", (token,))?;
    result
}

/// The tags that the computation running here has used so far; `None` outside of one.
#[pyfunction]
pub(crate) fn current_deps(py: Python<'_>) -> PyResult<Option<Vec<String>>> {
    Ok(current(py)?.map(|fill| texts(&fill)))
}

fn texts(fill: &Fill) -> Vec<String> {
    fill.tags().iter().map(ToString::to_string).collect()
}

/// Keeps the result of the computation that is running here, and of those around it, for its caller alone.
#[pyfunction]
pub(crate) fn keep_private(py: Python<'_>) -> PyResult<()> {
    if let Some(fill) = current(py)? {
        fill.keep_private();
    }
    Ok(())
}

/// A computation that stores nothing: it only notes what is used, for `zoocache.context.DepsTracker`.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Tracking {
    fill: Arc<Fill>,
    /// Keeps the fill a running one.
    leader: Mutex<Option<Leader<Value>>>,
}

#[pymethods]
impl Tracking {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // No function has an empty key, so nobody takes this for a computation of theirs.
        let (state, parent) = (Home::Default.owned(py)?, current(py)?);
        let leader = state.near(|| state.cache.lead_alone(b"", parent.as_ref(), false));
        Ok(Self { fill: Arc::clone(leader.fill()), leader: Mutex::new(Some(leader)) })
    }

    /// What calls inside find in the context variable.
    fn frame(&self) -> Frame {
        Frame::new(&self.fill)
    }

    /// The tags used so far, until the end.
    fn tags(&self) -> Vec<String> {
        texts(&self.fill)
    }

    /// Ends it: what was used concerns the computation around it, too.
    fn end(&self) {
        self.fill.pass_on();
        let leader = self.leader.lock().take();
        drop(leader);
    }
}
