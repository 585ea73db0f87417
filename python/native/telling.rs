//! Telling a program's own telemetry what happens, in step with it.
//!
//! There is somebody to tell only if one of the program's own adapters wants it. Then hits leave the fast way
//! ([`crate::state::Site::needs_care`]); without one, nothing of this is on the way of a hit.

use std::cell::Cell;

use pyo3::prelude::*;
use zoocache::{Count, Stopwatch, SystemClock, WallClock};

use crate::counters::FunctionCounters;

/// Something that happened.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    Hit,
    Miss(Count),
    Error,
    Invalidation,
    /// A lookup that took so long.
    Looked(&'a Stopwatch),
    /// A value that was stored took so long.
    Stored(&'a Stopwatch),
}

/// Why there was nothing to serve.
fn cause(why: Count) -> &'static str {
    match why {
        Count::Stale => "stale",
        Count::Expired => "expired",
        _ => "absent",
    }
}

/// Who is told: a callable that is given the name of the metric, the function, the cause of a miss or an empty
/// text, and seconds or `None`.
pub(crate) struct Teller(pub(crate) Py<PyAny>);

thread_local! {
    /// Is this thread telling? What telemetry does with caches of its own is not told of.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Telling, until it is dropped.
struct Turn;

impl Turn {
    fn begin() -> Option<Self> {
        // Not `then_some`: what it drops would end the turn of another.
        if TELLING.replace(true) { None } else { Some(Self) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TELLING.set(false);
    }
}

impl Teller {
    /// Tells of what happened to a call of `function`, or to an operation that is of none.
    ///
    /// # Errors
    /// What is no business of telemetry's, such as Ctrl-C.
    #[cold]
    pub(crate) fn tell(
        &self,
        py: Python<'_>,
        function: Option<&FunctionCounters>,
        what: Told<'_>,
    ) -> PyResult<()> {
        let Some(_turn) = Turn::begin() else { return Ok(()) };
        let (name, cause, watch) = match what {
            Told::Hit => ("cache_hits_total", "", None),
            Told::Miss(why) => ("cache_misses_total", cause(why), None),
            Told::Error => ("cache_errors_total", "", None),
            Told::Invalidation => ("cache_invalidations_total", "", None),
            Told::Looked(watch) => ("cache_get_duration_seconds", "", Some(watch)),
            Told::Stored(watch) => ("cache_set_duration_seconds", "", Some(watch)),
        };
        #[expect(clippy::cast_precision_loss, reason = "a duration need not be exact to the nanosecond")]
        let seconds = watch.map(|watch| watch.elapsed_ns() as f64 / 1e9);
        let function = function.map_or("", FunctionCounters::name);
        self.0.call1(py, (name, function, cause, seconds)).map(drop)
    }
}

/// Makes spans: a callable that is given a name, a function, and when something began that has ended now, in
/// microseconds since the Unix epoch; without that it returns a context manager, or `None`.
pub(crate) struct Spanner(pub(crate) Py<PyAny>);

impl Spanner {
    /// The span of something that is about to begin.
    pub(crate) fn span<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        function: &FunctionCounters,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let span = self.0.bind(py).call1((name, function.name(), None::<u64>))?;
        Ok((!span.is_none()).then_some(span))
    }

    /// Runs `body` inside of a span.
    pub(crate) fn within<R>(
        &self,
        py: Python<'_>,
        (name, function): (&str, &FunctionCounters),
        body: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let Some(span) = self.span(py, name, function)? else { return body() };
        span.call_method0("__enter__")?;
        let result = body();
        let ended = match &result {
            Ok(_) => span.call_method1("__exit__", (py.None(), py.None(), py.None())),
            Err(error) => {
                let (kind, value, traceback) = (error.get_type(py), error.value(py), error.traceback(py));
                span.call_method1("__exit__", (kind, value, traceback))
            }
        };
        ended.and(result)
    }

    /// A span of what began then and has ended now.
    pub(crate) fn past(&self, py: Python<'_>, name: &str, began_us: u64) {
        if let Err(error) = self.0.call1(py, (name, "", began_us)) {
            error.write_unraisable(py, None);
        }
    }
}

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    SystemClock.now_us()
}
