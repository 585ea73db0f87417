//! Which threads wait for the lock of a key, and are woken when it is given back.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};

#[derive(Default)]
pub(super) struct Unlocked {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Who waits, for what, and whether it was given back.
    threads: Vec<(u64, Vec<u8>, bool)>,
}

impl Unlocked {
    /// Wakes those who wait for a lock.
    pub(super) fn tell(&self, lock: &[u8]) {
        for thread in self.state.lock().threads.iter_mut().filter(|(_, waited, _)| waited == lock) {
            thread.2 = true;
        }
        self.changed.notify_all();
    }

    /// Blocks until the lock is given back, or for `pause`.
    pub(super) fn wait(&self, lock: &[u8], pause: Duration) {
        let mut state = self.state.lock();
        let own = state.next;
        state.next += 1;
        state.threads.push((own, lock.to_vec(), false));
        let is_told = |state: &mut State| state.threads.iter().any(|(who, _, told)| *who == own && *told);
        let mut state = self.changed.wait_while_for(state, |state| !is_told(state), pause);
        state.threads.retain(|(who, ..)| *who != own);
    }
}
