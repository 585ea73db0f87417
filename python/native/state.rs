//! Configured caches, and where each of them lives.
//!
//! A [`Site`] is what cached functions point to: the cache in it can be configured anew (`reset`), put
//! aside for a test, or bypassed, without the functions noticing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use pyo3::prelude::*;
use zoocache::{Cache, Lifetime};

use crate::clock::StoppableClock;
use crate::errors::{Class, from_host};
use crate::listeners::{Listeners, Watcher};
use crate::queued::Queued;
use crate::value::Value;
use crate::{process, recent};

/// What `configure` decides, checked by `zoocache._settings`.
#[derive(Debug, Clone, Copy, FromPyObject)]
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
    default_ttl_ms: Option<u64>,
    /// Hits that went past the host's own counters.
    hits: AtomicU64,
    listeners: Arc<Listeners>,
    pub(crate) queued: Queued,
}

impl State {
    pub(crate) fn new(py: Python<'_>, settings: &Settings) -> PyResult<Arc<Self>> {
        let listeners = Arc::new(Listeners::default());
        let mut builder = Cache::builder()
            .flight_timeout(Duration::from_millis(settings.flight_timeout_ms))
            .clock(Arc::new(StoppableClock))
            .observer(Arc::new(Watcher::new(&listeners)));
        if let Some(entries) = settings.max_entries {
            builder = builder.max_entries(entries);
        }
        let read_extend_ttl = settings.read_extend_ttl;
        let lifetime = Lifetime { ttl_ms: settings.default_ttl_ms, extend_on_hit: read_extend_ttl };
        let cache = builder.default_lifetime(lifetime).build().map_err(|error| from_host(py, &error))?;
        let state = Arc::new(Self {
            cache,
            flight_timeout: Duration::from_millis(settings.flight_timeout_ms),
            long_way: recent::long_way(settings.max_entries),
            read_extend_ttl,
            default_ttl_ms: settings.default_ttl_ms,
            hits: AtomicU64::new(0),
            listeners,
            queued: Queued::default(),
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

    pub(crate) fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }
}

/// Where a cache lives.
pub(crate) struct Site {
    state: ArcSwapOption<State>,
    /// Raised with every change of `state`, so that what was remembered of the cache before is not used.
    generation: AtomicUsize,
    /// Blocks of code that want the cache bypassed.
    bypasses: AtomicUsize,
}

/// The site of the module functions' cache.
static DEFAULT: Site = Site::empty();

impl Site {
    const fn empty() -> Self {
        Self {
            state: ArcSwapOption::const_empty(),
            generation: AtomicUsize::new(1),
            bypasses: AtomicUsize::new(0),
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
        self.bypasses.load(Ordering::Relaxed) != 0
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
        let before = self.state.swap(state);
        self.generation.fetch_add(1, Ordering::AcqRel);
        before
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
        site.state.store(Some(state));
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
