//! Entries that the processes of one machine share, in the `entries` environment of a folder.
//!
//! ```text
//! meta        format, bytes in use, last age
//! rows        hash of the key → checksum, number, the key, the envelope
//! places      hash of the key → age, expiry, bytes, time to idle and its bound: what the indexes say of it
//! by_age      age, hash: the oldest is evicted first
//! by_expiry   when it may be removed, hash: of those that expire
//! locks       hash of the key → owner, token, deadline: who computes it
//! ```
//! Rows of `meta` and `places` are sealed. Numbers in `rows` are little-endian, in keys big-endian. Invariant: a row, its place and its indexes change
//! in one transaction, so no crash leaves one without the other. A hit writes nothing: uses are told now and
//! then (`touch.rs`), and make a row young again. A row that is damaged or of a later format is a miss.

mod locks;
mod owner;
mod places;
mod room;
mod row;
mod sweep;
mod touch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heed::MdbError;
use zoocache_core::Header;

use super::{Admission, Found, Glimpse, Lease, Limits, NewRow, Row, Rows, StorageStats, Use, envelope};
use crate::codec::Secret;
use crate::error::Error;
use crate::folder::{Folder, FolderError, Reading, Rooms, seal};
use crate::lock::Mutex;

use locks::{lock, sweep_locks, unlock};
use places::{Hash, Place, insert, last_age, place_of, remove, set_last_age};
use row::{key_of, number_of, read, row_bytes, write};
use sweep::{Part, expire, rows_after, sweep_some};
use touch::touch;

/// The format of the tables. Another one is refused.
const FORMAT: u64 = 2;
/// Rows that one transaction of the sweeper looks at: a writer waits no longer than that takes.
const SWEEP_STEP: usize = 256;
/// Rows that one call of the sweeper looks at beside those that expired.
const SWEEP_ROWS: usize = 4_096;
/// LMDB stores no more under one key.
const MAX_ROW_BYTES: u64 = u32::MAX as u64;
/// Bytes that a row occupies beside its own: places, indexes, half-filled pages.
const BOOKKEEPING_BYTES: u64 = 256;

const META: usize = 0;
const ROWS: usize = 1;
const PLACES: usize = 2;
const BY_AGE: usize = 3;
const BY_EXPIRY: usize = 4;
const LOCKS: usize = 5;

/// Entries in an LMDB folder.
pub(crate) struct LmdbStorage {
    folder: Arc<Folder>,
    limits: Limits,
    /// What the map was to have, if that was said.
    map_bytes: Option<u64>,
    /// What authenticates envelopes.
    secret: Option<Secret>,
    evicted: AtomicU64,
    /// Where the sweeper goes on.
    swept_to: Mutex<Vec<u8>>,
}

impl LmdbStorage {
    /// The entries of a folder.
    pub(crate) fn open(
        folder: Arc<Folder>,
        limits: Limits,
        map_bytes: Option<u64>,
        secret: Option<Secret>,
    ) -> Result<Self, FolderError> {
        let rooms = folder.rooms()?;
        let meta = rooms.entries.table(META);
        let found = rooms.entries.write(|txn| {
            let found = seal::number(meta, txn, b"format")?;
            if found.is_none() {
                seal::put(meta, txn, b"format", &FORMAT.to_be_bytes())?;
            }
            Ok(found.unwrap_or(FORMAT))
        })?;
        if found != FORMAT {
            let path = folder.path().display().to_string();
            return Err(FolderError::Newer { path, found, readable: FORMAT });
        }
        let (evicted, swept_to) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { folder, limits, map_bytes, secret, evicted, swept_to })
    }

    /// The row of a key, with the expiry that its uses have given it.
    fn row_of(&self, rooms: &Rooms, txn: &Reading<'_>, key: &[u8], hash: &Hash) -> heed::Result<Found> {
        let Some(bytes) = rooms.entries.table(ROWS).get(txn, hash)? else { return Ok(Found::Nothing) };
        let Some(mut row) = read(bytes, Some(key), self.secret.as_ref()) else { return Ok(Found::Rejected) };
        if row.idle_us != 0
            && let Some(place) = place_of(rooms, txn, hash)?
        {
            row.expires_us = place.expires_us;
        }
        Ok(Found::Row(row))
    }

    /// Some rows after a hash, and the last hash; none of what cannot be read.
    fn some_rows(&self, rooms: &Rooms, txn: &Reading<'_>, from: &[u8]) -> heed::Result<Part<(Vec<u8>, Row)>> {
        let mut some = Vec::new();
        let (taken, end) = rows_after(rooms, txn, from)?;
        for (hash, bytes) in taken {
            let Some(key) = key_of(bytes) else { continue };
            if let Found::Row(row) = self.row_of(rooms, txn, key, &hash)? {
                some.push((key.to_vec(), row));
            }
        }
        Ok((some, end))
    }

    fn try_put(
        &self,
        rooms: &Rooms,
        new: &Prepared<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> heed::Result<Option<u64>> {
        rooms.entries.try_write(|txn| {
            let current = self.row_of(rooms, txn, new.key, &new.hash)?.row();
            if admits(current.as_ref(), txn.id() as u64) == Admission::Refused {
                return Ok(None);
            }
            remove(rooms, txn, &new.hash)?;
            let pages = new.place.bytes / rooms.entries.page_bytes() + 1;
            let evicted = self.make_room(rooms, txn, (new.place.bytes, pages))?;
            let age = last_age(rooms, txn)? + 1;
            set_last_age(rooms, txn, age)?;
            let row = write(txn.id() as u64, new.key, &new.envelope);
            insert(rooms, txn, &new.hash, Place { age, ..new.place }, &row)?;
            if new.unlocks != 0 {
                unlock(rooms, txn, &new.hash, new.unlocks)?;
            }
            Ok(Some(evicted))
        })
    }
}

/// A row whose bytes are made.
struct Prepared<'a> {
    key: &'a [u8],
    hash: Hash,
    envelope: Vec<u8>,
    /// But for its age.
    place: Place,
    /// The token of a lock that is given back.
    unlocks: u64,
}

impl<'a> Prepared<'a> {
    fn new(key: &'a [u8], row: &NewRow<'_>, envelope: Vec<u8>) -> Self {
        let bound_us = row.header.expires_us;
        let expires_us = match (row.idle_us, bound_us) {
            (0, bound_us) => bound_us,
            (idle_us, 0) => row.header.created_us.saturating_add(idle_us),
            (idle_us, bound_us) => row.header.created_us.saturating_add(idle_us).min(bound_us),
        };
        let bytes = room_of(key, &envelope);
        let place = Place { age: 0, expires_us, bytes, idle_us: row.idle_us, bound_us };
        Self { key, hash: *blake3::hash(key).as_bytes(), envelope, place, unlocks: row.unlocks }
    }
}

impl Rows for LmdbStorage {
    fn number(&self) -> u64 {
        // Not the number that is seen, whose commit may not be readable yet: who took that for the beginning of a
        // computation would miss the row, and then take it for older than the computation.
        let number = self.folder.rooms().and_then(|rooms| rooms.entries.read(|txn| Ok(txn.id() as u64)));
        number.unwrap_or(0)
    }

    fn get(&self, key: &[u8]) -> Result<Found, Error> {
        let rooms = self.folder.rooms()?;
        let hash = *blake3::hash(key).as_bytes();
        Ok(rooms.entries.read(|txn| self.row_of(&rooms, txn, key, &hash))?)
    }

    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error> {
        let rooms = self.folder.rooms()?;
        let path = || self.folder.path().display().to_string();
        let envelope = envelope::seal(key, row, self.secret.as_ref())
            .map_err(|error| FolderError::Failed { path: path(), cause: error.to_string() })?;
        let new = Prepared::new(key, row, envelope);
        if self.limits.max_bytes.is_some_and(|max_bytes| new.place.bytes > max_bytes) {
            return Ok(false);
        }
        let row_bytes = row_bytes(key, &new.envelope);
        if row_bytes > MAX_ROW_BYTES {
            return Err(rooms.entries.error(&heed::Error::Mdb(MdbError::BadValSize)).into());
        }
        if let Some(error) = self.too_small(&rooms, row_bytes) {
            return Err(error.into());
        }
        let stored = self.with_room(&rooms, row_bytes, || self.try_put(&rooms, &new, admits))?;
        self.evicted.fetch_add(stored.unwrap_or(0), Ordering::Relaxed);
        Ok(stored.is_some())
    }

    fn delete(&self, key: &[u8], tell: &mut dyn FnMut(u64) -> bool) -> Result<Option<Row>, Error> {
        let rooms = self.folder.rooms()?;
        let hash = *blake3::hash(key).as_bytes();
        Ok(rooms.entries.write(|txn| {
            // Inside the transaction also if there is no row: nobody stores one in between.
            if !tell(txn.id() as u64) {
                return Ok(None);
            }
            let row = self.row_of(&rooms, txn, key, &hash)?.row();
            remove(&rooms, txn, &hash)?;
            Ok(row)
        })?)
    }

    fn touch(&self, uses: &[Use], now_us: u64) -> Result<(), Error> {
        Ok(touch(&*self.folder.rooms()?, uses, now_us)?)
    }

    fn lock(&self, key: &[u8], lease: &Lease) -> Result<Option<u64>, Error> {
        Ok(lock(&*self.folder.rooms()?, blake3::hash(key).as_bytes(), lease)?)
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Error> {
        let rooms = self.folder.rooms()?;
        Ok(rooms.entries.write(|txn| unlock(&rooms, txn, blake3::hash(key).as_bytes(), token))?)
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Row)) -> Result<(), Error> {
        let rooms = self.folder.rooms()?;
        let mut from = Vec::new();
        loop {
            // No transaction is open while foreign code runs.
            let (some, end) = rooms.entries.read(|txn| self.some_rows(&rooms, txn, &from))?;
            for (key, row) in &some {
                visit(key, row);
            }
            if end.is_empty() {
                return Ok(());
            }
            from = end;
        }
    }

    fn clear(&self, last: u64) -> Result<(), Error> {
        let rooms = self.folder.rooms()?;
        let is_all = rooms.entries.write(|txn| {
            if txn.id() as u64 != last + 1 {
                return Ok(false);
            }
            [ROWS, PLACES, BY_AGE, BY_EXPIRY]
                .into_iter()
                .try_for_each(|table| rooms.entries.table(table).clear(txn))?;
            seal::put(rooms.entries.table(META), txn, b"bytes", &0_u64.to_be_bytes())?;
            Ok(true)
        })?;
        if is_all {
            return Ok(());
        }
        let mut from = Vec::new();
        loop {
            (_, from) = sweep_some(&rooms, &from, &|bytes| number_of(bytes) <= last)?;
            if from.is_empty() {
                return Ok(());
            }
        }
    }

    fn sweep(&self, now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error> {
        let rooms = self.folder.rooms()?;
        rooms.entries.forget_the_dead();
        sweep_locks(&rooms, now_us)?;
        let mut removed = expire(&rooms, now_us)?;
        let is_dead = |bytes: &[u8]| {
            let header = read(bytes, None, self.secret.as_ref()).map(|row| row.header);
            header.is_none_or(|header| is_dead(&header))
        };
        let mut from = std::mem::take(&mut *self.swept_to.lock());
        for _ in 0..SWEEP_ROWS / SWEEP_STEP {
            let (some, end) = sweep_some(&rooms, &from, &is_dead)?;
            removed += some;
            from = end;
            if from.is_empty() {
                break;
            }
        }
        *self.swept_to.lock() = from;
        Ok(removed)
    }

    fn glance(&self, from: &[u8]) -> Result<(Vec<Glimpse>, Vec<u8>), Error> {
        let rooms = self.folder.rooms()?;
        Ok(rooms.entries.read(|txn| {
            let (rows, end) = rows_after(&rooms, txn, from)?;
            let mut seen = Vec::with_capacity(rows.len());
            for (hash, bytes) in rows {
                let Some((key, header)) = row::peek(bytes) else { continue };
                let place = place_of(&rooms, txn, &hash)?;
                let expires_us = place.map_or(header.expires_us, |place| place.expires_us);
                let bytes = place.map_or(bytes.len() as u64, |place| place.bytes);
                seen.push(Glimpse { key: key.to_vec(), header, expires_us, bytes, place: hash.to_vec() });
            }
            Ok((seen, end))
        })?)
    }

    fn glance_at(&self, key: &[u8]) -> Result<Option<Glimpse>, Error> {
        if self.secret.is_some() {
            return Ok(None);
        }
        let rooms = self.folder.rooms()?;
        let hash = *blake3::hash(key).as_bytes();
        Ok(rooms.entries.read(|txn| {
            let Some(bytes) = rooms.entries.table(ROWS).get(txn, &hash)? else { return Ok(None) };
            let Some(header) = row::foreign(bytes, key) else { return Ok(None) };
            let place = place_of(&rooms, txn, &hash)?;
            let expires_us = place.map_or(header.expires_us, |place| place.expires_us);
            let bytes = bytes.len() as u64;
            Ok(Some(Glimpse { key: key.to_vec(), header, expires_us, bytes, place: hash.to_vec() }))
        })?)
    }

    fn folder(&self) -> Result<Option<crate::FolderFacts>, Error> {
        Ok(Some(self.folder.facts()?))
    }

    fn stats(&self) -> Option<StorageStats> {
        let sizes = self.folder.rooms().and_then(|rooms| {
            let (meta, places) = (rooms.entries.table(META), rooms.entries.table(PLACES));
            rooms.entries.read(|txn| Ok((places.len(txn)?, seal::number(meta, txn, b"bytes")?.unwrap_or(0))))
        });
        let (entries, bytes) = sizes.unwrap_or_default();
        Some(StorageStats { entries, bytes: Some(bytes), evicted: self.evicted.load(Ordering::Relaxed) })
    }
}

/// What a row counts for in `max_bytes`.
fn room_of(key: &[u8], envelope: &[u8]) -> u64 {
    (envelope.len() + key.len()) as u64 + BOOKKEEPING_BYTES
}
