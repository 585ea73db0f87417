//! The steps of a miss, for `zoocache._async` and `zoocache._background`.
//!
//! What is decided is decided in `miss.rs` and `tolerant.rs`; an async function takes the same steps as a
//! plain one, and awaits between them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::context;
use crate::far::Fetch;
use crate::function::FunctionBase;
use crate::miss::{self, Lead, with_call};
use crate::tolerant::{self, Occasion};

/// What to do about a missed key: see `miss.rs`. `round` says whether the caller has waited for a computation
/// before, and whether it would wait for one of another process; `fetch` is what was asked for.
#[pyfunction]
#[pyo3(signature = (function, key, round, args, kwargs, fetch=None))]
pub(crate) fn step<'py>(
    function: &Bound<'py, FunctionBase>,
    key: &[u8],
    round: (bool, bool),
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    fetch: Option<&Fetch>,
) -> PyResult<(u8, Py<PyAny>)> {
    with_call(args, kwargs, |call| miss::step(function, key, round, (fetch, call)))
}

/// The duty to compute beside any flight.
#[pyfunction]
#[pyo3(signature = (function, key, args, kwargs, fetch=None))]
pub(crate) fn lead_alone<'py>(
    function: &Bound<'py, FunctionBase>,
    key: &[u8],
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    fetch: Option<&Fetch>,
) -> PyResult<Py<PyAny>> {
    with_call(args, kwargs, |call| miss::lead_alone(function, key, (fetch, call)))
}

/// Asks the server, if there is one, for the entry of a call; without a key only for what has changed.
#[pyfunction]
pub(crate) fn ask(function: &Bound<'_, FunctionBase>, key: Option<&[u8]>) -> PyResult<Option<Fetch>> {
    let state = function.get().home.owned(function.py())?;
    Ok(state.is_far.then(|| Fetch::of(&state, key.as_slice(), 0)))
}

/// What was fetched of a call: `(True, value)`, or `(False, None)` if it is not fresh.
#[pyfunction]
pub(crate) fn fetched<'py>(
    function: &Bound<'py, FunctionBase>,
    key: &[u8],
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    fetch: &Fetch,
) -> PyResult<(bool, Py<PyAny>)> {
    let py = function.py();
    let state = function.get().home.owned(py)?;
    let found = with_call(args, kwargs, |call| {
        FunctionBase::far_hit(function.as_borrowed(), &state, (key, call), Some(fetch))
    })?;
    Ok(found.map_or_else(|| (false, py.None()), |object| (true, object)))
}

/// Serves a value that may stand in: `(True, value)`, or `(False, None)` if there is none.
#[pyfunction]
#[pyo3(signature = (function, key, occasion, fetch=None))]
pub(crate) fn stand_in(
    function: &Bound<'_, FunctionBase>,
    key: &[u8],
    occasion: u8,
    fetch: Option<&Fetch>,
) -> PyResult<(bool, Py<PyAny>)> {
    let (py, this) = (function.py(), function.get());
    let state = this.home.owned(py)?;
    let served = match &this.tolerant {
        Some(tolerant) => {
            tolerant.serve(py, (this, &state), key, (Occasion::from_number(occasion), fetch))?
        }
        None => None,
    };
    Ok(served.map_or_else(|| (false, py.None()), |object| (true, object)))
}

/// Is there a value that may stand in?
#[pyfunction]
#[pyo3(signature = (function, key, occasion, fetch=None))]
pub(crate) fn has_stand_in(
    function: &Bound<'_, FunctionBase>,
    key: &[u8],
    occasion: u8,
    fetch: Option<&Fetch>,
) -> PyResult<bool> {
    let (py, this) = (function.py(), function.get());
    let state = this.home.owned(py)?;
    let parent = context::current(py)?;
    match &this.tolerant {
        Some(tolerant) if !state.cache.is_computing(key, parent.as_ref()) => {
            tolerant.has_stand_in(py, (this, &state), key, (Occasion::from_number(occasion), fetch))
        }
        _ => Ok(false),
    }
}

/// Begins to compute in the background, unless somebody does already.
#[pyfunction]
#[pyo3(signature = (function, key, args, kwargs, fetch=None))]
pub(crate) fn begin_refresh<'py>(
    function: &Bound<'py, FunctionBase>,
    key: &[u8],
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    fetch: Option<&Fetch>,
) -> PyResult<()> {
    let state = function.get().home.owned(function.py())?;
    with_call(args, kwargs, |call| {
        tolerant::begin_refresh(function.as_borrowed(), &state, (key, call), fetch)
    })
}

/// Seconds after which a stale value is served.
#[pyfunction]
pub(crate) fn soft_timeout(function: &Bound<'_, FunctionBase>) -> Option<f64> {
    function.get().tolerant.and_then(|tolerant| tolerant.timeout()).map(|timeout| timeout.as_secs_f64())
}

/// Computes in this thread what was begun for another.
#[pyfunction]
pub(crate) fn run(
    function: &Bound<'_, FunctionBase>,
    lead: &Bound<'_, Lead>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    tolerant::run(function, lead.get(), args, kwargs)
}
