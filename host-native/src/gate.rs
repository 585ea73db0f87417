//! Lets work that takes locks through, except while the process forks: in the child nobody would ever release a lock
//! that such work holds.
//!
//! One for the process, not for each cache: locks of libraries are not a cache's, and a thread may free the last of a
//! cache that nobody else knows any more.

use std::cell::Cell;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

// Nobody forks in a simulation, and the threads of several share this.
use crate::lock::{Condvar, Mutex};

static GATE: ArcSwapOption<Gate> = ArcSwapOption::const_empty();

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Work that is going on.
    passing: usize,
    /// Forks that are going on.
    forks: usize,
}

fn gate() -> Arc<Gate> {
    GATE.load_full().unwrap_or_else(|| {
        let new = Arc::<Gate>::default();
        let before = GATE.compare_and_swap(&None::<Arc<Gate>>, Some(Arc::clone(&new)));
        (*before).as_ref().map_or(new, Arc::clone)
    })
}

/// To be called before a fork, by the thread that forks: waits until no work is going on, and lets none begin until
/// [`open`], or [`forget`] in the child.
pub fn close() {
    let gate = gate();
    let mut state = gate.state.lock();
    state.forks += 1;
    // What this thread itself is in the middle of does not end before the fork.
    let own = PASSES.get();
    drop(gate.changed.wait_while(state, |state| state.passing > own));
}

/// To be called in the parent after a fork.
pub fn open() {
    let gate = gate();
    gate.state.lock().forks -= 1;
    gate.changed.notify_all();
}

/// To be called in a forked child: whoever waited at the gate is not here.
pub fn forget() {
    // The old gate is not touched again, not even to free it: threads of the parent wait there.
    std::mem::forget(GATE.swap(None));
}

/// Waits until no fork is going on; none begins while what it returns lives.
pub fn pass() -> Passed {
    let gate = gate();
    let mut state = gate.state.lock();
    // Who has passed already (a value that is dropped, an observer) may not be kept waiting: the fork waits for it.
    if PASSES.get() == 0 {
        state = gate.changed.wait_while(state, |state| state.forks > 0);
    }
    state.passing += 1;
    drop(state);
    PASSES.set(PASSES.get() + 1);
    Passed(gate)
}

thread_local! {
    /// How often this thread has passed the gate and not left it yet.
    static PASSES: Cell<usize> = const { Cell::new(0) };
}

/// Work that is going on.
#[must_use = "the work ends when it is dropped"]
pub struct Passed(Arc<Gate>);

impl Drop for Passed {
    fn drop(&mut self) {
        PASSES.set(PASSES.get() - 1);
        self.0.state.lock().passing -= 1;
        self.0.changed.notify_all();
    }
}
