//! The operations of a cache, for `zoocache.Cache` and the module functions.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use zoocache::lock::Mutex;
use zoocache::{Count, Lookup, Policy, Tag, Timestamp};

use crate::change::Mark;
use crate::errors::{failure, from_host};
use crate::far::{self, Fetch};
use crate::listeners::Subscription;
use crate::state::{Home, Settings, State};
use crate::tags::{parse_tag, parse_tags};
use crate::telling::Told;
use crate::value::{CopyMode, Value};
use crate::{batch, context, demand, shared, troubles};

/// A cache: the default one, or one of its own.
#[pyclass(frozen, weakref, module = "zoocache._native")]
pub(crate) struct NativeCache {
    pub(crate) home: Home,
}

/// A configured cache that was put aside.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct PutAside {
    state: Mutex<Option<std::sync::Arc<State>>>,
}

pub(crate) type SmallTags = smallvec::SmallVec<[Tag; 2]>;

pub(crate) fn host<T>(py: Python<'_>, result: Result<T, zoocache::Error>) -> PyResult<T> {
    result.map_err(|error| from_host(py, &error))
}

fn parse_all(tags: &Bound<'_, PyTuple>, operation: &str) -> PyResult<SmallTags> {
    let parsed: SmallTags = tags.iter().map(|tag| parse_tag(&tag)).collect::<PyResult<_>>()?;
    if parsed.is_empty() {
        return Err(PyTypeError::new_err(format!("{operation}() needs at least one tag")));
    }
    Ok(parsed)
}

/// The text of a key.
pub(crate) fn key_text<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let Ok(text) = key.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "a key must be a str, not {}: {}",
            key.get_type().name()?,
            key.repr()?
        )));
    };
    text.to_str().map_err(|_| match text.repr() {
        Ok(shown) => PyValueError::new_err(format!("a key must not hold lone surrogates: {shown}")),
        Err(error) => error,
    })
}

impl NativeCache {
    fn with<R>(&self, py: Python<'_>, body: impl FnOnce(&State) -> PyResult<R>) -> PyResult<R> {
        body(&*self.home.owned(py)?)
    }
}

#[pymethods]
impl NativeCache {
    /// The default cache, or with settings a new one.
    #[new]
    #[pyo3(signature = (settings=None))]
    fn new(py: Python<'_>, settings: Option<Settings>) -> PyResult<Self> {
        let home = match settings {
            None => Home::Default,
            Some(settings) => Home::new(State::new(py, &settings)?),
        };
        Ok(Self { home })
    }

    /// Configures the cache; does nothing and returns `False` if it is configured already.
    #[expect(clippy::needless_pass_by_value, reason = "arguments are made of what Python gave")]
    fn install(&self, py: Python<'_>, settings: Settings) -> PyResult<bool> {
        if self.home.site().present().is_some() {
            return Ok(false);
        }
        let state = State::new(py, &settings)?;
        // Another thread may have been faster.
        let is_first = self.home.site().present().is_none();
        if is_first {
            self.home.site().swap(Some(state));
        }
        Ok(is_first)
    }

    /// Forgets the cache and everything in it.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        // Cached functions may still hold the state; its entries are freed now all the same. Those that are
        // shared are not this process's to clear.
        match self.home.site().swap(None) {
            Some(state) if !state.is_shared && !state.is_far => {
                host(py, py.detach(|| state.cache.clear())).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Puts another cache in the place of this one, or none.
    fn put_aside(&self, instead: Option<&PutAside>) -> PutAside {
        let instead = instead.and_then(|instead| instead.state.lock().take());
        PutAside { state: Mutex::new(self.home.site().swap(instead)) }
    }

    /// Begins or ends a time in which cached functions call through.
    fn bypass(&self, begins: bool) {
        self.home.site().bypass(begins);
    }

    /// Invalidates tags and everything below them; returns the position, 0 if a batch will do it.
    #[pyo3(signature = (*tags))]
    fn invalidate(&self, py: Python<'_>, tags: &Bound<'_, PyTuple>) -> PyResult<u64> {
        let parsed = parse_all(tags, "invalidate")?;
        if batch::collect(py, &self.home, &parsed)? {
            return Ok(0);
        }
        self.with(py, |state| state.invalidate(py, &parsed).map(Timestamp::as_micros))
    }

    /// Begins a change: nothing that depends on the tags is served until its mark is settled.
    #[pyo3(signature = (timeout_ms, *tags))]
    fn change(&self, py: Python<'_>, timeout_ms: u64, tags: &Bound<'_, PyTuple>) -> PyResult<Mark> {
        let parsed = parse_all(tags, "changing")?;
        let state = self.home.owned(py)?;
        let timeout = Duration::from_millis(timeout_ms);
        let id = state
            .unlocked(py, || state.cache.change(&parsed, timeout))
            .map_err(|error| failure(py, &error, !state.is_shared))?;
        Ok(Mark::new(&self.home, state, id, parsed))
    }

    /// How many entries `invalidate(tag)` would make stale.
    fn affected(&self, py: Python<'_>, tag: &Bound<'_, PyAny>) -> PyResult<u64> {
        let tag = parse_tag(tag)?;
        // What `"*"` means to `invalidate`.
        let tag = if tag.depth() == 0 { Tag::root() } else { tag };
        // Without the interpreter lock, as everything whose time grows with the size of the cache.
        self.with(py, |state| {
            let count = || state.cache.affected(&tag);
            // Of a server's answers forks must know nothing half.
            Ok(if state.is_far { state.unlocked(py, count) } else { far::detach(py, count) })
        })
    }

    /// Does the cache know of the invalidation at `position`?
    #[pyo3(signature = (position, fetch=None))]
    fn has_reached(&self, py: Python<'_>, position: u64, fetch: Option<&Fetch>) -> PyResult<bool> {
        self.with(py, |state| {
            Ok(state.reading(py, fetch, || state.cache.has_reached(Timestamp::from_micros(position))))
        })
    }

    /// Does a server have to be asked now and then? Then the coroutines of `zoocache.Cache` do so in other threads.
    fn is_far(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |state| Ok(state.is_far))
    }

    /// Asks the server for those of `keys` that are not known here to be fresh, and if it `must` be asked or there
    /// are such, for what has changed. `None` without a server.
    #[pyo3(signature = (keys, must=false))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments are made of what Python gave")]
    fn ask(&self, py: Python<'_>, keys: Vec<Bound<'_, PyAny>>, must: bool) -> PyResult<Option<Fetch>> {
        let state = self.home.owned(py)?;
        if !state.is_far || self.home.site().is_bypassed() {
            return Ok(None);
        }
        let mut missing = Vec::new();
        for key in &keys {
            let key = key_text(key)?;
            if must || !matches!(state.near(|| state.cache.lookup(key.as_bytes())), Lookup::Hit(_)) {
                missing.push(key);
            }
        }
        Ok(Some(match (must, missing.is_empty()) {
            (true, _) => Fetch::now(&state, &missing),
            (false, false) => Fetch::of(&state, &missing, 0),
            (false, true) => Fetch::of_nothing(&state),
        }))
    }

    /// Do cached functions call through now?
    fn is_bypassed(&self) -> bool {
        self.home.site().is_bypassed()
    }

    /// Position of the latest invalidation that covers `tag`, 0 if there was none.
    fn get_tag_version(&self, py: Python<'_>, tag: &Bound<'_, PyAny>) -> PyResult<u64> {
        let tag = parse_tag(tag)?;
        self.with(py, |state| Ok(state.unlocked(py, || state.cache.latest(&tag)).as_micros()))
    }

    /// The fresh value under `key`, or `default`; `fetch` is what was asked for.
    #[pyo3(signature = (key, default=None, fetch=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        fetch: Option<&Fetch>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let key = key_text(key)?;
        if self.home.site().is_bypassed() {
            return Ok(default);
        }
        let state = &*self.home.owned(py)?;
        let stopwatch = state.stopwatch();
        state.keep_up(py);
        let found = state.reading(py, fetch, || state.cache.lookup(key.as_bytes()));
        if let Some(stopwatch) = &stopwatch {
            state.tell(py, None, Told::Looked(stopwatch))?;
        }
        match found {
            Lookup::Hit(_) if state.reading(py, fetch, || demand::is_unmet(py, &self.home, state))? => {
                state.cache.count(Count::Misses);
                state.tell(py, None, Told::Miss(Count::Misses))?;
                Ok(default)
            }
            Lookup::Hit(entry) => {
                state.cache.count(Count::Hits);
                state.tell(py, None, Told::Hit)?;
                state.cache.absorb(context::current(py)?.as_ref(), &entry);
                entry.value().hand_out(py).map(Some)
            }
            Lookup::Miss(why) => {
                state.cache.count(why);
                state.tell(py, None, Told::Miss(why))?;
                Ok(default)
            }
        }
    }

    /// Stores `value` under `key`.
    fn set(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        deps: &Bound<'_, PyAny>,
        ttl_ms: Option<u64>,
    ) -> PyResult<bool> {
        let key = key_text(key)?;
        let tags = parse_tags(deps)?;
        let stored = Value::store(value, CopyMode::Auto)?;
        if self.home.site().is_bypassed() {
            return Ok(false);
        }
        self.with(py, |state| {
            let policy = Policy::default().with_tags(tags).lifetime(state.lifetime(ttl_ms));
            let stopwatch = state.stopwatch();
            let is_stored = if state.is_shared {
                let bytes = shared::bytes_of(value, CopyMode::Auto)?;
                state.unlocked(py, || state.cache.put_encoded(key, stored, bytes, &policy))
            } else {
                state.unlocked(py, || state.cache.put(key, stored, &policy))
            };
            troubles::raised()?;
            if let Some(stopwatch) = &stopwatch {
                state.tell(py, None, Told::Stored(stopwatch))?;
            }
            Ok(is_stored)
        })
    }

    /// Removes one key; says whether a fresh entry was there.
    fn delete(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = key_text(key)?;
        self.with(py, |state| Ok(state.unlocked(py, || state.cache.delete(key))))
    }

    /// Makes every entry stale and frees them.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |state| {
            let cleared = far::detach(py, || state.cache.clear());
            state.troubles().log(py);
            state.told(py, &[Tag::root()], cleared).map(drop)
        })
    }

    /// Forgets tags that nothing needs and whose latest invalidation is old enough.
    fn prune(&self, py: Python<'_>, max_age_ms: u64) -> PyResult<usize> {
        // Without the interpreter lock, as everything whose time grows with the size of the cache.
        self.with(py, |state| Ok(far::detach(py, || state.cache.prune(Duration::from_millis(max_age_ms)))))
    }

    /// Frees what nobody will read again, now.
    fn sweep(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |state| Ok(far::detach(py, || state.cache.sweep())))
    }

    /// Calls `callback(tags, position)` after each invalidation, until that is cancelled.
    fn listen(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<Subscription> {
        if !callback.bind(py).is_callable() {
            let repr = callback.bind(py).repr()?;
            return Err(PyTypeError::new_err(format!("on_invalidate() needs a callable, not {repr}")));
        }
        self.with(py, |state| Ok(Subscription::new(state.listeners(), callback)))
    }
}

/// Raises what is wrong with `tags`, if anything is.
#[pyfunction]
pub(crate) fn check_tags(tags: &Bound<'_, PyAny>) -> PyResult<()> {
    parse_tags(tags).map(drop)
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
