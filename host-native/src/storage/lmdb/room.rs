//! Making room: what has to go for a row that is to be stored, and what to do when there is none.

use std::sync::atomic::Ordering;

use heed::{MdbError, RwTxn};

use super::places::evict_oldest;
use super::{LmdbStorage, META, PLACES};
use crate::error::Error;
use crate::folder::{FolderError, LEAST_MAP_PAGES, Rooms, seal};

/// Rows that go at a time when the map or the disk is full; fewer if there is no room to say that so many go.
const EVICT_STEPS: [u64; 3] = [64, 8, 1];
/// Pages of the map that no row takes: evicting needs some, and what it frees is free two commits later.
const SPARE_PAGES: u64 = 64;
/// Commits after the last eviction until all that was freed can be used, and what is left lies side by side.
const IDLE_COMMITS: usize = 16;
/// Pages of an environment without rows.
const EMPTY_PAGES: u64 = 8;

impl LmdbStorage {
    /// Makes room for `bytes` more, and so many pages, in one more row.
    pub(super) fn make_room(
        &self,
        rooms: &Rooms,
        txn: &mut RwTxn<'_>,
        (bytes, pages): (u64, u64),
    ) -> heed::Result<u64> {
        let entries = &rooms.entries;
        let (meta, places) = (entries.table(META), entries.table(PLACES));
        let max_entries = self.limits.max_entries.unwrap_or(u64::MAX);
        let max_bytes = self.limits.max_bytes.unwrap_or(u64::MAX);
        let max_pages = entries.most_pages();
        let mut evicted = 0;
        while places.len(txn)? >= max_entries
            || seal::number(meta, txn, b"bytes")?.unwrap_or(0).saturating_add(bytes) > max_bytes
            || entries.used_pages(txn)? + pages + SPARE_PAGES > max_pages
        {
            if !evict_oldest(rooms, txn)? {
                break;
            }
            evicted += 1;
        }
        Ok(evicted)
    }

    /// What the map must have for a row, if it has less.
    pub(super) fn too_small(&self, rooms: &Rooms, row_bytes: u64) -> Option<FolderError> {
        let entries = &rooms.entries;
        let pages =
            (row_bytes.div_ceil(entries.page_bytes()) + 1 + EMPTY_PAGES + SPARE_PAGES).max(LEAST_MAP_PAGES);
        let needed = pages * entries.page_bytes();
        // The least map is made even if less was asked for.
        let map_bytes = entries.map_bytes().min(self.map_bytes.unwrap_or(u64::MAX));
        let path = || self.folder.path().display().to_string();
        (needed > map_bytes).then(|| FolderError::TooSmall { path: path(), map_bytes, needed })
    }

    /// Stores a row by `try_put`; as long as it finds no room, others go.
    pub(super) fn with_room<R>(
        &self,
        rooms: &Rooms,
        row_bytes: u64,
        mut try_put: impl FnMut() -> heed::Result<R>,
    ) -> Result<R, Error> {
        let mut idle = 0;
        loop {
            let error = match try_put() {
                Ok(stored) => return Ok(stored),
                Err(error) => error,
            };
            let full = rooms.entries.error(&error);
            if !matches!(full, FolderError::Full { .. }) {
                return Err(full.into());
            }
            // What was evicted may lie apart, so more may have to go.
            idle += usize::from(self.evict(rooms)? == 0);
            if idle > IDLE_COMMITS {
                return Err(match error {
                    heed::Error::Mdb(MdbError::MapFull) => self.outgrown(rooms, row_bytes).into(),
                    _ => full.into(),
                });
            }
        }
    }

    /// Of a row that finds no room though the map is large enough by its numbers: what is left lies in its midst.
    fn outgrown(&self, rooms: &Rooms, row_bytes: u64) -> FolderError {
        let map_bytes = rooms.entries.map_bytes();
        let path = self.folder.path().display().to_string();
        FolderError::TooSmall { path, map_bytes, needed: map_bytes.saturating_add(row_bytes) }
    }

    /// Evicts a few rows, for the pages they leave; says how many. They can be used again if there is room to say so.
    fn evict(&self, rooms: &Rooms) -> Result<u64, FolderError> {
        let mut result = Ok(0);
        for step in EVICT_STEPS {
            result = rooms.entries.write(|txn| {
                let mut evicted = 0;
                while evicted < step && evict_oldest(rooms, txn)? {
                    evicted += 1;
                }
                if evicted == 0 {
                    // A commit all the same.
                    let meta = rooms.entries.table(META);
                    seal::put(meta, txn, b"turn", &(txn.id() as u64).to_be_bytes())?;
                }
                Ok(evicted)
            });
            if !matches!(result, Err(FolderError::Full { .. })) {
                break;
            }
        }
        self.evicted.fetch_add(*result.as_ref().unwrap_or(&0), Ordering::Relaxed);
        result
    }
}
