//! Configured caches, and where each of them lives.
//!
//! What may have to wait for other processes, or for a server, is done without the interpreter's lock; how, the
//! methods of [`State`] say. A [`Site`] is what cached functions point to: the cache in it can be configured anew (`reset`), put
//! aside for a test, or bypassed, without the functions noticing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use pyo3::prelude::*;
use zoocache::{Builder, Cache, Consistency, Error, Lifetime, ServerError, Stopwatch, Tag, Timestamp, trips};

use crate::clock::StoppableClock;
use crate::counters::{FunctionCounters, Functions};
use crate::errors::{Class, failure, unsent};
use crate::far::{self, Fetch};
use crate::listeners::{Listeners, Watcher};
use crate::queued::Queued;
use crate::telling::{Spanner, Teller, Told, now_us};
use crate::troubles::Troubles;
use crate::value::Value;
use crate::{process, recent, shared};

/// What `configure` decides, checked by `zoocache._settings`.
#[derive(FromPyObject)]
pub(crate) struct Settings {
    /// The folder that processes share, if they do.
    #[pyo3(attribute)]
    folder: Option<PathBuf>,
    /// The application's own folder in it.
    #[pyo3(attribute)]
    application: Option<String>,
    /// The address of the server that machines share, if they do.
    #[pyo3(attribute)]
    server: Option<String>,
    /// The address of the server through which caches in memory invalidate each other, if they do.
    #[pyo3(attribute)]
    bus: Option<String>,
    /// What separates applications on a server.
    #[pyo3(attribute)]
    prefix: String,
    /// `None` if every read asks the server.
    #[pyo3(attribute)]
    max_staleness_ms: Option<u64>,
    #[pyo3(attribute)]
    near_entries: u64,
    #[pyo3(attribute)]
    map_bytes: Option<u64>,
    #[pyo3(attribute)]
    use_interval_ms: u64,
    #[pyo3(attribute)]
    secret: Option<Vec<u8>>,
    #[pyo3(attribute)]
    max_age_ms: Option<u64>,
    #[pyo3(attribute)]
    max_readers: Option<u32>,
    #[pyo3(attribute)]
    max_entries: Option<u64>,
    #[pyo3(attribute)]
    max_bytes: Option<u64>,
    #[pyo3(attribute)]
    default_ttl_ms: Option<u64>,
    #[pyo3(attribute)]
    read_extend_ttl: bool,
    #[pyo3(attribute)]
    flight_timeout_ms: u64,
    /// Whether it is measured how long things take.
    #[pyo3(attribute)]
    is_timed: bool,
    /// What the program's own telemetry is told by, if it is to be told; see `telling.rs`.
    #[pyo3(attribute)]
    telling: Option<Py<PyAny>>,
    /// What makes spans, if there are to be any.
    #[pyo3(attribute)]
    spanning: Option<Py<PyAny>>,
}

/// A configured cache.
pub(crate) struct State {
    pub(crate) cache: Cache<Value>,
    pub(crate) flight_timeout: Duration,
    /// Do entries rest outside of the process, as bytes?
    pub(crate) is_shared: bool,
    /// Is it a server that knows what others have invalidated?
    pub(crate) is_far: bool,
    /// How many hits in a row may bypass the storage: see `recent.rs`.
    pub(crate) long_way: u8,
    read_extend_ttl: bool,
    default_ttl_ms: Option<u64>,
    /// Hits that went past the host's own counters.
    hits: AtomicU64,
    listeners: Arc<Listeners>,
    troubles: Arc<Troubles>,
    pub(crate) queued: Queued,
    teller: Option<Teller>,
    pub(crate) spanner: Option<Spanner>,
}

impl State {
    pub(crate) fn new(py: Python<'_>, settings: &Settings) -> PyResult<Arc<Self>> {
        let troubles = Arc::new(Troubles::of(if settings.bus.is_some() { "bus" } else { "storage" }));
        let mut builder = Cache::builder()
            .flight_timeout(Duration::from_millis(settings.flight_timeout_ms))
            .clock(Arc::new(StoppableClock))
            .observer(Arc::new(Watcher::new(&troubles)));
        if settings.is_timed {
            builder = builder.timings();
        }
        if let Some(entries) = settings.max_entries {
            builder = builder.max_entries(entries);
        }
        if let Some(bytes) = settings.max_bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(folder) = &settings.folder {
            builder = shared_in(builder, folder.clone(), settings);
        }
        if let Some(address) = &settings.server {
            builder = shared_on(builder, address, settings);
        }
        if let Some(address) = &settings.bus {
            builder = on_server(builder.bus(address), settings);
        }
        let read_extend_ttl = settings.read_extend_ttl;
        let lifetime = Lifetime { ttl_ms: settings.default_ttl_ms, extend_on_hit: read_extend_ttl };
        let builder = builder.default_lifetime(lifetime);
        // It may wait for other processes.
        let cache =
            py.detach(|| builder.build()).map_err(|error| failure(py, &error, settings.bus.is_some()))?;
        troubles.log(py);
        let teller = settings.telling.as_ref().map(|telling| Teller(telling.clone_ref(py)));
        let state = Arc::new(Self {
            cache,
            flight_timeout: Duration::from_millis(settings.flight_timeout_ms),
            is_shared: settings.folder.is_some() || settings.server.is_some(),
            is_far: settings.server.is_some() || settings.bus.is_some(),
            // Recent calls are found past everybody who could be told.
            long_way: if teller.is_some() { 0 } else { recent::long_way(settings.max_entries) },
            read_extend_ttl,
            default_ttl_ms: settings.default_ttl_ms,
            hits: AtomicU64::new(0),
            listeners: Arc::default(),
            troubles,
            queued: Queued::default(),
            teller,
            spanner: settings.spanning.as_ref().map(|spanning| Spanner(spanning.clone_ref(py))),
        });
        process::register(&state);
        Ok(state)
    }

    /// The lifetime of an entry whose `ttl` is `ttl_ms`; `None` means the cache's default.
    pub(crate) fn lifetime(&self, ttl_ms: Option<u64>) -> Lifetime {
        Lifetime { ttl_ms: ttl_ms.or(self.default_ttl_ms), extend_on_hit: self.read_extend_ttl }
    }

    /// Counts a hit. A load and a store: the interpreter lock orders them, and a count lost without it
    /// would be no harm.
    #[inline]
    pub(crate) fn hit(&self) {
        self.hits.store(self.hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Hits counted by [`hit`](Self::hit).
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Starts a stopwatch if somebody wants to be told how long something takes.
    pub(crate) fn stopwatch(&self) -> Option<Stopwatch> {
        self.teller.is_some().then(Stopwatch::start)
    }

    /// Tells the program's own telemetry what happened to a call of `function`, or to an operation that is of none.
    /// To be called with nothing locked, and by nobody for whose computation others wait: it runs foreign code.
    ///
    /// # Errors
    /// What is no business of telemetry's, such as Ctrl-C.
    #[inline]
    pub(crate) fn tell(
        &self,
        py: Python<'_>,
        function: Option<&FunctionCounters>,
        what: Told<'_>,
    ) -> PyResult<()> {
        match &self.teller {
            None => Ok(()),
            Some(teller) => teller.tell(py, function, what),
        }
    }

    /// The same for what ends with another exception anyway, or must not end with one.
    pub(crate) fn tell_at_last(&self, py: Python<'_>, function: Option<&FunctionCounters>, what: Told<'_>) {
        if let Err(error) = self.tell(py, function, what) {
            error.write_unraisable(py, None);
        }
    }

    /// When a trip to a server begins, if there are to be spans.
    pub(crate) fn trip_begins(&self) -> Option<u64> {
        (self.is_far && self.spanner.is_some()).then(now_us)
    }

    /// Makes the span of a trip that began then. Foreign code runs here, with nothing locked.
    pub(crate) fn trip_ended(&self, py: Python<'_>, began_us: Option<u64>) {
        if let (Some(spanner), Some(began_us)) = (&self.spanner, began_us) {
            spanner.past(py, "zoocache.storage", began_us);
        }
    }

    pub(crate) fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Does what may have to wait for other processes, without the interpreter's lock; what went wrong is
    /// logged afterwards. In memory nothing waits, and it is done at once.
    #[inline]
    pub(crate) fn unlocked<R: Send>(&self, py: Python<'_>, body: impl FnOnce() -> R + Send) -> R {
        if self.is_shared || self.is_far { self.detached(py, body) } else { body() }
    }

    #[cold]
    fn detached<R: Send>(&self, py: Python<'_>, body: impl FnOnce() -> R + Send) -> R {
        let began_us = self.trip_begins();
        let result = far::detach(py, || {
            // A child would inherit the locks that are taken here.
            let _passed = zoocache::gate::pass();
            body()
        });
        process::release_objects();
        self.troubles.log(py);
        self.trip_ended(py, began_us);
        result
    }

    /// To be called before a read, which may have to wait for other processes of the machine: it does not, then,
    /// with the interpreter's lock.
    #[inline]
    pub(crate) fn keep_up(&self, py: Python<'_>) {
        if self.is_shared && !self.is_far && self.cache.would_wait() {
            self.detached(py, || self.cache.keep_up());
        }
    }

    /// Reads what is known without asking a server: what is not, is a miss.
    #[inline]
    pub(crate) fn near<R>(&self, read: impl FnOnce() -> R) -> R {
        if self.is_far { trips::without(read) } else { read() }
    }

    /// Reads what is known, and for the rest what was fetched, if anything was; else a server is asked, without the
    /// interpreter's lock.
    #[inline]
    pub(crate) fn reading<R>(&self, py: Python<'_>, fetch: Option<&Fetch>, read: impl FnOnce() -> R) -> R {
        if self.is_far { self.reading_far(py, fetch, read) } else { read() }
    }

    fn reading_far<R>(&self, py: Python<'_>, fetch: Option<&Fetch>, read: impl FnOnce() -> R) -> R {
        let began_us = self.trip_begins();
        let (result, has_waited) = match fetch {
            Some(fetch) => (fetch.within(self, read), false),
            None => far::noting_waits(|| trips::around(far::let_go, read)),
        };
        self.troubles.log(py);
        self.trip_ended(py, began_us.filter(|_| has_waited));
        result
    }

    /// Invalidates tags, and tells the listeners.
    pub(crate) fn invalidate(&self, py: Python<'_>, tags: &[Tag]) -> PyResult<Timestamp> {
        let invalidated = self.unlocked(py, || self.cache.invalidate_tags(tags));
        self.told(py, tags, invalidated)
    }

    /// Tells the listeners what became of an invalidation.
    ///
    /// # Errors
    /// `Unsent` if it holds in this process only until now.
    pub(crate) fn told(
        &self,
        py: Python<'_>,
        tags: &[Tag],
        invalidated: Result<Timestamp, Error>,
    ) -> PyResult<Timestamp> {
        match invalidated {
            Ok(at) => {
                self.listeners.tell(tags, at.as_micros());
                self.tell(py, None, Told::Invalidation)?;
                Ok(at)
            }
            Err(error @ Error::Server(ServerError::Queued { .. })) => {
                let at = self.cache.position().as_micros();
                self.troubles.note(error.to_string());
                self.troubles.log(py);
                self.listeners.tell(tags, at);
                self.tell(py, None, Told::Invalidation)?;
                Err(unsent(py, &error, at, !self.is_shared))
            }
            Err(error) => Err(failure(py, &error, !self.is_shared)),
        }
    }
}

fn on_server(builder: Builder<Value>, settings: &Settings) -> Builder<Value> {
    let consistency = match settings.max_staleness_ms {
        Some(ms) => Consistency::Bounded(Duration::from_millis(ms)),
        None => Consistency::Strong,
    };
    builder.prefix(&settings.prefix).consistency(consistency)
}

fn shared_on(builder: Builder<Value>, address: &str, settings: &Settings) -> Builder<Value> {
    on_server(kept(builder.redis(address, shared::Codec), settings), settings)
}

/// What folders and servers have in common.
fn kept(builder: Builder<Value>, settings: &Settings) -> Builder<Value> {
    let mut builder = builder
        .near_entries(settings.near_entries)
        .use_interval(Duration::from_millis(settings.use_interval_ms));
    if let Some(secret) = &settings.secret {
        builder = builder.secret(secret);
    }
    if let Some(max_age_ms) = settings.max_age_ms {
        builder = builder.max_age(Duration::from_millis(max_age_ms));
    }
    builder
}

fn shared_in(builder: Builder<Value>, mut folder: PathBuf, settings: &Settings) -> Builder<Value> {
    if let Some(application) = &settings.application {
        // If it cannot be made, opening what lies in it says why.
        let _ = std::fs::create_dir(&folder);
        folder.push(application);
    }
    let mut builder = kept(builder.lmdb(folder, shared::Codec), settings);
    if let Some(map_bytes) = settings.map_bytes {
        builder = builder.map_bytes(map_bytes);
    }
    if let Some(readers) = settings.max_readers {
        builder = builder.max_readers(readers);
    }
    builder
}

/// Where a cache lives.
pub(crate) struct Site {
    state: ArcSwapOption<State>,
    /// Is the cache that is here shared with other processes?
    is_shared: AtomicBool,
    /// Raised with every change of `state`, so that what was remembered of the cache before is not used.
    generation: AtomicUsize,
    /// Blocks of code that want the cache bypassed; and [`TOLD`], if somebody is told of hits.
    bypasses: AtomicUsize,
    functions: Functions,
}

/// Beside the number of bypasses.
const TOLD: usize = 1 << (usize::BITS - 1);

/// The site of the module functions' cache.
static DEFAULT: Site = Site::empty();

impl Site {
    const fn empty() -> Self {
        Self {
            state: ArcSwapOption::const_empty(),
            is_shared: AtomicBool::new(false),
            generation: AtomicUsize::new(1),
            bypasses: AtomicUsize::new(0),
            functions: Functions::new(),
        }
    }

    /// Which configuration the cache has.
    #[inline]
    pub(crate) fn generation(&self) -> usize {
        self.generation.load(Ordering::Acquire)
    }

    /// Should functions call through, as if there were no cache?
    #[inline]
    pub(crate) fn is_bypassed(&self) -> bool {
        self.bypasses.load(Ordering::Relaxed) & !TOLD != 0
    }

    /// Is the cache bypassed, or somebody told of hits? One look at the same place tells both.
    #[inline]
    pub(crate) fn needs_care(&self) -> bool {
        self.bypasses.load(Ordering::Relaxed) != 0
    }

    /// The functions that use the cache.
    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Begins or ends a bypass.
    pub(crate) fn bypass(&self, begins: bool) {
        if begins {
            self.bypasses.fetch_add(1, Ordering::SeqCst);
        } else {
            self.bypasses.fetch_sub(1, Ordering::SeqCst);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Puts a cache here, or none; returns what was here.
    pub(crate) fn swap(&self, state: Option<Arc<State>>) -> Option<Arc<State>> {
        self.is_shared.store(state.as_ref().is_some_and(|state| state.is_shared), Ordering::Release);
        if state.as_ref().is_some_and(|state| state.teller.is_some()) {
            self.bypasses.fetch_or(TOLD, Ordering::SeqCst);
        } else {
            self.bypasses.fetch_and(!TOLD, Ordering::SeqCst);
        }
        let before = self.state.swap(state);
        self.generation.fetch_add(1, Ordering::AcqRel);
        before
    }

    /// Do keys have to mean the same in other processes?
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Acquire)
    }

    /// The cache that is here, if any.
    pub(crate) fn present(&self) -> Option<Arc<State>> {
        self.state.load_full()
    }
}

/// A site that functions and `NativeCache` objects share.
#[derive(Clone)]
pub(crate) enum Home {
    Default,
    Own(Arc<Site>),
}

impl Home {
    /// A new site for a cache.
    pub(crate) fn new(state: Arc<State>) -> Self {
        let site = Site::empty();
        site.swap(Some(state));
        Self::Own(Arc::new(site))
    }

    #[inline]
    pub(crate) fn site(&self) -> &Site {
        match self {
            Self::Default => &DEFAULT,
            Self::Own(site) => site,
        }
    }

    /// Do both mean the same cache?
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.site(), other.site())
    }

    /// The cache; the default one is configured with the defaults at its first use.
    #[inline]
    pub(crate) fn state(&self, py: Python<'_>) -> PyResult<Guard<Option<Arc<State>>>> {
        let guard = self.site().state.load();
        if guard.is_some() { Ok(guard) } else { self.first_use(py) }
    }

    #[cold]
    fn first_use(&self, py: Python<'_>) -> PyResult<Guard<Option<Arc<State>>>> {
        match self {
            Self::Default => {
                py.import("zoocache._settings")?.getattr("configure")?.call0()?;
                Ok(self.site().state.load())
            }
            Self::Own(_) => Err(Class::Cache.err("this cache is closed; make another Cache(...)")),
        }
    }

    /// The cache, for operations that may run Python code, which may call `reset`.
    pub(crate) fn owned(&self, py: Python<'_>) -> PyResult<Arc<State>> {
        self.state(py)?.as_ref().map(Arc::clone).ok_or_else(gone)
    }
}

#[cold]
pub(crate) fn gone() -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("the cache was reset while it was being configured")
}
