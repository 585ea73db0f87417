//! What the environment of the entries holds: rows, with what `host-native/src/storage/lmdb` keeps in indexes, and locks.

use std::collections::BTreeMap;

use zoocache::storage::{Found, Lease, NewRow, Row, Use};
use zoocache_core::Header;

use super::env::Draft;
use crate::world::{Place, World};

/// One part in so many of all rows is young.
const YOUNG_SHARE: u64 = 4;
/// How long a row whose time to idle is over stays.
const LINGER_US: u64 = 120_000_000;
/// So much later than this process another one may have read the same clock.
const SLACK_US: u64 = 1_000_000;

#[derive(Clone, Default)]
pub(super) struct Entries {
    pub(super) rows: BTreeMap<Vec<u8>, Stored>,
    last_age: u64,
    pub(super) locks: BTreeMap<Vec<u8>, Held>,
}

/// A row, and its place in the indexes.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) header: Header,
    idle_us: u64,
    /// When its time runs out; 0 for never.
    expires_us: u64,
    payload: Vec<u8>,
    age: u64,
}

/// A lock that is held.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) owner: Place,
    pub(super) token: u64,
    since_us: u64,
    deadline_us: u64,
}

impl Held {
    pub(super) fn new(owner: Place, lease: &Lease) -> Self {
        Self { owner, token: lease.token, since_us: lease.now_us, deadline_us: lease.deadline_us }
    }

    /// A clock that was put back keeps no lock.
    pub(super) fn holds(&self, world: &World, now_us: u64) -> bool {
        now_us < self.deadline_us
            && self.since_us <= now_us.saturating_add(SLACK_US)
            && !world.is_dead(self.owner)
    }
}

impl Stored {
    fn row(&self) -> Row {
        Row {
            number: self.number,
            header: self.header.clone(),
            idle_us: self.idle_us,
            expires_us: self.expires_us,
            payload: self.payload.clone(),
        }
    }

    /// May it be removed, as its time is over?
    fn is_over(&self, now_us: u64) -> bool {
        let linger_us = if self.idle_us == 0 { 0 } else { LINGER_US };
        self.expires_us != 0 && self.expires_us.saturating_add(linger_us) <= now_us
    }

    /// When its time runs out after a use.
    fn extended(&self, used_us: u64, now_us: u64) -> u64 {
        if self.idle_us == 0 {
            return self.expires_us;
        }
        let bound_us = if self.header.expires_us == 0 { u64::MAX } else { self.header.expires_us };
        let extended = used_us.min(now_us).saturating_add(self.idle_us).min(bound_us);
        let latest = now_us.saturating_add(self.idle_us).saturating_add(SLACK_US);
        if self.expires_us > latest { extended } else { extended.max(self.expires_us) }
    }
}

impl Entries {
    pub(super) fn found(&self, key: &[u8]) -> Found {
        self.rows.get(key).map_or(Found::Nothing, |stored| Found::Row(stored.row()))
    }

    /// Keys of rows whose time is over.
    pub(super) fn over(&self, now_us: u64, many: usize) -> Vec<Vec<u8>> {
        let over = self.rows.iter().filter(|(_, stored)| stored.is_over(now_us));
        over.take(many).map(|(key, _)| key.clone()).collect()
    }

    /// The token of somebody else who holds the lock of a key.
    pub(super) fn holder(&self, world: &World, key: &[u8], lease: &Lease) -> Option<u64> {
        let held = self.locks.get(key).filter(|held| held.token != lease.token);
        held.filter(|held| held.holds(world, lease.now_us)).map(|held| held.token)
    }

    /// The age from which on a row is young.
    fn young_from(&self) -> u64 {
        let young = (self.rows.len() as u64 / YOUNG_SHARE).max(1);
        self.last_age.saturating_sub(young) + 1
    }

    /// Would a use of a row change anything?
    fn is_moved(&self, used: &Use, now_us: u64) -> bool {
        self.rows.get(&*used.key).is_some_and(|stored| {
            stored.age < self.young_from() || stored.extended(used.used_us, now_us) != stored.expires_us
        })
    }

    pub(super) fn are_moved(&self, uses: &[Use], now_us: u64) -> bool {
        uses.iter().any(|used| self.is_moved(used, now_us))
    }
}

/// Stores a row in the place of an earlier one, and evicts others if there are too many.
pub(super) fn put(draft: &mut Draft<Entries>, key: &[u8], row: &NewRow<'_>, max_entries: Option<u64>) {
    let number = draft.number;
    let entries = &mut **draft;
    entries.rows.remove(key);
    while max_entries.is_some_and(|most| entries.rows.len() as u64 >= most) {
        let oldest = entries.rows.iter().min_by_key(|(_, stored)| stored.age).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { break };
        entries.rows.remove(&oldest);
    }
    entries.last_age += 1;
    let bound_us = row.header.expires_us;
    let idle_us = row.header.created_us.saturating_add(row.idle_us);
    let expires_us = match (row.idle_us, bound_us) {
        (0, bound_us) => bound_us,
        (_, 0) => idle_us,
        (_, bound_us) => idle_us.min(bound_us),
    };
    let stored = Stored {
        number,
        header: row.header.clone(),
        idle_us: row.idle_us,
        expires_us,
        payload: row.payload.to_vec(),
        age: entries.last_age,
    };
    entries.rows.insert(key.to_vec(), stored);
}

/// Gives a lock back, unless somebody has taken it over.
pub(super) fn unlock(draft: &mut Draft<Entries>, key: &[u8], (owner, token): (Place, u64)) {
    if draft.locks.get(key).is_some_and(|held| (held.owner, held.token) == (owner, token)) {
        draft.locks.remove(key);
    }
}

/// Notes that rows were used.
pub(super) fn touch(draft: &mut Draft<Entries>, uses: &[Use], now_us: u64) {
    let young_from = draft.young_from();
    let entries = &mut **draft;
    for used in uses {
        let Some(stored) = entries.rows.get_mut(&*used.key) else { continue };
        if stored.age < young_from {
            entries.last_age += 1;
            stored.age = entries.last_age;
        }
        stored.expires_us = stored.extended(used.used_us, now_us);
    }
}
