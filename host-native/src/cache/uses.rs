//! Telling of uses where entries rest, in the background: a hit writes nothing there.
//!
//! A hit on an entry of the near cache marks it. What is read from below is noted by its key, since the near cache
//! need not keep it. Now and then the sweeper tells of both, so that what somebody uses is evicted late and, if
//! it has a time to idle, lives on for all. A use that is lost (too many, an eviction, a crash) costs a
//! computation at most.

use std::collections::HashMap;

use crate::sync::Mutex;

use super::resting::Resting;
use super::{Cache, Now};
use crate::entry::Entry;
use crate::error::Error;
use crate::storage::{Storage, Use};

/// Keys that are noted between two times of telling; what is read beyond goes unnoticed.
const MAX_KEYS: usize = 16_384;

/// Uses that are to be told.
pub(super) struct Uses {
    interval_ms: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told_ms: Option<u64>,
    /// What was read from below.
    keys: Keys,
}

/// When each key was used, and the clock's milliseconds until which it then lives, if it has a time to idle; else 0.
type Keys = HashMap<Box<[u8]>, (u64, u64), crate::hash::RandomState>;

impl Uses {
    pub(super) fn new(interval_ms: u64) -> Self {
        Self { interval_ms, state: Mutex::default() }
    }

    /// Notes a read from below.
    pub(super) fn note(&self, key: &[u8], now_us: u64, lives_until_ms: u64) {
        let mut state = self.state.lock();
        if let Some(used) = state.keys.get_mut(key) {
            *used = (now_us, lives_until_ms);
        } else if state.keys.len() < MAX_KEYS {
            state.keys.insert(Box::from(key), (now_us, lives_until_ms));
        }
    }

    /// What was noted, if it is time to tell.
    fn due(&self, now_ms: u64) -> Option<Keys> {
        let mut state = self.state.lock();
        if state.told_ms.is_some_and(|told_ms| now_ms.saturating_sub(told_ms) < self.interval_ms) {
            return None;
        }
        state.told_ms = Some(now_ms);
        Some(std::mem::take(&mut state.keys))
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// Tells the rows below what was used here, if it is time to.
    pub(super) fn tell_uses(&self, resting: &Resting<V>, now: Now) -> Result<(), Error> {
        let Some(mut uses) = resting.uses.due(now.monotonic_ms) else { return Ok(()) };
        self.shared.parts.storage.visit(&mut |key, entry| {
            if let Some(used_ms) = entry.take_use(now.monotonic_ms) {
                let ago_us = now.monotonic_ms.saturating_sub(used_ms).saturating_mul(1_000);
                let (used_us, until_ms) = uses.entry(Box::from(key)).or_default();
                *used_us = now.wall_us.saturating_sub(ago_us).max(*used_us);
                *until_ms = lives_until_ms(entry).max(*until_ms);
            }
        });
        if uses.is_empty() {
            return Ok(());
        }
        let uses = uses.into_iter().map(|(key, (used_us, until_ms))| Use {
            key,
            used_us,
            left_ms: until_ms.saturating_sub(now.monotonic_ms),
        });
        let uses: Vec<_> = uses.collect();
        resting.rows.touch(&uses, now.wall_us)
    }
}

/// Until when an entry with a time to idle lives, if it is not used again; else 0.
pub(super) fn lives_until_ms<V>(entry: &Entry<V>) -> u64 {
    if entry.idle_ms() == 0 { 0 } else { entry.expires_ms().unwrap_or(0) }
}
