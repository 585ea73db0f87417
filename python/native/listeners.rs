//! What the host tells of, passed on to those who asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use zoocache::{Event, Observer, Tag};

use crate::process;

/// Who wants to know of invalidations.
#[derive(Default)]
pub(crate) struct Listeners {
    callbacks: Mutex<Vec<(u64, Arc<Py<PyAny>>)>>,
    count: AtomicUsize,
    next: AtomicU64,
}

impl Listeners {
    /// Adds a callback; the number removes it.
    pub(crate) fn add(&self, callback: Py<PyAny>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut callbacks = self.callbacks.lock();
        callbacks.push((number, Arc::new(callback)));
        self.count.store(callbacks.len(), Ordering::Release);
        number
    }

    /// Removes a callback; does nothing if it is gone.
    pub(crate) fn remove(&self, number: u64) {
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
            self.callbacks.lock().iter().map(|(_, callback)| Arc::clone(callback)).collect();
        let _ = Python::try_attach(|py| {
            let texts: Vec<String> = tags.iter().map(ToString::to_string).collect();
            for callback in callbacks {
                if let Err(error) = callback.call1(py, (texts.clone(), position)) {
                    // The invalidation has happened; who listens to it cannot undo it.
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            }
        });
    }
}

/// What the host tells of.
pub(crate) struct Watcher {
    listeners: Arc<Listeners>,
}

impl Watcher {
    pub(crate) fn new(listeners: &Arc<Listeners>) -> Self {
        Self { listeners: Arc::clone(listeners) }
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            // What a sweep in the background freed is released: its thread does not hold the
            // interpreter's lock.
            Event::Swept { .. } => process::release_objects_from_outside(),
            Event::Invalidated { tags, at } => self.listeners.tell(tags, at.as_micros()),
            _ => {}
        }
    }
}
