//! The rows of a folder: what `host-native/src/storage/lmdb/mod.rs` does, in the same steps.

use std::ops::Bound;
use std::sync::Mutex;

use zoocache::Error;
use zoocache::simulation::step;
use zoocache::storage::{Admission, Found, Lease, NewRow, Row, Rows, StorageStats, Use};
use zoocache_core::Header;

use super::entries::{Entries, Held, Stored, put, touch, unlock};
use super::env::{Access, Snapshot};
use super::{Handle, Room, alive, hold};

/// Rows that one transaction of the sweeper looks at.
const SWEEP_STEP: usize = 1;
/// Rows that one call of the sweeper looks at beside those that expired.
const SWEEP_ROWS: usize = 2;
/// How often room is looked for where there is none.
const ATTEMPTS: usize = 2;

pub(crate) struct FolderRows {
    handle: Handle,
    max_entries: Option<u64>,
    /// Where the sweeper goes on.
    swept_to: Mutex<Vec<u8>>,
}

impl FolderRows {
    pub(crate) fn new(handle: Handle, max_entries: Option<u64>) -> Self {
        Self { handle, max_entries, swept_to: Mutex::default() }
    }

    fn entries(&self) -> Access<'_, Entries> {
        self.handle.entries()
    }

    fn try_put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error> {
        self.entries().write(|draft| {
            let current = draft.found(key).row();
            if admits(current.as_ref(), draft.number) == Admission::Refused {
                return Ok(false);
            }
            put(draft, key, row, self.max_entries);
            if row.unlocks != 0 {
                unlock(draft, key, (self.handle.place, row.unlocks));
            }
            Ok(true)
        })
    }

    fn sweep_locks(&self, now_us: u64) -> Result<(), Error> {
        let (world, entries) = (alive(self.handle.place)?, self.entries().read()?);
        let over = entries.locks.iter().filter(|(_, held)| !held.holds(&world, now_us));
        let over: Vec<_> = over.map(|(key, held)| (key.clone(), held.clone())).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.entries().write(|draft| {
            for (key, held) in &over {
                if draft.locks.get(key) == Some(held) {
                    draft.locks.remove(key);
                }
            }
            Ok(())
        })
    }

    fn expire(&self, now_us: u64) -> Result<usize, Error> {
        let mut removed = 0;
        while !self.entries().read()?.over(now_us, SWEEP_STEP).is_empty() {
            removed += self.entries().write(|draft| {
                let due = draft.over(now_us, SWEEP_STEP);
                for key in &due {
                    draft.rows.remove(key);
                }
                Ok(due.len())
            })?;
        }
        Ok(removed)
    }

    /// Looks at some rows; says where it stopped, and removes those that are dead.
    fn sweep_some(&self, from: &[u8], is_dead: &dyn Fn(&Stored) -> bool) -> Result<(usize, Vec<u8>), Error> {
        let entries = self.entries().read()?;
        let (some, end) = some_after(&entries, from);
        let dead = some.iter().filter_map(|key| entries.rows.get(key).map(|stored| (key, stored)));
        let dead = dead.filter(|(_, stored)| is_dead(stored));
        let dead: Vec<_> = dead.map(|(key, stored)| (key, stored.number)).collect();
        if dead.is_empty() {
            return Ok((0, end));
        }
        let removed = self.entries().write(|draft| {
            let mut removed = 0;
            for (key, number) in &dead {
                // Another may have been stored there meanwhile.
                if draft.rows.get(*key).is_some_and(|stored| stored.number == *number) {
                    draft.rows.remove(*key);
                    removed += 1;
                }
            }
            Ok(removed)
        })?;
        Ok((removed, end))
    }
}

/// Some keys after one, and the last of them; empty if there are no more.
fn some_after(entries: &Snapshot<Entries>, from: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let start = if from.is_empty() { Bound::Unbounded } else { Bound::Excluded(from) };
    let rows = entries.rows.range::<[u8], _>((start, Bound::Unbounded));
    let some: Vec<_> = rows.take(SWEEP_STEP).map(|(key, _)| key.clone()).collect();
    let end = some.last().filter(|_| some.len() == SWEEP_STEP).cloned();
    (some, end.unwrap_or_default())
}

impl Rows for FolderRows {
    fn number(&self) -> u64 {
        // Of a snapshot: what is only seen may not be readable yet.
        self.entries().read().map_or(0, |entries| entries.number)
    }

    fn get(&self, key: &[u8]) -> Result<Found, Error> {
        let found = self.entries().read()?.found(key);
        step();
        Ok(found)
    }

    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error> {
        let mut result = self.try_put(key, row, admits);
        for _ in 1..ATTEMPTS {
            if result.is_ok() || !self.handle.is_full(Room::Entries) {
                break;
            }
            result = self.try_put(key, row, admits);
        }
        result
    }

    fn delete(&self, key: &[u8], tell: &mut dyn FnMut(u64) -> bool) -> Result<Option<Row>, Error> {
        self.entries().write(|draft| {
            // Inside the transaction also if there is no row: nobody stores one in between.
            if !tell(draft.number) {
                return Ok(None);
            }
            let row = draft.found(key).row();
            if row.is_some() {
                draft.rows.remove(key);
            }
            Ok(row)
        })
    }

    fn touch(&self, uses: &[Use], now_us: u64) -> Result<(), Error> {
        if !self.entries().read()?.are_moved(uses, now_us) {
            return Ok(());
        }
        self.entries().write(|draft| {
            touch(draft, uses, now_us);
            Ok(())
        })
    }

    fn lock(&self, key: &[u8], lease: &Lease) -> Result<Option<u64>, Error> {
        let world = alive(self.handle.place)?;
        let held = self.entries().read()?.holder(&world, key, lease);
        if held.is_some() {
            return Ok(held);
        }
        self.entries().write(|draft| {
            let held = draft.holder(&world, key, lease);
            if held.is_none() {
                draft.locks.insert(key.to_vec(), Held::new(self.handle.place, lease));
            }
            Ok(held)
        })
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Error> {
        self.entries().write(|draft| {
            unlock(draft, key, (self.handle.place, token));
            Ok(())
        })
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Row)) -> Result<(), Error> {
        let mut from = Vec::new();
        loop {
            let entries = self.entries().read()?;
            let (some, end) = some_after(&entries, &from);
            for key in some {
                if let Some(row) = entries.found(&key).row() {
                    visit(&key, &row);
                }
            }
            if end.is_empty() {
                return Ok(());
            }
            from = end;
        }
    }

    fn clear(&self, last: u64) -> Result<(), Error> {
        let is_all = self.entries().write(|draft| {
            let is_all = draft.number == last + 1;
            if is_all {
                draft.rows.clear();
            }
            Ok(is_all)
        })?;
        if is_all {
            return Ok(());
        }
        let mut from = Vec::new();
        loop {
            (_, from) = self.sweep_some(&from, &|stored| stored.number <= last)?;
            if from.is_empty() {
                return Ok(());
            }
        }
    }

    fn sweep(&self, now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error> {
        self.sweep_locks(now_us)?;
        let mut removed = self.expire(now_us)?;
        let mut from = std::mem::take(&mut *hold(&self.swept_to));
        for _ in 0..SWEEP_ROWS / SWEEP_STEP {
            let (some, end) = self.sweep_some(&from, &|stored| is_dead(&stored.header))?;
            removed += some;
            from = end;
            if from.is_empty() {
                break;
            }
        }
        *hold(&self.swept_to) = from;
        Ok(removed)
    }

    fn stats(&self) -> Option<StorageStats> {
        None
    }
}
