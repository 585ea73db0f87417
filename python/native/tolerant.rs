//! Functions whose callers would rather have a stale value than wait, or than an error.
//!
//! * `stale_while_revalidate`: an expired value is served, and computed anew in the background;
//! * `timeout`: the computation goes on in the background, and after that time an expired value is served;
//! * `stale_if_error`: an expired value, or with `"any"` an invalidated one, is served instead of an error.
//!
//! What may stand in is decided by the host (`Cache::stand_in`), and asked again just before it is served.
//! Async functions take the same steps in `zoocache._async`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyException, PyRecursionError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use zoocache::{Count, EntryState, Fill, Join, Leader, StandIn, Tolerance, Waited};

use crate::arguments::Call;
use crate::errors::from_host;
use crate::far::Fetch;
use crate::function::FunctionBase;
use crate::imported::Imported;
use crate::miss::{self, Lead};
use crate::state::State;
use crate::telling::Told;
use crate::value::Value;
use crate::{context, demand};

/// The options of a cached function that let stale values stand in; see `zoocache._options`.
#[derive(FromPyObject, Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "all of them are durations, and named as in Python")]
pub(crate) struct Tolerant {
    #[pyo3(attribute)]
    revalidate_ms: u64,
    #[pyo3(attribute)]
    error_expired_ms: u64,
    #[pyo3(attribute)]
    error_invalidated_ms: u64,
    #[pyo3(attribute)]
    late_ms: u64,
    #[pyo3(attribute)]
    timeout_ms: Option<u64>,
}

/// Why a stale value would be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// While it is computed anew.
    Revalidating,
    /// Because that takes too long.
    Late,
    /// Because that failed.
    Failed,
}

impl Occasion {
    /// As `zoocache._async` numbers them.
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Revalidating,
            1 => Self::Late,
            _ => Self::Failed,
        }
    }
}

impl Tolerant {
    fn tolerance(&self, occasion: Occasion) -> Tolerance {
        let (expired_ms, invalidated_ms) = match occasion {
            Occasion::Revalidating => (self.revalidate_ms, 0),
            Occasion::Late => (self.late_ms, 0),
            Occasion::Failed => (self.error_expired_ms, self.error_invalidated_ms),
        };
        Tolerance { expired_ms, invalidated_ms }
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// A value that may stand in.
    fn stand_in(
        &self,
        py: Python<'_>,
        (function, state): (&FunctionBase, &State),
        key: &[u8],
        (occasion, fetch): (Occasion, Option<&Fetch>),
    ) -> PyResult<Option<StandIn<Value>>> {
        let tolerance = self.tolerance(occasion);
        if tolerance == Tolerance::default() {
            return Ok(None);
        }
        state.reading(py, fetch, || {
            let is_unmet = demand::is_unmet(py, &function.home, state)?;
            Ok(if is_unmet { None } else { state.cache.stand_in(key, &tolerance) })
        })
    }

    /// Is there a value that may stand in?
    pub(crate) fn has_stand_in(
        &self,
        py: Python<'_>,
        (function, state): (&FunctionBase, &State),
        key: &[u8],
        occasion: (Occasion, Option<&Fetch>),
    ) -> PyResult<bool> {
        Ok(self.stand_in(py, (function, state), key, occasion)?.is_some())
    }

    /// Serves a value that may stand in, if there is one.
    pub(crate) fn serve(
        &self,
        py: Python<'_>,
        (function, state): (&FunctionBase, &State),
        key: &[u8],
        occasion: (Occasion, Option<&Fetch>),
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some(stand_in) = self.stand_in(py, (function, state), key, occasion)? else { return Ok(None) };
        if stand_in.state == EntryState::Fresh {
            // It was computed anew in this moment.
            state.cache.count(Count::Hits);
            function.counters.hit();
            state.tell(py, Some(&function.counters), Told::Hit)?;
        } else {
            state.cache.count(Count::StaleServed);
            function.counters.miss(Count::Stale);
            state.tell(py, Some(&function.counters), Told::Miss(Count::Stale))?;
        }
        let parent = context::current(py)?;
        state.reading(py, occasion.1, || state.cache.absorb_stand_in(parent.as_ref(), &stand_in.entry));
        stand_in.entry.value().hand_out(py).map(Bound::unbind).map(Some)
    }
}

/// Could a stale value be served instead of this error? A key that is asked for within its own computation
/// is a mistake in the program, which a stale value would only hide.
fn may_excuse(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyRecursionError>(py)
}

/// Computes the value of a call that missed, unless a stale one stands in.
#[cold]
pub(crate) fn compute(
    function: Borrowed<'_, '_, FunctionBase>,
    tolerant: &Tolerant,
    state: &Arc<State>,
    (key, call): (&[u8], Call<'_, '_>),
) -> PyResult<Py<PyAny>> {
    let py = function.py();
    let this = function.get();
    let computed = attempt(function, tolerant, state, (key, call));
    match computed {
        Err(error) if may_excuse(py, &error) => {
            match tolerant.serve(py, (this, state), key, (Occasion::Failed, None))? {
                Some(object) => Ok(object),
                None => Err(error),
            }
        }
        computed => computed,
    }
}

fn attempt(
    function: Borrowed<'_, '_, FunctionBase>,
    tolerant: &Tolerant,
    state: &Arc<State>,
    (key, call): (&[u8], Call<'_, '_>),
) -> PyResult<Py<PyAny>> {
    let py = function.py();
    let this = function.get();
    let parent = context::current(py)?;
    if !state.cache.is_computing(key, parent.as_ref()) {
        if tolerant.has_stand_in(py, (this, state), key, (Occasion::Revalidating, None))? {
            begin_refresh(function, state, (key, call), None)?;
            if let Some(object) = tolerant.serve(py, (this, state), key, (Occasion::Revalidating, None))? {
                return Ok(object);
            }
        }
        if let Some(timeout) = tolerant.timeout()
            && tolerant.has_stand_in(py, (this, state), key, (Occasion::Late, None))?
        {
            let in_time = compute_within(function, state, (key, call), (parent.as_ref(), timeout))?;
            let served = match in_time {
                None => tolerant.serve(py, (this, state), key, (Occasion::Late, None))?,
                in_time => in_time,
            };
            if let Some(object) = served {
                return Ok(object);
            }
        }
    }
    miss::compute(function, state, key, call)
}

/// Computes in the background and waits for it no longer than `timeout`.
fn compute_within(
    function: Borrowed<'_, '_, FunctionBase>,
    state: &Arc<State>,
    (key, call): (&[u8], Call<'_, '_>),
    (parent, timeout): (Option<&Arc<Fill>>, Duration),
) -> PyResult<Option<Py<PyAny>>> {
    let py = function.py();
    let this = function.get();
    let mut is_own = false;
    let waiter = match state.reading(py, None, || state.cache.lead_refresh(key)) {
        Some(leader) => {
            let waiter = leader.waiter(parent);
            run_in_background(function, state, leader, call)?;
            is_own = true;
            waiter
        }
        None => match state
            .reading(py, None, || state.cache.join(key, parent, false))
            .map_err(|error| from_host(py, &error))?
        {
            Join::Hit(entry) => return this.take(py, state, &entry).map(Some),
            // The other computation has just ended, without a value.
            Join::Lead(leader) => return miss::lead_for_miss(this, state, leader, call).map(Some),
            Join::Wait(waiter) => Some(waiter),
        },
    };
    let Some(waiter) = waiter else { return Ok(None) };
    match miss::wait(py, state, &waiter, timeout)? {
        None | Some(Waited::Again) => Ok(None),
        Some(Waited::Entry(entry)) if is_own => {
            this.counters.miss(Count::Misses);
            state.tell(py, Some(&this.counters), Told::Miss(Count::Misses))?;
            entry.value().hand_out(py).map(Bound::unbind).map(Some)
        }
        Some(landed) => miss::taken(py, this, state, &landed).map(Some),
    }
}

/// Begins to compute the value of a call in the background, unless somebody does already.
pub(crate) fn begin_refresh(
    function: Borrowed<'_, '_, FunctionBase>,
    state: &Arc<State>,
    (key, call): (&[u8], Call<'_, '_>),
    fetch: Option<&Fetch>,
) -> PyResult<()> {
    let refresh = || state.cache.lead_refresh(key);
    // A coroutine does not wait, whatever was fetched for it.
    let leader = match fetch {
        None if function.get().is_async => state.near(refresh),
        fetch => state.reading(call.py, fetch, refresh),
    };
    match leader {
        Some(leader) => run_in_background(function, state, leader, call),
        None => Ok(()),
    }
}

fn run_in_background(
    function: Borrowed<'_, '_, FunctionBase>,
    state: &Arc<State>,
    leader: Leader<Value>,
    call: Call<'_, '_>,
) -> PyResult<()> {
    static THREAD: Imported = Imported::new("zoocache._background", "in_thread");
    static TASK: Imported = Imported::new("zoocache._async", "in_task");
    let py = function.py();
    let (args, kwargs) = call.to_python()?;
    let lead = Lead::queue(function, state, leader)?;
    let start = if function.get().is_async { &TASK } else { &THREAD };
    start.get(py)?.call1((function, lead, args, kwargs)).map(drop)
}

/// Runs a computation that was begun by [`begin_refresh`], in the calling thread.
pub(crate) fn run(
    function: &Bound<'_, FunctionBase>,
    lead: &Lead,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let Some((leader, state)) = lead.take() else { return Ok(()) };
    miss::with_call(args, kwargs, |call| miss::lead(function.get(), &state, leader, call)).map(drop)
}
