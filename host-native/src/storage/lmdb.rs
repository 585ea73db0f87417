//! Entries that the processes of one machine share, in the `entries` environment of a folder.
//!
//! ```text
//! meta        format, bytes in use, last age
//! rows        hash of the key → checksum, number, the key, the envelope
//! places      hash of the key → age, expiry, bytes: what the indexes say of it
//! by_age      age, hash: the oldest is evicted first
//! by_expiry   expiry, hash: of those that expire
//! ```
//! Rows of `meta` and `places` are sealed. Numbers in `rows` are little-endian, in keys big-endian. Invariant: a row, its place and its indexes change
//! in one transaction, so no crash leaves one without the other. A hit writes nothing, so the oldest row is
//! evicted first; what is read often is held by the near caches. A row that is damaged or of a later format is
//! a miss.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heed::{MdbError, RwTxn};
use parking_lot::Mutex;
use zoocache_core::Header;

use super::{Limits, NewRow, Row, Rows, StorageStats};
use crate::codec::{self, Authentication};
use crate::error::Error;
use crate::folder::{Folder, FolderError, LEAST_MAP_PAGES, Reading, Rooms, seal};

/// The format of the tables. Another one is refused.
const FORMAT: u64 = 1;
/// Rows that one transaction of the sweeper looks at: a writer waits no longer than that takes.
const SWEEP_STEP: usize = 256;
/// Rows that one call of the sweeper looks at beside those that expired.
const SWEEP_ROWS: usize = 4_096;
/// Rows that go at a time when the map or the disk is full; fewer if there is no room to say that so many go.
const EVICT_STEPS: [u64; 3] = [64, 8, 1];
/// Pages of the map that no row takes: evicting needs some, and what it frees is free two commits later.
const SPARE_PAGES: u64 = 64;
/// Commits after the last eviction until all that was freed can be used, and what is left lies side by side.
const IDLE_COMMITS: usize = 16;
/// Pages of an environment without rows.
const EMPTY_PAGES: u64 = 8;
/// Bytes that a row occupies beside its own: places, indexes, half-filled pages.
const BOOKKEEPING_BYTES: u64 = 256;

const META: usize = 0;
const ROWS: usize = 1;
const PLACES: usize = 2;
const BY_AGE: usize = 3;
const BY_EXPIRY: usize = 4;

/// LMDB stores no more under one key.
const MAX_ROW_BYTES: u64 = u32::MAX as u64;
const CHECKSUM_BYTES: usize = 8;
const HASH_BYTES: usize = blake3::OUT_LEN;

/// Entries in an LMDB folder.
pub(crate) struct LmdbStorage {
    folder: Arc<Folder>,
    limits: Limits,
    /// What the map was to have, if that was said.
    map_bytes: Option<u64>,
    evicted: AtomicU64,
    /// Where the sweeper goes on.
    swept_to: Mutex<Vec<u8>>,
}

/// What the indexes say of a row.
#[derive(Clone, Copy)]
struct Place {
    age: u64,
    expires_us: u64,
    bytes: u64,
}

type Hash = [u8; HASH_BYTES];

impl LmdbStorage {
    /// The entries of a folder.
    pub(crate) fn open(
        folder: Arc<Folder>,
        limits: Limits,
        map_bytes: Option<u64>,
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
        Ok(Self { folder, limits, map_bytes, evicted: AtomicU64::new(0), swept_to: Mutex::default() })
    }

    /// Makes room for `bytes` more, and so many pages, in one more row.
    fn make_room(&self, rooms: &Rooms, txn: &mut RwTxn<'_>, (bytes, pages): (u64, u64)) -> heed::Result<u64> {
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
    fn too_small(&self, rooms: &Rooms, row_bytes: u64) -> Option<FolderError> {
        let entries = &rooms.entries;
        let pages =
            (row_bytes.div_ceil(entries.page_bytes()) + 1 + EMPTY_PAGES + SPARE_PAGES).max(LEAST_MAP_PAGES);
        let needed = pages * entries.page_bytes();
        // The least map is made even if less was asked for.
        let map_bytes = entries.map_bytes().min(self.map_bytes.unwrap_or(u64::MAX));
        let path = || self.folder.path().display().to_string();
        (needed > map_bytes).then(|| FolderError::TooSmall { path: path(), map_bytes, needed })
    }

    /// Of a row that finds no room though the map is large enough by its numbers: what is left lies in its midst.
    fn outgrown(&self, rooms: &Rooms, row_bytes: u64) -> FolderError {
        let map_bytes = rooms.entries.map_bytes();
        let path = self.folder.path().display().to_string();
        FolderError::TooSmall { path, map_bytes, needed: map_bytes.saturating_add(row_bytes) }
    }

    fn try_put(
        &self,
        rooms: &Rooms,
        key: &[u8],
        (envelope, expires_us): (&[u8], u64),
        admits: &mut dyn FnMut(Option<&Row>) -> bool,
    ) -> heed::Result<Option<u64>> {
        let hash = *blake3::hash(key).as_bytes();
        let bytes = room_of(key, envelope);
        rooms.entries.try_write(|txn| {
            let current = rooms.entries.table(ROWS).get(txn, &hash)?.and_then(|bytes| read(bytes, Some(key)));
            if !admits(current.as_ref()) {
                return Ok(None);
            }
            remove(rooms, txn, &hash)?;
            let pages = bytes / rooms.entries.page_bytes() + 1;
            let evicted = self.make_room(rooms, txn, (bytes, pages))?;
            let meta = rooms.entries.table(META);
            let age = seal::number(meta, txn, b"age")?.unwrap_or(0) + 1;
            seal::put(meta, txn, b"age", &age.to_be_bytes())?;
            let row = write(txn.id() as u64, key, envelope);
            insert(rooms, txn, &hash, Place { age, expires_us, bytes }, &row)?;
            Ok(Some(evicted))
        })
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

impl Rows for LmdbStorage {
    fn number(&self) -> u64 {
        // Not the number that is seen, whose commit may not be readable yet: who took that for the beginning of a
        // computation would miss the row, and then take it for older than the computation.
        let number = self.folder.rooms().and_then(|rooms| rooms.entries.read(|txn| Ok(txn.id() as u64)));
        number.unwrap_or(0)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, Error> {
        let rooms = self.folder.rooms()?;
        let hash = *blake3::hash(key).as_bytes();
        let rows = rooms.entries.table(ROWS);
        Ok(rooms.entries.read(|txn| Ok(rows.get(txn, &hash)?.and_then(|bytes| read(bytes, Some(key)))))?)
    }

    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>) -> bool,
    ) -> Result<bool, Error> {
        let rooms = self.folder.rooms()?;
        let path = || self.folder.path().display().to_string();
        let envelope = codec::seal(&row.header.encode(), row.payload, Authentication::default())
            .map_err(|error| FolderError::Failed { path: path(), cause: error.to_string() })?;
        if self.limits.max_bytes.is_some_and(|max_bytes| room_of(key, &envelope) > max_bytes) {
            return Ok(false);
        }
        let row_bytes = row_bytes(key, &envelope);
        if row_bytes > MAX_ROW_BYTES {
            return Err(rooms.entries.error(&heed::Error::Mdb(MdbError::BadValSize)).into());
        }
        if let Some(error) = self.too_small(&rooms, row_bytes) {
            return Err(error.into());
        }
        let parts = (&envelope[..], row.header.expires_us);
        let mut idle = 0;
        let stored = loop {
            let error = match self.try_put(&rooms, key, parts, admits) {
                Ok(stored) => break stored,
                Err(error) => error,
            };
            let full = rooms.entries.error(&error);
            if !matches!(full, FolderError::Full { .. }) {
                return Err(full.into());
            }
            // What was evicted may lie apart, so more may have to go.
            idle += usize::from(self.evict(&rooms)? == 0);
            if idle > IDLE_COMMITS {
                return Err(match error {
                    heed::Error::Mdb(MdbError::MapFull) => self.outgrown(&rooms, row_bytes).into(),
                    _ => full.into(),
                });
            }
        };
        self.evicted.fetch_add(stored.unwrap_or(0), Ordering::Relaxed);
        Ok(stored.is_some())
    }

    fn delete(&self, key: &[u8]) -> Result<Option<Row>, Error> {
        let rooms = self.folder.rooms()?;
        let hash = *blake3::hash(key).as_bytes();
        let rows = rooms.entries.table(ROWS);
        if rooms.entries.read(|txn| Ok(rows.get(txn, &hash)?.is_none()))? {
            return Ok(None);
        }
        Ok(rooms.entries.write(|txn| {
            let row = rows.get(txn, &hash)?.and_then(|bytes| read(bytes, Some(key)));
            remove(&rooms, txn, &hash)?;
            Ok(row)
        })?)
    }

    fn clear(&self) -> Result<(), Error> {
        let rooms = self.folder.rooms()?;
        rooms.entries.write(|txn| {
            [ROWS, PLACES, BY_AGE, BY_EXPIRY]
                .into_iter()
                .try_for_each(|table| rooms.entries.table(table).clear(txn))?;
            seal::put(rooms.entries.table(META), txn, b"bytes", &0_u64.to_be_bytes())
        })?;
        Ok(())
    }

    fn sweep(&self, now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error> {
        let rooms = self.folder.rooms()?;
        rooms.entries.forget_the_dead();
        let mut removed = expire(&rooms, now_us)?;
        let mut from = std::mem::take(&mut *self.swept_to.lock());
        for _ in 0..SWEEP_ROWS / SWEEP_STEP {
            let (some, end) = sweep_some(&rooms, &from, is_dead)?;
            removed += some;
            from = end;
            if from.is_empty() {
                break;
            }
        }
        *self.swept_to.lock() = from;
        Ok(removed)
    }

    fn stats(&self) -> StorageStats {
        let sizes = self.folder.rooms().and_then(|rooms| {
            let (meta, places) = (rooms.entries.table(META), rooms.entries.table(PLACES));
            rooms.entries.read(|txn| Ok((places.len(txn)?, seal::number(meta, txn, b"bytes")?.unwrap_or(0))))
        });
        let (entries, bytes) = sizes.unwrap_or_default();
        StorageStats { entries, bytes: Some(bytes), evicted: self.evicted.load(Ordering::Relaxed) }
    }
}

fn expire(rooms: &Rooms, now_us: u64) -> Result<usize, FolderError> {
    let by_expiry = rooms.entries.table(BY_EXPIRY);
    let mut removed = 0;
    loop {
        let end = now_us.saturating_add(1).to_be_bytes();
        let due = |txn: &Reading<'_>| {
            let due = by_expiry.range(txn, &(Bound::Unbounded, Bound::Excluded(&end[..])))?;
            due.take(SWEEP_STEP).map(|row| row.map(|(key, _)| key.to_vec())).collect::<heed::Result<Vec<_>>>()
        };
        // Most calls find nothing, and need not wait for the writer's place then.
        if rooms.entries.read(|txn| Ok(due(txn)?.is_empty()))? {
            return Ok(removed);
        }
        removed += rooms.entries.write(|txn| {
            let due = due(txn)?;
            for key in &due {
                remove(rooms, txn, &hash_of(key))?;
                by_expiry.delete(txn, key)?;
            }
            Ok(due.len())
        })?;
    }
}

/// Looks at some rows; says where it stopped, and removes those that are dead.
fn sweep_some(
    rooms: &Rooms,
    from: &[u8],
    is_dead: &dyn Fn(&Header) -> bool,
) -> Result<(usize, Vec<u8>), FolderError> {
    let rows = rooms.entries.table(ROWS);
    let mut end = Vec::new();
    let dead = rooms.entries.read(|txn| {
        let mut dead = Vec::new();
        end.clear();
        // LMDB knows no empty key.
        let start = if from.is_empty() { Bound::Unbounded } else { Bound::Excluded(from) };
        let range = rows.range(txn, &(start, Bound::Unbounded))?;
        for (count, row) in range.take(SWEEP_STEP).enumerate() {
            let (hash, bytes) = row?;
            if count + 1 == SWEEP_STEP {
                end = hash.to_vec();
            }
            let header = read(bytes, None).map(|row| row.header);
            if header.is_none_or(|header| is_dead(&header)) {
                dead.push((hash_of(hash), number_of(bytes)));
            }
        }
        Ok(dead)
    })?;
    if dead.is_empty() {
        return Ok((0, end));
    }
    let removed = rooms.entries.write(|txn| {
        let mut removed = 0;
        for (hash, number) in &dead {
            // Another may have been stored there meanwhile.
            if rows.get(txn, hash)?.is_some_and(|bytes| number_of(bytes) == *number) {
                remove(rooms, txn, hash)?;
                removed += 1;
            }
        }
        Ok(removed)
    })?;
    Ok((removed, end))
}

/// The bytes of a row. The number lies outside of nothing: the checksum is over all that follows it.
fn write(number: u64, key: &[u8], envelope: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKSUM_BYTES + 12 + key.len() + envelope.len());
    bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
    bytes.extend_from_slice(&number.to_le_bytes());
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(envelope);
    let sum = checksum(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&sum);
    bytes
}

/// A row, if the bytes are one and of this key.
fn read(bytes: &[u8], key: Option<&[u8]>) -> Option<Row> {
    let (sum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    if checksum(rest) != *sum {
        return None;
    }
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (stored_key, envelope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if key.is_some_and(|key| key != stored_key) {
        return None;
    }
    let envelope = codec::open(envelope, Authentication::default()).ok()?;
    let (header, _) = Header::decode(envelope.header).ok()?;
    Some(Row { number: u64::from_le_bytes(*number), header, payload: envelope.payload.into_owned() })
}

/// The number of a row that may be damaged.
fn number_of(bytes: &[u8]) -> u64 {
    let number = bytes.get(CHECKSUM_BYTES..).and_then(<[u8]>::first_chunk::<8>);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}

/// Against damage, not against intent.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM_BYTES]);
    sum
}

/// The hash at the end of an index's key.
fn hash_of(key: &[u8]) -> Hash {
    key.last_chunk::<HASH_BYTES>().copied().unwrap_or([0; HASH_BYTES])
}

/// How long a row is.
fn row_bytes(key: &[u8], envelope: &[u8]) -> u64 {
    (CHECKSUM_BYTES + 12 + key.len() + envelope.len()) as u64
}

/// What a row counts for in `max_bytes`.
fn room_of(key: &[u8], envelope: &[u8]) -> u64 {
    (envelope.len() + key.len()) as u64 + BOOKKEEPING_BYTES
}

/// Returns whether there was one.
fn evict_oldest(rooms: &Rooms, txn: &mut RwTxn<'_>) -> heed::Result<bool> {
    let by_age = rooms.entries.table(BY_AGE);
    let Some(key) = by_age.first(txn)?.map(|(key, _)| key.to_vec()) else { return Ok(false) };
    remove(rooms, txn, &hash_of(&key))?;
    by_age.delete(txn, &key)?;
    Ok(true)
}

fn index_key(number: u64, hash: &Hash) -> [u8; 8 + HASH_BYTES] {
    let mut key = [0; 8 + HASH_BYTES];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(hash);
    key
}

fn insert(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash, place: Place, row: &[u8]) -> heed::Result<()> {
    let entries = &rooms.entries;
    entries.table(ROWS).put(txn, hash, row)?;
    let mut bytes = [0; 24];
    for (chunk, number) in bytes.chunks_exact_mut(8).zip([place.age, place.expires_us, place.bytes]) {
        chunk.copy_from_slice(&number.to_be_bytes());
    }
    seal::put(entries.table(PLACES), txn, hash, &bytes)?;
    entries.table(BY_AGE).put(txn, &index_key(place.age, hash), &[])?;
    if place.expires_us != 0 {
        entries.table(BY_EXPIRY).put(txn, &index_key(place.expires_us, hash), &[])?;
    }
    let used = seal::number(entries.table(META), txn, b"bytes")?.unwrap_or(0).saturating_add(place.bytes);
    seal::put(entries.table(META), txn, b"bytes", &used.to_be_bytes())
}

/// Removes a row with all that belongs to it; nothing, if there is none.
fn remove(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash) -> heed::Result<()> {
    let entries = &rooms.entries;
    entries.table(ROWS).delete(txn, hash)?;
    let Some(bytes) = seal::get(entries.table(PLACES), txn, hash)? else { return Ok(()) };
    let mut numbers = bytes.chunks_exact(8).map(position_of);
    let mut number = || numbers.next().unwrap_or(0);
    let place = Place { age: number(), expires_us: number(), bytes: number() };
    entries.table(PLACES).delete(txn, hash)?;
    entries.table(BY_AGE).delete(txn, &index_key(place.age, hash))?;
    if place.expires_us != 0 {
        entries.table(BY_EXPIRY).delete(txn, &index_key(place.expires_us, hash))?;
    }
    let used = seal::number(entries.table(META), txn, b"bytes")?.unwrap_or(0).saturating_sub(place.bytes);
    seal::put(entries.table(META), txn, b"bytes", &used.to_be_bytes())
}

fn position_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
