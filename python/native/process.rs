//! What happens to all caches of the process together: forks, and the interpreter's end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use zoocache::gate;
use zoocache::lock::Mutex;

use crate::state::State;

/// Whether the interpreter is shutting down: then no thread of a cache may ask for its lock.
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

/// The same for a thread that Python does not know.
pub(crate) fn release_objects_from_outside() {
    ATTACHING.fetch_add(1, Ordering::SeqCst);
    release_objects();
    ATTACHING.fetch_sub(1, Ordering::SeqCst);
}

/// To be called at exit: from now on no thread of a cache asks for the interpreter's lock.
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

/// Every cache of this process. Locked only with the interpreter lock held, so never during a fork.
static ALL: Mutex<Vec<Weak<State>>> = Mutex::new(Vec::new());

/// Notes a cache that must know of forks.
pub(crate) fn register(state: &Arc<State>) {
    let mut all = ALL.lock();
    all.retain(|state| state.strong_count() > 0);
    all.push(Arc::downgrade(state));
}

fn all() -> Vec<Arc<State>> {
    ALL.lock().iter().filter_map(Weak::upgrade).collect()
}

/// To be called before a fork: waits until no background work holds a lock.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(gate::close);
}

/// To be called in the parent after a fork.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    gate::open();
}

/// To be called in a forked child.
#[pyfunction]
pub(crate) fn after_fork() {
    // Whoever was attaching is not in this process.
    ATTACHING.store(0, Ordering::SeqCst);
    gate::forget();
    for state in all() {
        state.cache.after_fork();
    }
}
