//! Waiting for a server: without the interpreter's lock, and in an event loop not at all.
//!
//! A thread lets go of the lock while it waits ([`let_go`]). A coroutine asks first ([`Fetch`]), is woken when the
//! answer is here, and then reads without a trip. The thread that receives answers never asks for the interpreter's
//! lock: it notes which have arrived and rings a [`Bell`], of which each event loop has one (`zoocache._far`).

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use zoocache::lock::Mutex;
use zoocache::{Error, Fill, Join, Prefetch, trips};

use crate::process;
use crate::state::State;
use crate::value::Value;

/// How often the same is asked for.
const MAX_ROUNDS: u8 = 4;
/// Longer than an answer takes that comes at all.
const LONGEST: Duration = Duration::from_secs(10);

/// Does something without the interpreter's lock, which may wait for a server.
pub(crate) fn detach<R: Send>(py: Python<'_>, body: impl FnOnce() -> R + Send) -> R {
    py.detach(|| trips::plainly(body))
}

/// Lets go of the interpreter's lock while a read waits for a server: the read holds no other.
pub(crate) fn let_go(wait: &mut dyn FnMut()) {
    struct Here<'a>(&'a mut dyn FnMut());
    #[expect(unsafe_code, reason = "it stays in this thread")]
    // SAFETY: `detach` runs what it is given in the same thread.
    unsafe impl Send for Here<'_> {}
    impl Here<'_> {
        fn run(self) {
            (self.0)();
        }
    }
    #[expect(
        unsafe_code,
        reason = "reads are made with the interpreter's lock, but are not handed its token"
    )]
    // SAFETY: `trips::around` is called with the lock held, and whatever gives it up meanwhile does so by
    // `detach`, in which this is not called.
    let py = unsafe { Python::assume_attached() };
    HAS_WAITED.set(true);
    let here = Here(wait);
    py.detach(move || here.run());
}

thread_local! {
    /// Has this thread waited for a server since this was cleared?
    static HAS_WAITED: Cell<bool> = const { Cell::new(false) };
}

/// Says also whether `read` has waited for a server.
pub(crate) fn noting_waits<R>(read: impl FnOnce() -> R) -> (R, bool) {
    let before = HAS_WAITED.replace(false);
    let result = read();
    let has_waited = HAS_WAITED.get();
    HAS_WAITED.set(before || has_waited);
    (result, has_waited)
}

/// Does in a thread of its own what nobody waits for, and what may have to wait for a server.
pub(crate) fn in_background(state: &Arc<State>, body: impl FnOnce() + Send + 'static) {
    let state = Arc::clone(state);
    let body = move || {
        {
            let _passed = zoocache::gate::pass();
            body();
            // It may be the last that has the cache.
            drop(state);
        }
        process::release_objects_from_outside();
    };
    // Without a thread it is dropped, here.
    let _ = std::thread::Builder::new().name("zoocache-unlock".to_owned()).spawn(body);
}

/// What was asked of the server for a read, which began then; nothing if there was nothing to ask for.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Fetch {
    state: Arc<State>,
    prefetch: Option<Prefetch>,
    /// How often the same was asked for before.
    pub(crate) round: u8,
    /// When it was asked for, if there are to be spans.
    began_us: Option<u64>,
}

impl Fetch {
    /// Asks for entries, and for what has changed, if that is not known well enough.
    pub(crate) fn of<K: AsRef<[u8]>>(state: &Arc<State>, keys: &[K], round: u8) -> Self {
        Self::new(state, state.cache.prefetch(keys), round)
    }

    /// Asks for entries, and for what has changed until now.
    pub(crate) fn now<K: AsRef<[u8]>>(state: &Arc<State>, keys: &[K]) -> Self {
        Self::new(state, state.cache.prefetch_now(keys), 0)
    }

    /// Of nothing.
    pub(crate) fn of_nothing(state: &Arc<State>) -> Self {
        Self::new(state, None, 0)
    }

    fn new(state: &Arc<State>, prefetch: Option<Prefetch>, round: u8) -> Self {
        let began_us = prefetch.as_ref().and_then(|_| state.trip_begins());
        Self { state: Arc::clone(state), prefetch, round, began_us }
    }

    /// Was it asked for this cache?
    pub(crate) fn is_of(&self, state: &State) -> bool {
        std::ptr::eq(&raw const *self.state, state)
    }

    /// Runs a read of what was fetched, without a trip.
    pub(crate) fn within<R>(&self, state: &State, read: impl FnOnce() -> R) -> R {
        match &self.prefetch {
            Some(prefetch) if self.is_of(state) => state.cache.within(prefetch, read),
            _ => trips::without(read),
        }
    }

    /// Joins those who want a key, by what was fetched of it; `None` if that has to be fetched anew.
    pub(crate) fn join(
        &self,
        state: &State,
        key: &[u8],
        (parent, second_round): (Option<&Arc<Fill>>, bool),
    ) -> Result<Option<Join<Value>>, Error> {
        match &self.prefetch {
            Some(prefetch) if self.is_of(state) && self.round < MAX_ROUNDS => {
                if state.cache.is_outdated(prefetch) {
                    return Ok(None);
                }
                state.cache.join_fetched(prefetch, key, parent, second_round)
            }
            _ => self.within(state, || state.cache.join(key, parent, second_round)).map(Some),
        }
    }
}

#[pymethods]
impl Fetch {
    /// Has it arrived? If not, `bell` is rung with `token` when it does.
    fn subscribe(&self, bell: &Bell, token: u64) -> bool {
        let Some(prefetch) = &self.prefetch else { return true };
        prefetch.is_ready() || {
            prefetch.poll_ready(&Waker::from(Arc::new(Ring { hears: Arc::clone(&bell.hears), token })))
        }
    }

    /// Blocks this thread until it has arrived.
    fn wait(&self, py: Python<'_>) {
        if let Some(prefetch) = self.prefetch.as_ref().filter(|prefetch| !prefetch.is_ready()) {
            py.detach(|| prefetch.wait(LONGEST));
        }
        self.waited(py);
    }

    /// Notes that its caller has waited until it arrived.
    fn waited(&self, py: Python<'_>) {
        self.state.trip_ended(py, self.began_us);
    }
}

/// What an event loop watches: readable when something has arrived.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Bell {
    watched: UnixStream,
    hears: Arc<Hears>,
}

/// The other side of a bell.
struct Hears {
    rung: UnixStream,
    arrived: Mutex<Vec<u64>>,
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let made = UnixStream::pair().and_then(|(watched, rung)| {
            watched.set_nonblocking(true)?;
            rung.set_nonblocking(true)?;
            Ok((watched, rung))
        });
        let (watched, rung) = made.map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { watched, hears: Arc::new(Hears { rung, arrived: Mutex::default() }) })
    }

    fn fileno(&self) -> i32 {
        self.watched.as_raw_fd()
    }

    /// The tokens of what has arrived since the last time.
    fn take(&self) -> Vec<u64> {
        // The bytes first: one that comes later says that there is more.
        let mut bytes = [0; 64];
        while (&self.watched).read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
        std::mem::take(&mut *self.hears.arrived.lock())
    }
}

struct Ring {
    hears: Arc<Hears>,
    token: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let is_first = {
            let mut arrived = self.hears.arrived.lock();
            arrived.push(self.token);
            arrived.len() == 1
        };
        if is_first {
            // If there is no room, there are bytes enough in it; if nobody watches any more, nobody waits.
            let _ = (&self.hears.rung).write(&[1]);
        }
    }
}
