//! What the host tells of, passed on to those who asked.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};
use zoocache::lock::Mutex;
use zoocache::{Error, Event, FolderError, Observer, Tag};

use crate::troubles::Troubles;
use crate::{process, troubles};

/// Who wants to know of invalidations.
#[derive(Default)]
pub(crate) struct Listeners {
    callbacks: Mutex<Vec<(u64, Arc<Py<PyAny>>)>>,
    count: AtomicUsize,
}

/// Names the callbacks of all caches.
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Callbacks that this thread is running. They are not told of what they invalidate themselves.
    static RUNNING: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A callback that is running.
struct Turn;

impl Turn {
    /// `None` if the callback is running already.
    fn of(number: u64) -> Option<Self> {
        RUNNING.with_borrow_mut(|running| {
            if running.contains(&number) {
                return None;
            }
            running.push(number);
            Some(Self)
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

impl Listeners {
    /// Adds a callback; the number removes it.
    fn add(&self, callback: Py<PyAny>) -> u64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut callbacks = self.callbacks.lock();
        callbacks.push((number, Arc::new(callback)));
        self.count.store(callbacks.len(), Ordering::Release);
        number
    }

    /// Removes a callback; does nothing if it is gone.
    fn remove(&self, number: u64) {
        let mut callbacks = self.callbacks.lock();
        let found = callbacks.iter().position(|(own, _)| *own == number);
        let removed = found.map(|index| callbacks.remove(index));
        self.count.store(callbacks.len(), Ordering::Release);
        drop(callbacks);
        // Outside the lock: dropping it may run Python code.
        drop(removed);
    }

    /// Calls every callback with the texts of `tags` and the position of their invalidation.
    pub(crate) fn tell(&self, tags: &[Tag], position: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let callbacks: Vec<_> =
            self.callbacks.lock().iter().map(|(own, callback)| (*own, Arc::clone(callback))).collect();
        let _ = Python::try_attach(|py| {
            let texts: Vec<String> = tags.iter().map(text).collect();
            for (number, callback) in callbacks {
                let Some(_turn) = Turn::of(number) else { continue };
                if let Err(error) = callback.call1(py, (texts.clone(), position)) {
                    // The invalidation has happened; who listens to it cannot undo it.
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            }
        });
    }
}

/// The tag as `invalidate` takes it: the root has no text of its own.
fn text(tag: &Tag) -> String {
    if tag.depth() == 0 { "*".to_owned() } else { tag.to_string() }
}

/// Takes note of what the host tells of. Listeners are told by those who invalidate: callbacks must not keep
/// forks waiting.
pub(crate) struct Watcher {
    troubles: Arc<Troubles>,
}

impl Watcher {
    pub(crate) fn new(troubles: &Arc<Troubles>) -> Self {
        Self { troubles: Arc::clone(troubles) }
    }

    fn storage_failed(&self, error: &(dyn std::error::Error + 'static)) {
        match error.downcast_ref() {
            Some(Error::Folder(FolderError::TooSmall { map_bytes, needed, .. })) => {
                troubles::raise_later(format!(
                    "LMDB storage is full: this entry needs a map of {needed} bytes, and it has {map_bytes}; \
                     give lmdb_map_size at least {needed}, or cache less under one key"
                ));
            }
            _ => self.troubles.note(error.to_string()),
        }
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            // What a sweep in the background freed is released: its thread does not hold the
            // interpreter's lock.
            Event::Swept { .. } => process::release_objects_from_outside(),
            Event::StorageFailed { error } => self.storage_failed(*error),
            Event::StartedOver { cause } => self.troubles.note_start(cause),
            _ => {}
        }
    }
}

/// A callback that is told of invalidations, until it is cancelled.
#[pyclass(frozen, module = "zoocache")]
pub(crate) struct Subscription {
    /// Weak: callbacks may refer to their subscription.
    listeners: Weak<Listeners>,
    number: u64,
}

impl Subscription {
    pub(crate) fn new(listeners: &Arc<Listeners>, callback: Py<PyAny>) -> Self {
        Self { number: listeners.add(callback), listeners: Arc::downgrade(listeners) }
    }
}

#[pymethods]
impl Subscription {
    /// Ends it: the callback is not called again. Does nothing if it has ended.
    fn cancel(&self) {
        if let Some(listeners) = self.listeners.upgrade() {
            listeners.remove(self.number);
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) {
        self.cancel();
    }
}
