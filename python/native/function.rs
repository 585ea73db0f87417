//! The cached function: a call from its arguments to the stored object, without a Python frame.
//!
//! A hit: encode the arguments into a key on the stack, look it up, hand out the object. Everything else
//! is in `miss.rs`. The object is immutable; what its Python attributes hold lives in its `__dict__`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use zoocache::lock::Mutex;
use zoocache::{Entry, Lookup, Tag};

use crate::arguments::{Call, Signature};
use crate::cache::NativeCache;
use crate::counters::FunctionCounters;
use crate::errors::invalid_tag;
use crate::far::Fetch;
use crate::imported::Imported;
use crate::keeping::Keeping;
use crate::key::KeyBuffer;
use crate::recent::{self, Place, Recent, Subject};
use crate::state::{self, Home, State};
use crate::telling::Told;
use crate::tolerant::{self, Tolerant};
use crate::value::Value;
use crate::{awaitable, bound, context, demand, miss, process, vectorcall};

/// What the decorator found out about a function; see `zoocache._decorate`.
#[derive(FromPyObject)]
struct Options<'py> {
    #[pyo3(attribute)]
    cache: Bound<'py, NativeCache>,
    #[pyo3(attribute)]
    identity: String,
    /// The same among processes, if that is another one.
    #[pyo3(attribute)]
    shared_identity: Option<String>,
    #[pyo3(attribute)]
    qualname: String,
    /// What telemetry calls the function.
    #[pyo3(attribute)]
    label: String,
    #[pyo3(attribute)]
    parameters: Bound<'py, PyAny>,
    #[pyo3(attribute)]
    ignore: Vec<String>,
    #[pyo3(attribute)]
    tag: String,
    #[pyo3(attribute)]
    static_deps: Vec<String>,
    #[pyo3(attribute)]
    deps: Option<Py<PyAny>>,
    #[pyo3(attribute)]
    deps_parameters: Option<Vec<String>>,
    /// A callable that makes the key of a call, and the parameters it wants.
    #[pyo3(attribute)]
    key: Option<Py<PyAny>>,
    #[pyo3(attribute)]
    key_parameters: Option<Vec<String>>,
    #[pyo3(attribute)]
    keeping: Keeping,
    #[pyo3(attribute)]
    tolerant: Option<Tolerant>,
    #[pyo3(attribute)]
    early_refresh: Option<f64>,
    #[pyo3(attribute)]
    is_async: bool,
    #[pyo3(attribute)]
    typed: bool,
    #[pyo3(attribute)]
    cluster_lock: bool,
}

/// How the dependencies of a call are found.
pub(crate) struct Dependencies {
    /// Known when the function was decorated, the function's own tag first.
    pub(crate) fixed: Vec<Tag>,
    /// A callable, and the parameters it wants (`None` for all).
    pub(crate) computed: Option<(Py<PyAny>, Option<Vec<String>>)>,
}

/// The Rust half of a cached function. `CachedFunction`, which users see, derives from it and adds the
/// vectorcall entry.
#[pyclass(frozen, subclass, dict, weakref, module = "zoocache._native")]
pub(crate) struct FunctionBase {
    /// Where its cache lives.
    pub(crate) home: Home,
    pub(crate) function: Py<PyAny>,
    pub(crate) signature: Signature,
    pub(crate) dependencies: Dependencies,
    pub(crate) counters: Arc<FunctionCounters>,
    pub(crate) keeping: Keeping,
    pub(crate) tolerant: Option<Tolerant>,
    pub(crate) is_async: bool,
    /// Whether one process computes a key at a time.
    pub(crate) cluster_lock: bool,
    /// The key up to the arguments: `module.qualname(`.
    prefix: Box<[u8]>,
    /// The same where processes share entries, if that is another one.
    shared_prefix: Option<Box<[u8]>>,
    recent: Mutex<Recent>,
    tag: Tag,
    /// Makes the key of a call instead of all its arguments.
    own_key: Option<(Py<PyAny>, Option<Vec<String>>)>,
    /// `beta` of [`zoocache::Entry::wants_refresh`].
    early_refresh: Option<f64>,
    /// Whether calls may be found by their argument objects alone.
    has_recent: bool,
    /// Whether it is known which classes the values of other processes may have.
    has_met_others: AtomicBool,
}

/// What a call turned out to be.
pub(crate) enum Keyed {
    Key,
    /// The arguments do not fit the signature: the function itself says so best.
    Misfit,
}

impl FunctionBase {
    /// Calls the function through the cache.
    #[inline]
    pub(crate) fn call<'py>(slf: Borrowed<'_, 'py, Self>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        if this.is_async {
            return awaitable::begin(slf, call);
        }
        if let Some(object) = this.recent_hit(call)? {
            return Ok(object);
        }
        if this.home.site().needs_care() {
            return Self::call_with_care(slf, call);
        }
        let mut key = KeyBuffer::new();
        if matches!(this.key_of(call, &mut key)?, Keyed::Misfit) {
            return call.through(this.function.bind(call.py)).map(Bound::unbind);
        }
        match Self::hit(slf, call, &key)? {
            Some(object) => Ok(object),
            None => Self::missed(slf, call, &key),
        }
    }

    /// Calls the function through a cache that is bypassed, or of whose hits somebody is told.
    #[cold]
    fn call_with_care<'py>(slf: Borrowed<'_, 'py, Self>, call: Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let mut key = KeyBuffer::new();
        if this.home.site().is_bypassed() || matches!(this.key_of(call, &mut key)?, Keyed::Misfit) {
            return call.through(this.function.bind(call.py)).map(Bound::unbind);
        }
        match Self::hit_with_care(slf, call, &key)? {
            Some(object) => Ok(object),
            None => Self::missed(slf, call, &key),
        }
    }

    /// [`hit`](Self::hit), of which somebody is told.
    #[cold]
    pub(crate) fn hit_with_care<'py>(
        slf: Borrowed<'_, 'py, Self>,
        call: Call<'_, 'py>,
        key: &[u8],
    ) -> PyResult<Option<Py<PyAny>>> {
        let state = slf.get().home.owned(call.py)?;
        Self::looked_up(slf, &state, call.py, || Self::hit(slf, call, key))
    }

    /// Tells of a lookup.
    fn looked_up(
        slf: Borrowed<'_, '_, Self>,
        state: &State,
        py: Python<'_>,
        look: impl FnOnce() -> PyResult<Option<Py<PyAny>>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let Some(stopwatch) = state.stopwatch() else { return look() };
        let found = look()?;
        let counters = Some(&*slf.get().counters);
        state.tell(py, counters, Told::Looked(&stopwatch))?;
        if found.is_some() {
            state.tell(py, counters, Told::Hit)?;
        }
        Ok(found)
    }

    #[cold]
    fn missed(slf: Borrowed<'_, '_, Self>, call: Call<'_, '_>, key: &[u8]) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let state = this.home.owned(call.py)?;
        // What need not be known of a hit is found out on the way to computing it.
        if state.is_far
            && (this.tolerant.is_some() || this.early_refresh.is_some())
            && let Some(object) = Self::far_hit(slf, &state, (key, call), None)?
        {
            return Ok(object);
        }
        match &this.tolerant {
            None => miss::compute(slf, &state, key, call),
            Some(tolerant) => tolerant::compute(slf, tolerant, &state, (key, call)),
        }
    }

    /// The object of a call that hit lately and is still fresh.
    #[inline]
    pub(crate) fn recent_hit(&self, call: Call<'_, '_>) -> PyResult<Option<Py<PyAny>>> {
        if !self.has_recent {
            return Ok(None);
        }
        if !self.needs_subject(call) {
            return self.recent_hit_at(call, Place::of(call, None));
        }
        match recent::subject(call)? {
            Some(subject) => self.recent_hit_at(call, Place::of(call, Some(&subject))),
            None => Ok(None),
        }
    }

    #[inline]
    fn recent_hit_at(&self, call: Call<'_, '_>, place: Option<Place<'_, '_>>) -> PyResult<Option<Py<PyAny>>> {
        let Some(place) = place else { return Ok(None) };
        let generation = self.home.site().generation();
        let Some(entry) = self.recent.lock().find(generation, call, place) else { return Ok(None) };
        let guard = self.home.state(call.py)?;
        let Some(state) = guard.as_ref() else { return Ok(None) };
        state.keep_up(call.py);
        if !state.near(|| state.cache.is_servable(&entry)) {
            return Ok(None);
        }
        if context::anybody_collects() {
            if state.near(|| demand::is_unmet(call.py, &self.home, state))? {
                return Ok(None);
            }
            state.cache.absorb(context::current(call.py)?.as_ref(), &entry);
        }
        self.hand_out(call.py, state, &entry).map(Some)
    }

    /// The fresh object under `key`, if it can be found without asking a server.
    #[inline]
    pub(crate) fn hit<'py>(
        slf: Borrowed<'_, 'py, Self>,
        call: Call<'_, 'py>,
        key: &[u8],
    ) -> PyResult<Option<Py<PyAny>>> {
        let this = slf.get();
        // What threads without the interpreter's lock wanted to release is released now and then.
        process::release_objects();
        let generation = this.home.site().generation();
        let guard = this.home.state(call.py)?;
        let Some(state) = guard.as_ref() else { return Err(state::gone()) };
        if state.is_shared {
            this.meet_others(call.py)?;
            state.keep_up(call.py);
        }
        let Lookup::Hit(entry) = state.near(|| state.cache.lookup(key)) else { return Ok(None) };
        if context::anybody_collects() && state.near(|| demand::is_unmet(call.py, &this.home, state))? {
            return Ok(None);
        }
        Self::serve(slf, state, call, (key, generation), &entry).map(Some)
    }

    /// The fresh object under `key`, of a cache of which a server knows more, or of what was fetched of that.
    #[cold]
    pub(crate) fn far_hit<'py>(
        slf: Borrowed<'_, 'py, Self>,
        state: &Arc<State>,
        (key, call): (&[u8], Call<'_, 'py>),
        fetch: Option<&Fetch>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let this = slf.get();
        Self::looked_up(slf, state, call.py, || {
            let generation = this.home.site().generation();
            let found = state.reading(call.py, fetch, || -> PyResult<_> {
                let Lookup::Hit(entry) = state.cache.lookup(key) else { return Ok(None) };
                let is_unmet = demand::is_unmet(call.py, &this.home, state)?;
                Ok(if is_unmet { None } else { Some(entry) })
            })?;
            found.map(|entry| Self::serve(slf, state, call, (key, generation), &entry)).transpose()
        })
    }

    #[inline]
    fn serve(
        slf: Borrowed<'_, '_, Self>,
        state: &Arc<State>,
        call: Call<'_, '_>,
        (key, generation): (&[u8], usize),
        entry: &Arc<Entry<Value>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        if context::anybody_collects() {
            state.cache.absorb(context::current(call.py)?.as_ref(), entry);
        }
        if this.has_recent {
            this.remember(call, key, (generation, state.long_way), entry)?;
        }
        if this.early_refresh.is_some_and(|beta| state.cache.wants_refresh(entry, beta)) {
            tolerant::begin_refresh(slf, state, (key, call), None)?;
        }
        this.hand_out(call.py, state, entry)
    }

    /// Before values of other processes are read: which classes may they be of?
    #[inline]
    fn meet_others(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_met_others.load(Ordering::Relaxed) { Ok(()) } else { self.meet_others_now(py) }
    }

    #[cold]
    fn meet_others_now(&self, py: Python<'_>) -> PyResult<()> {
        static MEET: Imported = Imported::new("zoocache._shared", "meet");
        let shared = self.shared_prefix.as_ref().map(|prefix| String::from_utf8_lossy(prefix).into_owned());
        MEET.get(py)?.call1((self.function.bind(py), self.name(py), shared))?;
        self.has_met_others.store(true, Ordering::Relaxed);
        Ok(())
    }

    #[inline]
    fn remember(
        &self,
        call: Call<'_, '_>,
        key: &[u8],
        (generation, long_way): (usize, u8),
        entry: &Arc<Entry<Value>>,
    ) -> PyResult<()> {
        let subject = if self.needs_subject(call) { self.subject_of(call, key)? } else { None };
        if let Some(place) = Place::of(call, subject.as_ref()) {
            let displaced = self.recent.lock().remember(generation, long_way, call, (place, entry));
            drop(displaced);
        }
        Ok(())
    }

    /// Must something stand for the first argument in the table of recent calls? An argument that may be
    /// ignored is not asked.
    #[inline]
    fn needs_subject(&self, call: Call<'_, '_>) -> bool {
        recent::needs_subject(call) && !self.signature.ignores_any()
    }

    /// What stands for the first argument, provided that `key` was made of it: the object may have changed
    /// since then.
    fn subject_of<'py>(&self, call: Call<'_, 'py>, key: &[u8]) -> PyResult<Option<Subject<'py>>> {
        let arguments = key.get(self.key_prefix().len()..).unwrap_or_default();
        match recent::subject(call)? {
            Some(subject) if subject.begins(arguments, self.signature.is_typed())? => Ok(Some(subject)),
            _ => Ok(None),
        }
    }

    #[inline]
    fn hand_out(&self, py: Python<'_>, state: &State, entry: &Entry<Value>) -> PyResult<Py<PyAny>> {
        self.counters.hit();
        state.hit();
        match entry.value().shared() {
            Some(object) => Ok(object.clone_ref(py)),
            None => entry.value().hand_out(py).map(Bound::unbind),
        }
    }

    #[inline]
    fn key_prefix(&self) -> &[u8] {
        match &self.shared_prefix {
            Some(prefix) if self.home.site().is_shared() => prefix,
            _ => &self.prefix,
        }
    }

    #[inline]
    pub(crate) fn key_of(&self, call: Call<'_, '_>, key: &mut KeyBuffer) -> PyResult<Keyed> {
        key.extend_from_slice(self.key_prefix());
        match &self.own_key {
            None if self.signature.encode_call(call, key)? => {}
            Some((callable, wanted)) => {
                let callable = callable.bind(call.py);
                match self.signature.call_with(callable, wanted.as_deref(), call)? {
                    Some(own) => self.signature.encode_own_key(&own, key)?,
                    None => return Ok(Keyed::Misfit),
                }
            }
            None => return Ok(Keyed::Misfit),
        }
        key.push(b')');
        Ok(Keyed::Key)
    }

    /// The key of a call that must fit the signature.
    pub(crate) fn key_or_error(&self, call: Call<'_, '_>) -> PyResult<KeyBuffer> {
        let mut key = KeyBuffer::new();
        match self.key_of(call, &mut key)? {
            Keyed::Key => Ok(key),
            Keyed::Misfit => Err(self.misfit(call)),
        }
    }

    /// The `TypeError` for arguments that do not fit, as `inspect.Signature.bind` words it.
    pub(crate) fn misfit(&self, call: Call<'_, '_>) -> PyErr {
        let py = call.py;
        let bound = py
            .import("inspect")
            .and_then(|inspect| inspect.call_method1("signature", (&self.function,)))
            .and_then(|signature| call.through(&signature.getattr("bind")?));
        match bound {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                PyTypeError::new_err(format!("{}(): {}", self.name(py), error.value(py)))
            }
            Err(error) => error,
            Ok(_) => PyTypeError::new_err("the arguments do not fit the function's signature"),
        }
    }

    fn name(&self, py: Python<'_>) -> String {
        let name = self.function.bind(py).getattr("__qualname__");
        name.map_or_else(|_| "the function".to_owned(), |name| name.to_string())
    }
}

impl FunctionBase {
    fn many_calls<'py>(
        slf: &Bound<'py, Self>,
        calls: &Bound<'py, PyAny>,
        limit: Option<&Bound<'py, PyAny>>,
        instance: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static MANY: Imported = Imported::new("zoocache._bulk", "many");
        let bound = PyTuple::new(slf.py(), instance)?;
        MANY.get(slf.py())?.call1((slf, calls, limit, bound))
    }
}

impl<'py> Call<'_, 'py> {
    /// Calls `function` with these arguments.
    pub(crate) fn through(self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (args, kwargs) = self.to_python()?;
        function.call(args, kwargs.as_ref())
    }
}

#[pymethods]
impl FunctionBase {
    #[new]
    fn new(function: Py<PyAny>, options: &Bound<'_, PyAny>) -> PyResult<Self> {
        let options: Options<'_> = options.extract().map_err(|error| no_options(options.py(), error))?;
        let parse = |tag: &String| Tag::parse(tag).map_err(|error| invalid_tag(&error));
        let tag = parse(&options.tag)?;
        let mut fixed = vec![tag.clone()];
        for dependency in &options.static_deps {
            fixed.push(parse(dependency)?);
        }
        let signature =
            Signature::new(&options.qualname, &options.parameters, &options.ignore, options.typed)?;
        // A key of one's own may depend on more than the arguments, and an early refresh asks at each hit.
        let has_recent =
            signature.has_stable_defaults() && options.key.is_none() && options.early_refresh.is_none();
        let prefix = |identity: String| format!("{identity}(").into_bytes().into_boxed_slice();
        Ok(Self {
            home: options.cache.get().home.clone(),
            signature,
            dependencies: Dependencies {
                fixed,
                computed: options.deps.map(|deps| (deps, options.deps_parameters)),
            },
            counters: options.cache.get().home.site().functions().add(&options.label),
            keeping: options.keeping,
            tolerant: options.tolerant,
            own_key: options.key.map(|key| (key, options.key_parameters)),
            early_refresh: options.early_refresh,
            has_recent,
            has_met_others: AtomicBool::new(false),
            prefix: prefix(options.identity),
            shared_prefix: options.shared_identity.map(prefix),
            recent: Mutex::new(Recent::new()),
            tag,
            is_async: options.is_async,
            cluster_lock: options.cluster_lock,
            function,
        })
    }

    /// The entry of `type.__call__` and of callers without vectorcall.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        miss::with_call(args, kwargs, |call| Self::call(slf.as_borrowed(), call))
    }

    /// Binds to an instance, as functions do.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<&Bound<'py, PyAny>>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match instance {
            None => Ok(slf.clone().into_any()),
            Some(instance) => bound::bind(slf, instance),
        }
    }

    /// The key of this call.
    #[pyo3(signature = (*args, **kwargs))]
    fn key(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<String> {
        let key = miss::with_call(args, kwargs, |call| slf.get().key_or_error(call))?;
        Ok(String::from_utf8_lossy(&key).into_owned())
    }

    /// Drops this call's entry; says whether a fresh one was there.
    #[pyo3(signature = (*args, **kwargs))]
    fn invalidate(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let key = miss::with_call(args, kwargs, |call| slf.get().key_or_error(call))?;
        let state = slf.get().home.owned(slf.py())?;
        Ok(state.unlocked(slf.py(), || state.cache.delete(&key)))
    }

    /// Calls the function itself: nothing is looked up and nothing is stored.
    #[pyo3(signature = (*args, **kwargs))]
    fn bypass<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().function.bind(slf.py()).call(args, kwargs)
    }

    /// Computes now, whatever is stored, and stores the result.
    #[pyo3(signature = (*args, **kwargs))]
    fn refresh<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        if slf.get().home.site().is_bypassed() {
            return Self::bypass(slf, args, kwargs).map(Bound::unbind);
        }
        miss::with_call(args, kwargs, |call| {
            if slf.get().is_async { awaitable::refresh(slf, call) } else { miss::refresh(slf, call) }
        })
    }

    /// The results of many calls, each given as a tuple or a dictionary of its arguments.
    #[pyo3(signature = (calls, *, limit=None))]
    fn many<'py>(
        slf: &Bound<'py, Self>,
        calls: &Bound<'py, PyAny>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::many_calls(slf, calls, limit, None)
    }

    /// The same for a method of `instance`.
    #[pyo3(signature = (instance, calls, *, limit=None))]
    fn _many_of<'py>(
        slf: &Bound<'py, Self>,
        instance: &Bound<'py, PyAny>,
        calls: &Bound<'py, PyAny>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::many_calls(slf, calls, limit, Some(instance))
    }

    /// Counters of this function, and how many fresh entries it has.
    ///
    /// O(all entries of the cache).
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let home = self.home.owned(py)?;
        let prefix = self.key_prefix();
        let entries = home.unlocked(py, || {
            let mut entries = 0_u64;
            home.cache.visit(&mut |key, fresh| entries += u64::from(fresh && key.starts_with(prefix)));
            entries
        });
        let stats = PyDict::new(py);
        self.counters.write_to(&stats)?;
        stats.set_item("entries", entries)?;
        Ok(stats)
    }

    /// The function itself.
    #[getter]
    fn __wrapped__(&self, py: Python<'_>) -> Py<PyAny> {
        self.function.clone_ref(py)
    }

    /// Pickled and copied by its name, as functions are.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("__qualname__")
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// `CachedFunction[[int], str]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        parameters: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.py().import("types")?.getattr("GenericAlias")?.call1((cls, parameters))
    }

    /// The implicit tag of all entries of this function.
    #[getter]
    fn tag(&self) -> String {
        self.tag.to_string()
    }

    /// The cache that it uses.
    #[getter]
    fn _cache(&self) -> NativeCache {
        NativeCache { home: self.home.clone() }
    }

    /// For `zoocache._bulk`: what a call has stored, or was fetched of it, or `default`.
    #[pyo3(signature = (default, args, kwargs, fetch=None))]
    fn _hit(
        slf: &Bound<'_, Self>,
        default: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        fetch: Option<&Fetch>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        miss::with_call(args, kwargs, |call| {
            if let Some(object) = this.recent_hit(call)? {
                return Ok(object);
            }
            let mut key = KeyBuffer::new();
            if this.home.site().is_bypassed() || matches!(this.key_of(call, &mut key)?, Keyed::Misfit) {
                return Ok(default);
            }
            let near = if this.home.site().needs_care() {
                Self::hit_with_care(slf.as_borrowed(), call, &key)
            } else {
                Self::hit(slf.as_borrowed(), call, &key)
            };
            let found = match (near?, fetch) {
                (None, Some(fetch)) => {
                    let state = this.home.owned(call.py)?;
                    Self::far_hit(slf.as_borrowed(), &state, (&key, call), Some(fetch))?
                }
                (found, _) => found,
            };
            Ok(found.unwrap_or(default))
        })
    }

    /// For `zoocache._bulk`: asks the server, if there is one, for the entries of calls.
    fn _fetch(
        slf: &Bound<'_, Self>,
        calls: Vec<(Bound<'_, PyTuple>, Option<Bound<'_, PyDict>>)>,
    ) -> PyResult<Option<Fetch>> {
        let state = slf.get().home.owned(slf.py())?;
        if !state.is_far {
            return Ok(None);
        }
        let key_of = |(args, kwargs): (Bound<'_, PyTuple>, Option<Bound<'_, PyDict>>)| {
            miss::with_call(&args, kwargs.as_ref(), |call| slf.get().key_or_error(call))
        };
        let keys: Vec<KeyBuffer> = calls.into_iter().map(key_of).collect::<PyResult<_>>()?;
        Ok(Some(if keys.is_empty() { Fetch::of_nothing(&state) } else { Fetch::of(&state, &keys, 0) }))
    }

    #[getter]
    fn _is_async(&self) -> bool {
        self.is_async
    }

    fn __repr__(&self) -> String {
        let name = String::from_utf8_lossy(&self.prefix[..self.prefix.len() - 1]).into_owned();
        format!("<cached {}function {name}>", if self.is_async { "async " } else { "" })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        for (callable, _) in self.dependencies.computed.iter().chain(&self.own_key) {
            visit.call(callable)?;
        }
        self.keeping.traverse(&visit)
    }
}

#[cold]
fn no_options(py: Python<'_>, cause: PyErr) -> PyErr {
    let error = PyTypeError::new_err("cached functions are made by zoocache.cacheable, not by their class");
    error.set_cause(py, Some(cause));
    error
}

/// Makes a cached function of `function`.
#[pyfunction]
pub(crate) fn cached_function<'py>(
    function: &Bound<'py, PyAny>,
    options: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    vectorcall::new_function(function, options)
}
