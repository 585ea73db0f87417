//! Misses: running the user's function, waiting for somebody who does, and storing the result.
//!
//! The synchronous path is here from end to end. Async functions run in `zoocache._async`, a coroutine
//! of Python's own (so that cancellation and context variables are what every user knows), which takes
//! the same steps through [`Lead`] and [`Wait`].

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use zoocache::lock::Mutex;
use zoocache::{Claim, Count, Entry, Fill, Join, Landing, Leader, Pauses, Waited, Waiter};

use crate::arguments::{Call, Collected};
use crate::context::{self, Frame};
use crate::demand;
use crate::errors::{PyFailure, from_host, raise};
use crate::far::{self, Fetch};
use crate::function::FunctionBase;
use crate::imported::Imported;
use crate::keeping::Kept;
use crate::process;
use crate::queued::Held;
use crate::state::State;
use crate::tags::parse_tags;
use crate::telling::Told;
use crate::troubles;
use crate::value::Value;

/// How often the main thread looks for Ctrl-C while it waits.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);
/// How often what another process has computed may turn out to be stale, before a caller computes by itself.
const MAX_ROUNDS: usize = 2;

type Function<'a, 'py> = Borrowed<'a, 'py, FunctionBase>;

/// Computes the value of a call that missed, or waits for somebody who does.
#[cold]
pub(crate) fn compute(
    function: Function<'_, '_>,
    state: &Arc<State>,
    key: &[u8],
    call: Call<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = function.py();
    let this = function.get();
    let parent = context::current(py)?;
    let (mut second_round, mut rounds) = (false, 0);
    let leader = loop {
        if state.reading(py, None, || demand::is_unmet(py, &this.home, state))? {
            break beside(py, state, key, (parent.as_ref(), None));
        }
        let joined = state.reading(py, None, || state.cache.join(key, parent.as_ref(), second_round));
        match joined.map_err(|error| from_host(py, &error))? {
            Join::Hit(entry) => return this.take(py, state, &entry),
            Join::Lead(leader) if this.cluster_lock && rounds < MAX_ROUNDS => {
                match claim(py, state, leader)? {
                    Claimed::Lead(leader) => break leader,
                    Claimed::Found(entry) => return this.take(py, state, &entry),
                    Claimed::Again => rounds += 1,
                }
            }
            Join::Lead(leader) => break leader,
            // What waits for its turn may have to wait for long.
            Join::Wait(_) if state.queued.call_off(key) => {}
            // A blocked event loop could never finish the task, or the thread, that it waits for.
            Join::Wait(_) if runs_event_loop(py)? => {
                break beside(py, state, key, (parent.as_ref(), None));
            }
            Join::Wait(waiter) => match wait(py, state, &waiter, state.flight_timeout)? {
                Some(Waited::Again) => second_round = true,
                Some(landed) => return taken(py, this, state, &landed),
                None => {
                    waiter.give_up();
                    break beside(py, state, key, (parent.as_ref(), None));
                }
            },
        }
    };
    lead_for_miss(this, state, leader, call)
}

impl FunctionBase {
    /// Hands out what was found on the way to computing it: a hit.
    pub(crate) fn take(&self, py: Python<'_>, state: &State, entry: &Entry<Value>) -> PyResult<Py<PyAny>> {
        self.counters.hit();
        state.tell(py, Some(&self.counters), Told::Hit)?;
        entry.value().hand_out(py).map(Bound::unbind)
    }
}

/// [`lead`] for a caller that missed.
pub(crate) fn lead_for_miss(
    this: &FunctionBase,
    state: &Arc<State>,
    leader: Leader<Value>,
    call: Call<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let why = leader.why();
    this.counters.miss(why);
    let led = lead(this, state, leader, call);
    // Afterwards: foreign code that asks for the same key would wait for itself.
    match led {
        Ok(object) => state.tell(call.py, Some(&this.counters), Told::Miss(why)).map(|()| object),
        Err(error) => {
            state.tell_at_last(call.py, Some(&this.counters), Told::Miss(why));
            Err(error)
        }
    }
}

/// A leader beside any flight.
fn beside(
    py: Python<'_>,
    state: &State,
    key: &[u8],
    (parent, fetch): (Option<&Arc<Fill>>, Option<&Fetch>),
) -> Leader<Value> {
    state.reading(py, fetch, || state.cache.lead_alone(key, parent, false))
}

/// What came of asking to compute alone among all processes.
enum Claimed {
    /// Compute.
    Lead(Leader<Value>),
    /// Another process has just stored this.
    Found(Arc<Entry<Value>>),
    /// What another process stored is stale already.
    Again,
}

/// Asks to compute alone, and waits for another process that does.
#[cold]
fn claim(py: Python<'_>, state: &State, mut leader: Leader<Value>) -> PyResult<Claimed> {
    for pause in Pauses::until(state.flight_timeout) {
        match state.unlocked(py, || leader.claim(state.flight_timeout)) {
            Claim::Ours => return Ok(Claimed::Lead(leader)),
            Claim::Found(entry) => return Ok(yielded(py, state, leader, entry)),
            // A blocked event loop could never finish what the other may wait for.
            Claim::Busy if runs_event_loop(py)? => break,
            Claim::Busy => py.detach(|| leader.pause(pause)),
        }
        py.check_signals()?;
    }
    state.unlocked(py, || leader.give_up_claim());
    Ok(Claimed::Lead(leader))
}

fn yielded(py: Python<'_>, state: &State, leader: Leader<Value>, entry: Arc<Entry<Value>>) -> Claimed {
    match state.unlocked(py, || leader.yield_to(entry)) {
        Landing::Sealed(entry) => Claimed::Found(entry),
        _ => Claimed::Again,
    }
}

/// Computes the value of a call in any case and stores it.
pub(crate) fn refresh(function: &Bound<'_, FunctionBase>, call: Call<'_, '_>) -> PyResult<Py<PyAny>> {
    let this = function.get();
    let state = this.home.owned(call.py)?;
    let key = this.key_or_error(call)?;
    let leader = beside(call.py, &state, &key, (context::current(call.py)?.as_ref(), None));
    lead_for_miss(this, &state, leader, call)
}

pub(crate) fn lead(
    this: &FunctionBase,
    state: &Arc<State>,
    leader: Leader<Value>,
    call: Call<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let py = call.py;
    let computed = context::within(py, leader.fill(), || {
        declare(this, &leader, call)?;
        let compute = || call.through(this.function.bind(py));
        match &state.spanner {
            None => compute(),
            Some(spanner) => spanner.within(py, ("zoocache.fill", &this.counters), compute),
        }
    });
    let ended = match computed {
        Ok(object) => finish(py, this, state, leader, &object).map(|()| object.unbind()),
        Err(error) => {
            fail(py, this, state, leader, &error);
            Err(error)
        }
    };
    // What was not kept (a value born stale, an exception and the frames of its traceback) is freed now.
    process::release_objects();
    ended
}

/// Declares everything that is known before the function runs: an invalid tag costs no computation.
fn declare(this: &FunctionBase, leader: &Leader<Value>, call: Call<'_, '_>) -> PyResult<()> {
    for tag in &this.dependencies.fixed {
        leader.fill().depend_on(tag);
    }
    if let Some((callable, wanted)) = &this.dependencies.computed {
        let callable = callable.bind(call.py);
        if let Some(tags) = this.signature.call_with(callable, wanted.as_deref(), call)? {
            for tag in parse_tags(&tags)? {
                leader.fill().depend_on(&tag);
            }
        }
    }
    Ok(())
}

fn finish(
    py: Python<'_>,
    this: &FunctionBase,
    state: &State,
    leader: Leader<Value>,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    match prepare(py, this, state, leader, object)? {
        Some(prepared) => commit(py, this, state, prepared),
        None => Ok(()),
    }
}

/// A leader, and what its computation ends with.
type Prepared = (Leader<Value>, Kept);

/// Finds out what becomes of a result; `None` if that is all there is to do.
fn prepare(
    py: Python<'_>,
    this: &FunctionBase,
    state: &State,
    leader: Leader<Value>,
    object: &Bound<'_, PyAny>,
) -> PyResult<Option<Prepared>> {
    if let Some(elapsed_ns) = leader.elapsed_ns() {
        this.counters.took(elapsed_ns);
    }
    match this.keeping.prepare(state, leader.fill(), object) {
        Ok(Some(kept)) => Ok(Some((leader, kept))),
        // Nobody else may have it: whoever waits computes one of its own.
        Ok(None) => {
            state.unlocked(py, || drop(leader));
            Ok(None)
        }
        Err(error) => {
            fail(py, this, state, leader, &error);
            Err(error)
        }
    }
}

/// Stores a result and hands it to those who wait.
fn commit(py: Python<'_>, this: &FunctionBase, state: &State, prepared: Prepared) -> PyResult<()> {
    let (leader, kept) = prepared;
    let stopwatch = state.stopwatch();
    state.unlocked(py, || {
        let leader = match kept.bytes {
            Some(bytes) => leader.encoded(bytes),
            None => leader,
        };
        leader.finish_with(kept.value, kept.how);
    });
    troubles::raised()?;
    match &stopwatch {
        Some(stopwatch) => state.tell(py, Some(&this.counters), Told::Stored(stopwatch)),
        None => Ok(()),
    }
}

fn fail(py: Python<'_>, this: &FunctionBase, state: &State, leader: Leader<Value>, error: &PyErr) {
    let ends = failing(py, this, leader, error);
    state.unlocked(py, ends);
    state.tell_at_last(py, Some(&this.counters), Told::Error);
}

/// An `Exception` is everybody's; `KeyboardInterrupt`, `SystemExit` and cancellation concern the leader
/// alone, and somebody else takes over.
fn failing(
    py: Python<'_>,
    this: &FunctionBase,
    leader: Leader<Value>,
    error: &PyErr,
) -> impl FnOnce() + Send + 'static {
    this.counters.error();
    let failure = error.is_instance_of::<PyException>(py).then(|| PyFailure::share(error.value(py)));
    move || match failure {
        Some(failure) => leader.fail(failure),
        None => drop(leader),
    }
}

pub(crate) fn taken(
    py: Python<'_>,
    this: &FunctionBase,
    state: &State,
    waited: &Waited<Value>,
) -> PyResult<Py<PyAny>> {
    match waited {
        Waited::Entry(entry) => this.take(py, state, entry),
        Waited::Value(value) => {
            this.counters.miss(Count::Misses);
            state.tell(py, Some(&this.counters), Told::Miss(Count::Misses))?;
            value.hand_out(py).map(Bound::unbind)
        }
        Waited::Failed(failure) => Err(raise(py, failure)),
        Waited::Again => Ok(py.None()),
    }
}

/// Waits without the interpreter lock; `None` when `timeout` has passed.
pub(crate) fn wait(
    py: Python<'_>,
    state: &State,
    waiter: &Waiter<Value>,
    timeout: Duration,
) -> PyResult<Option<Waited<Value>>> {
    let slice = if is_main_thread(py)? { SIGNAL_CHECK } else { timeout };
    let mut left = timeout;
    while !left.is_zero() {
        let slice = slice.min(left);
        // What has landed is judged with the lock: a child of a fork would inherit those that this takes.
        if py.detach(|| waiter.wait_until_landed(slice)) {
            return Ok(state.reading(py, None, || waiter.try_take()));
        }
        left -= slice;
        py.check_signals()?;
    }
    Ok(None)
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    static CURRENT: Imported = Imported::new("threading", "current_thread");
    static MAIN: Imported = Imported::new("threading", "main_thread");
    Ok(CURRENT.get(py)?.call0()?.is(&MAIN.get(py)?.call0()?))
}

fn runs_event_loop(py: Python<'_>) -> PyResult<bool> {
    static RUNNING_LOOP: Imported = Imported::new("asyncio", "_get_running_loop");
    static MODULES: Imported = Imported::new("sys", "modules");
    // Who has not imported it runs no loop, and need not wait for the import.
    if !MODULES.get(py)?.contains("asyncio.events")? {
        return Ok(false);
    }
    Ok(!RUNNING_LOOP.get(py)?.call0()?.is_none())
}

/// The steps of a miss for `zoocache._async`: `(0, value)`, `(1, Lead)`, `(2, Wait)`, `(3, Lead)` that is to be
/// claimed, and then to be declared, or `(4, Fetch)` of what is needed for the next step.
pub(crate) fn step(
    function: &Bound<'_, FunctionBase>,
    key: &[u8],
    (second_round, may_claim): (bool, bool),
    (fetch, call): (Option<&Fetch>, Call<'_, '_>),
) -> PyResult<(u8, Py<PyAny>)> {
    let py = function.py();
    let this = function.get();
    let state = this.home.owned(py)?;
    if state.is_far && !fetch.is_some_and(|fetch| fetch.is_of(&state)) {
        let is_demanded = demand::is_there_any();
        let asked = if is_demanded { Fetch::now(&state, &[key]) } else { Fetch::of(&state, &[key], 0) };
        return Ok((4, Py::new(py, asked)?.into_any()));
    }
    if state.reading(py, fetch, || demand::is_unmet(py, &this.home, &state))? {
        return Ok((1, lead_alone(function, key, (fetch, call))?));
    }
    let parent = context::current(py)?;
    let joined = match fetch {
        None => state.cache.join(key, parent.as_ref(), second_round).map(Some),
        Some(fetch) => {
            let found = FunctionBase::far_hit(function.as_borrowed(), &state, (key, call), Some(fetch))?;
            if let Some(object) = found {
                return Ok((0, object));
            }
            fetch.join(&state, key, (parent.as_ref(), second_round))
        }
    };
    let joined = joined.map_err(|error| from_host(py, &error))?;
    let Some(joined) = joined else {
        let round = fetch.map_or(0, |fetch| fetch.round + 1);
        return Ok((4, Py::new(py, Fetch::of(&state, &[key], round))?.into_any()));
    };
    match joined {
        Join::Hit(entry) => Ok((0, this.take(py, &state, &entry)?)),
        Join::Lead(leader) if this.cluster_lock && state.is_shared && may_claim => {
            this.counters.miss(leader.why());
            state.tell(py, Some(&this.counters), Told::Miss(leader.why()))?;
            Ok((3, Lead::new(function.as_borrowed(), &state, leader, None)?.into_any()))
        }
        Join::Lead(leader) => Ok((1, Lead::hold(function, &state, leader, call)?)),
        Join::Wait(_) if state.queued.call_off(key) => {
            step(function, key, (second_round, may_claim), (fetch, call))
        }
        Join::Wait(waiter) => {
            let wait = Wait { waiter, function: function.clone().unbind(), state };
            Ok((2, Py::new(py, wait)?.into_any()))
        }
    }
}

/// A leader beside any flight, for `zoocache._async`.
pub(crate) fn lead_alone(
    function: &Bound<'_, FunctionBase>,
    key: &[u8],
    (fetch, call): (Option<&Fetch>, Call<'_, '_>),
) -> PyResult<Py<PyAny>> {
    let state = function.get().home.owned(call.py)?;
    let leader = beside(call.py, &state, key, (context::current(call.py)?.as_ref(), fetch));
    Lead::hold(function, &state, leader, call)
}

/// The duty to compute, held by a coroutine. Garbage collected without a result, it hands over.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Lead {
    leader: Arc<Held>,
    /// Until it begins it may be called off.
    queued_as: Option<Box<[u8]>>,
    function: Py<FunctionBase>,
    state: Arc<State>,
    /// What is to be committed.
    prepared: Mutex<Option<Prepared>>,
}

impl Lead {
    fn hold(
        function: &Bound<'_, FunctionBase>,
        state: &Arc<State>,
        leader: Leader<Value>,
        call: Call<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        // An async function waits for itself as little as a plain one: what is told is plain code, which cannot await it.
        let counters = &function.get().counters;
        counters.miss(leader.why());
        state.tell(call.py, Some(counters), Told::Miss(leader.why()))?;
        // Part of the computation: a cached function that `deps` calls is something it depends on.
        context::within(call.py, leader.fill(), || declare(function.get(), &leader, call))?;
        Ok(Self::new(function.as_borrowed(), state, leader, None)?.into_any())
    }

    /// A duty to begin later; it says nothing of the call's dependencies yet.
    pub(crate) fn queue(
        function: Function<'_, '_>,
        state: &Arc<State>,
        leader: Leader<Value>,
    ) -> PyResult<Py<Self>> {
        let key = Box::from(leader.fill().key());
        let lead = Self::new(function, state, leader, Some(key))?;
        state.queued.add(&lead.get().leader);
        Ok(lead)
    }

    fn new(
        function: Function<'_, '_>,
        state: &Arc<State>,
        leader: Leader<Value>,
        queued_as: Option<Box<[u8]>>,
    ) -> PyResult<Py<Self>> {
        let leader = Arc::new(Mutex::new(Some(leader)));
        let function = function.to_owned();
        let py = function.py();
        let (state, prepared) = (Arc::clone(state), Mutex::default());
        Py::new(py, Self { leader, queued_as, function: function.unbind(), state, prepared })
    }

    /// Does its end have to give back a lock that a server holds?
    fn may_hold_lock(&self) -> bool {
        self.state.is_far && self.state.is_shared && self.function.get().cluster_lock
    }

    /// From now on it cannot be called off.
    fn begin(&self) {
        if let Some(key) = &self.queued_as {
            self.state.queued.remove(key, &self.leader);
        }
    }

    /// Hands the duty over; `None` if it was called off.
    pub(crate) fn take(&self) -> Option<(Leader<Value>, Arc<State>)> {
        self.begin();
        let leader = self.leader.lock().take()?;
        Some((leader, Arc::clone(&self.state)))
    }
}

#[pymethods]
impl Lead {
    /// What nested calls find in the context variable.
    fn frame(&self) -> Option<Frame> {
        self.leader.lock().as_ref().map(|leader| Frame::new(leader.fill()))
    }

    /// The span of the computation, if there is to be one.
    fn span<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.state.spanner {
            None => Ok(None),
            Some(spanner) => spanner.span(py, "zoocache.fill", &self.function.get().counters),
        }
    }

    /// Declares what is known before the function runs; `False` if it need not run, as it was called off.
    fn declare(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.begin();
        // Out of the lock while Python code runs; nobody else takes part in a computation that begins.
        let Some(leader) = self.leader.lock().take() else { return Ok(false) };
        let declared = with_call(args, kwargs, |call| {
            context::within(py, leader.fill(), || declare(self.function.get(), &leader, call))
        });
        *self.leader.lock() = Some(leader);
        declared.map(|()| true)
    }

    /// Asks to compute alone among all processes: `(0, None)` if so, `(1, None)` if another process does and it
    /// is to be asked again, `(2, value)` of what another has stored, `(3, None)` to join again.
    fn claim(&self, py: Python<'_>) -> PyResult<(u8, Py<PyAny>)> {
        let Some(mut leader) = self.leader.lock().take() else { return Ok((3, py.None())) };
        let state = &*self.state;
        match state.unlocked(py, || leader.claim(state.flight_timeout)) {
            Claim::Found(entry) => match yielded(py, state, leader, entry) {
                Claimed::Found(entry) => Ok((2, entry.value().hand_out(py)?.unbind())),
                _ => Ok((3, py.None())),
            },
            claim => {
                *self.leader.lock() = Some(leader);
                Ok((u8::from(matches!(claim, Claim::Busy)), py.None()))
            }
        }
    }

    /// Notes that the caller will compute without being alone.
    fn give_up_claim(&self, py: Python<'_>) {
        let leader = self.leader.lock().take();
        if let Some(mut leader) = leader {
            self.state.unlocked(py, || leader.give_up_claim());
            *self.leader.lock() = Some(leader);
        }
    }

    /// Seconds for which it is worth asking.
    #[getter]
    fn timeout(&self) -> f64 {
        self.state.flight_timeout.as_secs_f64()
    }

    /// Ends the computation with a value.
    fn finish(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let leader = self.leader.lock().take();
        match leader {
            Some(leader) => finish(object.py(), self.function.get(), &self.state, leader, object),
            None => Ok(()),
        }
    }

    /// Does its end have to wait for a server? Then [`prepare`](Self::prepare) and [`commit`](Self::commit) take the
    /// place of [`finish`](Self::finish).
    #[getter]
    fn is_far(&self) -> bool {
        self.state.is_far
    }

    /// Finds out what becomes of the value; says whether there is anything to commit.
    fn prepare(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(leader) = self.leader.lock().take() else { return Ok(false) };
        let prepared = prepare(object.py(), self.function.get(), &self.state, leader, object)?;
        let is_some = prepared.is_some();
        *self.prepared.lock() = prepared;
        Ok(is_some)
    }

    /// Ends the computation, which may take its time.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let prepared = self.prepared.lock().take();
        prepared.map_or(Ok(()), |prepared| commit(py, self.function.get(), &self.state, prepared))
    }

    /// Ends the computation with an exception; other than an `Exception` hands it over.
    fn fail(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) {
        let leader = self.leader.lock().take();
        if let Some(leader) = leader {
            let error = PyErr::from_value(exception.clone());
            if self.may_hold_lock() {
                let ends = failing(py, self.function.get(), leader, &error);
                far::in_background(&self.state, ends);
                self.state.tell_at_last(py, Some(&self.function.get().counters), Told::Error);
            } else {
                fail(py, self.function.get(), &self.state, leader, &error);
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.begin();
        let left = (self.leader.lock().take(), self.prepared.lock().take());
        // A lock among machines is given back, which may take its time.
        if self.may_hold_lock() && (left.0.is_some() || left.1.is_some()) {
            far::in_background(&self.state, || drop(left));
        }
    }
}

/// A place in the queue, held by a coroutine.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Wait {
    waiter: Waiter<Value>,
    function: Py<FunctionBase>,
    state: Arc<State>,
}

#[pymethods]
impl Wait {
    /// Seconds after which the caller should compute for itself.
    #[getter]
    fn timeout(&self) -> f64 {
        self.state.flight_timeout.as_secs_f64()
    }

    /// Calls `wake(future)` on `loop` when there is a result.
    fn subscribe(&self, wake: Py<PyAny>, event_loop: Py<PyAny>, future: Py<PyAny>) {
        let waker = Waker::from(Arc::new(LoopWaker { wake, event_loop, future }));
        if self.state.near(|| self.waiter.poll(&waker)).is_some() {
            waker.wake();
        }
    }

    /// `(True, value)` for a value this caller may take, `(False, None)` if it must join again.
    fn take(&self, py: Python<'_>) -> PyResult<(bool, Py<PyAny>)> {
        match self.state.near(|| self.waiter.try_take()) {
            None | Some(Waited::Again) => Ok((false, py.None())),
            Some(waited) => Ok((true, taken(py, self.function.get(), &self.state, &waited)?)),
        }
    }

    /// Notes that the caller stops waiting.
    fn give_up(&self) {
        self.waiter.give_up();
    }
}

/// Wakes a future of an event loop, from whichever thread the computation ends on.
struct LoopWaker {
    wake: Py<PyAny>,
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
}

impl Wake for LoopWaker {
    fn wake(self: Arc<Self>) {
        // Nobody is left to wake when the interpreter is gone.
        let _ = Python::try_attach(|py| {
            let arguments = (&self.wake, &self.future);
            // A closed loop has nobody left to wake.
            drop(self.event_loop.call_method1(py, "call_soon_threadsafe", arguments));
        });
    }
}

/// The pieces of a call as Python hands them to the methods above.
pub(crate) fn with_call<'py, R>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    body: impl FnOnce(Call<'_, 'py>) -> PyResult<R>,
) -> PyResult<R> {
    Collected::new(args, kwargs)?.with(args.py(), body)
}
