//! A cache with Python's settings, and the default one of the module functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use zoocache::{Cache, Event, Lifetime, Lookup, Observer, Policy, Tag};

use crate::context;
use crate::errors::{Class, from_host, invalid_tag};
use crate::function;
use crate::recent;
use crate::value::{CopyMode, Value};

/// What `configure` decides, checked by `zoocache._settings`.
#[derive(Debug, Clone, PartialEq, FromPyObject)]
pub(crate) struct Settings {
    #[pyo3(attribute)]
    max_entries: Option<u64>,
    #[pyo3(attribute)]
    default_ttl_ms: Option<u64>,
    #[pyo3(attribute)]
    read_extend_ttl: bool,
    #[pyo3(attribute)]
    flight_timeout_ms: u64,
}

/// A configured cache.
pub(crate) struct State {
    pub(crate) cache: Cache<Value>,
    pub(crate) flight_timeout: Duration,
    /// How many hits in a row may bypass the storage: see `recent.rs`.
    pub(crate) long_way: u8,
    read_extend_ttl: bool,
}

impl State {
    fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        let mut builder = Cache::builder()
            .flight_timeout(Duration::from_millis(settings.flight_timeout_ms))
            .observer(Arc::new(Releaser));
        if let Some(entries) = settings.max_entries {
            builder = builder.max_entries(entries);
        }
        let flight_timeout = Duration::from_millis(settings.flight_timeout_ms);
        let read_extend_ttl = settings.read_extend_ttl;
        let lifetime = Lifetime { ttl_ms: settings.default_ttl_ms, extend_on_hit: read_extend_ttl };
        let cache = builder.default_lifetime(lifetime).build().map_err(|error| from_host(py, &error))?;
        let long_way = recent::long_way(settings.max_entries);
        Ok(Self { cache, flight_timeout, long_way, read_extend_ttl })
    }

    /// The lifetime of an entry whose `ttl` is `ttl_ms`; `None` means the cache's default.
    pub(crate) fn lifetime(&self, ttl_ms: Option<u64>) -> Option<Lifetime> {
        ttl_ms.map(|ttl| Lifetime { ttl_ms: Some(ttl), extend_on_hit: self.read_extend_ttl })
    }

    /// Runs an operation that has no `Python` of its own to report errors with.
    fn host<T>(py: Python<'_>, result: Result<T, zoocache::Error>) -> PyResult<T> {
        result.map_err(|error| from_host(py, &error))
    }
}

/// Releases what a sweep in the background freed: its thread does not hold the interpreter's lock.
struct Releaser;

impl Observer for Releaser {
    fn on_event(&self, event: &Event<'_>) {
        if !matches!(event, Event::Swept { .. }) {
            return;
        }
        ATTACHING.fetch_add(1, Ordering::SeqCst);
        release_objects();
        ATTACHING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the interpreter is shutting down: then no thread of the cache may ask for its lock.
static SHUTTING_DOWN: AtomicBool = AtomicBool::new(false);
/// Threads that ask for the interpreter's lock on their own account.
static ATTACHING: AtomicUsize = AtomicUsize::new(0);

/// Releases Python objects that were dropped without the interpreter's lock.
pub(crate) fn release_objects() {
    if !SHUTTING_DOWN.load(Ordering::SeqCst) {
        // Attaching is what does it.
        let _ = Python::try_attach(|_| ());
    }
}

/// To be called at exit: from now on no thread of the cache asks for the interpreter's lock.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    SHUTTING_DOWN.store(true, Ordering::SeqCst);
    if ATTACHING.load(Ordering::SeqCst) > 0 {
        // They are about to get the lock; a thread that does not come by soon will not come at all.
        py.detach(|| {
            for _ in 0..1_000_000 {
                if ATTACHING.load(Ordering::SeqCst) == 0 {
                    break;
                }
                std::thread::yield_now();
            }
        });
    }
}

static DEFAULT: ArcSwapOption<State> = ArcSwapOption::const_empty();
/// Raised with every `configure` and `reset`, so that what was remembered of the cache before is not used.
static GENERATION: AtomicUsize = AtomicUsize::new(1);
/// Orders `configure` and `reset`.
static CONFIGURING: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Which configuration the default cache belongs to.
#[inline]
pub(crate) fn generation() -> usize {
    GENERATION.load(Ordering::Acquire)
}

/// The default cache; configured with the defaults at its first use.
#[inline]
pub(crate) fn default(py: Python<'_>) -> PyResult<Guard<Option<Arc<State>>>> {
    let guard = DEFAULT.load();
    if guard.is_some() { Ok(guard) } else { first_use(py) }
}

#[cold]
fn first_use(py: Python<'_>) -> PyResult<Guard<Option<Arc<State>>>> {
    py.import("zoocache._settings")?.getattr("configure")?.call0()?;
    Ok(DEFAULT.load())
}

/// The default cache, for operations that may run Python code, which may call `reset`.
pub(crate) fn owned_default(py: Python<'_>) -> PyResult<Arc<State>> {
    default(py)?.as_ref().map(Arc::clone).ok_or_else(gone)
}

pub(crate) fn with_default<R>(py: Python<'_>, body: impl FnOnce(&State) -> PyResult<R>) -> PyResult<R> {
    body(&*owned_default(py)?)
}

#[cold]
pub(crate) fn gone() -> PyErr {
    PyRuntimeError::new_err("the cache was reset while it was being configured")
}

/// Configures the default cache; does nothing if it has the same settings already.
#[pyfunction]
pub(crate) fn install(py: Python<'_>, settings: &Bound<'_, PyAny>) -> PyResult<bool> {
    let wanted: Settings = settings.extract()?;
    let known = CONFIGURING.lock().as_ref().map(|known| known.clone_ref(py));
    if known.is_some() && DEFAULT.load().is_some() {
        return Ok(false);
    }
    let state = Arc::new(State::new(py, &wanted)?);
    // A new cache counts from zero.
    function::hits(true);
    *CONFIGURING.lock() = Some(settings.clone().unbind());
    DEFAULT.store(Some(state));
    GENERATION.fetch_add(1, Ordering::AcqRel);
    Ok(true)
}

/// The settings of the default cache, if it is configured.
#[pyfunction]
pub(crate) fn installed(py: Python<'_>) -> Option<Py<PyAny>> {
    CONFIGURING.lock().as_ref().map(|settings| settings.clone_ref(py))
}

/// Forgets the default cache and everything in it.
#[pyfunction]
pub(crate) fn reset(py: Python<'_>) -> PyResult<()> {
    let settings = CONFIGURING.lock().take();
    let state = DEFAULT.swap(None);
    GENERATION.fetch_add(1, Ordering::AcqRel);
    // Cached functions may still hold the state; its entries are freed now all the same.
    if let Some(state) = state {
        State::host(py, py.detach(|| state.cache.clear()))?;
    }
    drop(settings);
    Ok(())
}

/// Parses tags; the first invalid one is an `InvalidTag`.
pub(crate) fn parse_tags(tags: &Bound<'_, PyAny>) -> PyResult<Vec<Tag>> {
    if tags.is_instance_of::<PyString>() {
        return Err(pyo3::exceptions::PyTypeError::new_err(format!(
            "deps must be an iterable of tags, not the single string {}; write deps=[{0}]",
            tags.repr()?
        )));
    }
    tags.try_iter()?.map(|tag| parse_tag(&tag?)).collect()
}

fn parse_tag(tag: &Bound<'_, PyAny>) -> PyResult<Tag> {
    let Ok(text) = tag.cast::<PyString>() else {
        return Err(pyo3::exceptions::PyTypeError::new_err(format!(
            "a tag must be a str, not {}: {}",
            tag.get_type().name()?,
            tag.repr()?
        )));
    };
    match text.to_str() {
        Ok(text) => Tag::parse(text).map_err(|error| invalid_tag(&error)),
        Err(_) => {
            Err(Class::InvalidTag.err(format!("Invalid character in tag {}: lone surrogate", text.repr()?)))
        }
    }
}

/// Invalidates tags and everything below them; returns the position.
#[pyfunction]
#[pyo3(signature = (*tags))]
pub(crate) fn invalidate(py: Python<'_>, tags: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<u64> {
    let parsed: SmallTags = tags.iter().map(|tag| parse_tag(&tag)).collect::<PyResult<_>>()?;
    if parsed.is_empty() {
        return Err(pyo3::exceptions::PyTypeError::new_err("invalidate() needs at least one tag"));
    }
    with_default(py, |state| {
        State::host(py, state.cache.invalidate_tags(&parsed)).map(zoocache::Timestamp::as_micros)
    })
}

type SmallTags = smallvec::SmallVec<[Tag; 2]>;

/// Position of the latest invalidation that covers `tag`, 0 if there was none.
#[pyfunction]
pub(crate) fn get_tag_version(py: Python<'_>, tag: &Bound<'_, PyAny>) -> PyResult<u64> {
    let tag = parse_tag(tag)?;
    with_default(py, |state| Ok(state.cache.latest(&tag).as_micros()))
}

/// The fresh value under `key`, or `None`.
#[pyfunction]
pub(crate) fn get<'py>(py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    with_default(py, |state| match state.cache.lookup(key.as_bytes()) {
        Lookup::Hit(entry) => {
            state.cache.count(zoocache::Count::Hits);
            state.cache.absorb(context::current(py)?.as_ref(), &entry);
            entry.value().hand_out(py).map(Some)
        }
        Lookup::Miss(why) => {
            state.cache.count(why);
            Ok(None)
        }
    })
}

/// Stores `value` under `key`.
#[pyfunction]
pub(crate) fn set(
    py: Python<'_>,
    key: &str,
    value: &Bound<'_, PyAny>,
    deps: &Bound<'_, PyAny>,
    ttl_ms: Option<u64>,
) -> PyResult<bool> {
    let tags = parse_tags(deps)?;
    let value = Value::store(value, CopyMode::Auto)?;
    with_default(py, |state| {
        let mut policy = Policy::default().with_tags(tags);
        if let Some(lifetime) = state.lifetime(ttl_ms) {
            policy = policy.lifetime(lifetime);
        }
        Ok(state.cache.put(key, value, &policy))
    })
}

/// Removes one key; says whether a fresh entry was there.
#[pyfunction]
pub(crate) fn delete(py: Python<'_>, key: &str) -> PyResult<bool> {
    with_default(py, |state| Ok(state.cache.delete(key)))
}

/// Makes every entry stale and frees them.
#[pyfunction]
pub(crate) fn clear(py: Python<'_>) -> PyResult<()> {
    with_default(py, |state| State::host(py, py.detach(|| state.cache.clear())).map(drop))
}

/// Forgets tags that nothing needs and whose latest invalidation is old enough.
#[pyfunction]
pub(crate) fn prune(py: Python<'_>, max_age_ms: u64) -> PyResult<usize> {
    // Without the interpreter lock, as everything whose time grows with the size of the cache.
    with_default(py, |state| Ok(py.detach(|| state.cache.prune(Duration::from_millis(max_age_ms)))))
}

/// Frees what nobody will read again, now.
#[pyfunction]
pub(crate) fn sweep(py: Python<'_>) -> PyResult<usize> {
    with_default(py, |state| Ok(py.detach(|| state.cache.sweep())))
}

/// Adds dependencies to the computation that is running here; outside of one it does nothing.
#[pyfunction]
pub(crate) fn add_deps(deps: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(fill) = context::current(deps.py())? {
        for tag in parse_tags(deps)? {
            fill.depend_on(&tag);
        }
    }
    Ok(())
}

/// To be called before a fork: waits until no background work holds a lock.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    if let Some(state) = DEFAULT.load_full() {
        py.detach(|| state.cache.before_fork());
    }
}

/// To be called in the parent after a fork.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    if let Some(state) = DEFAULT.load().as_ref() {
        state.cache.after_fork_in_parent();
    }
}

/// To be called in a forked child.
#[pyfunction]
pub(crate) fn after_fork() {
    // Whoever was attaching is not in this process.
    ATTACHING.store(0, Ordering::SeqCst);
    if let Some(state) = DEFAULT.load().as_ref() {
        state.cache.after_fork();
    }
}
