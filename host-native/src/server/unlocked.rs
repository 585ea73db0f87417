//! Which threads wait for the lock of a key, and are woken when it is given back.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub(super) struct Unlocked {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What each waits for, and whether it was given back.
    threads: Vec<(Vec<u8>, bool)>,
}

impl Unlocked {
    /// Wakes those who wait for a lock.
    pub(super) fn tell(&self, lock: &[u8]) {
        for thread in self.state.lock().threads.iter_mut().filter(|(waited, _)| waited == lock) {
            thread.1 = true;
        }
        self.changed.notify_all();
    }

    /// Blocks until the lock is given back, or for `pause`.
    pub(super) fn wait(&self, lock: &[u8], pause: Duration) {
        let mut state = self.state.lock();
        state.threads.push((lock.to_vec(), false));
        let is_told = |state: &mut State| state.threads.iter().any(|(waited, told)| *told && waited == lock);
        self.changed.wait_while_for(&mut state, |state| !is_told(state), pause);
        // Those who wait for the same lock are told together, so it does not matter whose place it is.
        if let Some(place) = state.threads.iter().position(|(waited, _)| waited == lock) {
            state.threads.swap_remove(place);
        }
    }
}
