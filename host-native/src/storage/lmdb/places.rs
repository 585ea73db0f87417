//! What the indexes say of a row, and what changes with it: its place, its age, its expiry, the bytes in use.

use heed::RwTxn;

use super::{BY_AGE, BY_EXPIRY, META, PLACES, ROWS};
use crate::folder::{Reading, Rooms, seal};

const HASH_BYTES: usize = blake3::OUT_LEN;
const PLACE_BYTES: usize = 5 * 8;
/// How long a row whose time to idle is over stays. Who still serves it has told of a use by then, or is told
/// when the row is replaced; of a row that is gone nobody knows whether others serve it.
const LINGER_US: u64 = 120_000_000;

pub(super) type Hash = [u8; HASH_BYTES];

/// What the indexes say of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) age: u64,
    /// When its time runs out; 0 = never.
    pub(super) expires_us: u64,
    pub(super) bytes: u64,
    /// Time to idle, or 0: then `expires_us` never moves.
    pub(super) idle_us: u64,
    /// What no use extends `expires_us` beyond; 0 for nothing.
    pub(super) bound_us: u64,
}

impl Place {
    fn bytes(&self) -> [u8; PLACE_BYTES] {
        let numbers = [self.age, self.expires_us, self.bytes, self.idle_us, self.bound_us];
        let mut bytes = [0; PLACE_BYTES];
        for (chunk, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            chunk.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).map(position_of);
        let mut number = || numbers.next().unwrap_or(0);
        Self { age: number(), expires_us: number(), bytes: number(), idle_us: number(), bound_us: number() }
    }

    /// Its key in `by_expiry`: when it may be removed.
    fn removal(&self, hash: &Hash) -> Option<[u8; 8 + HASH_BYTES]> {
        let linger_us = if self.idle_us == 0 { 0 } else { LINGER_US };
        (self.expires_us != 0).then(|| index_key(self.expires_us.saturating_add(linger_us), hash))
    }
}

/// The place of a row.
pub(super) fn place_of(rooms: &Rooms, txn: &Reading<'_>, hash: &Hash) -> heed::Result<Option<Place>> {
    Ok(seal::get(rooms.entries.table(PLACES), txn, hash)?.map(Place::read))
}

/// The hash at the end of an index's key.
pub(super) fn hash_of(key: &[u8]) -> Hash {
    key.last_chunk::<HASH_BYTES>().copied().unwrap_or([0; HASH_BYTES])
}

/// The age of the youngest row.
pub(super) fn last_age(rooms: &Rooms, txn: &Reading<'_>) -> heed::Result<u64> {
    Ok(seal::number(rooms.entries.table(META), txn, b"age")?.unwrap_or(0))
}

/// Notes the age of the youngest row.
pub(super) fn set_last_age(rooms: &Rooms, txn: &mut RwTxn<'_>, age: u64) -> heed::Result<()> {
    seal::put(rooms.entries.table(META), txn, b"age", &age.to_be_bytes())
}

/// Returns whether there was one.
pub(super) fn evict_oldest(rooms: &Rooms, txn: &mut RwTxn<'_>) -> heed::Result<bool> {
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

pub(super) fn insert(
    rooms: &Rooms,
    txn: &mut RwTxn<'_>,
    hash: &Hash,
    place: Place,
    row: &[u8],
) -> heed::Result<()> {
    rooms.entries.table(ROWS).put(txn, hash, row)?;
    put_place(rooms, txn, hash, place)?;
    let meta = rooms.entries.table(META);
    let used = seal::number(meta, txn, b"bytes")?.unwrap_or(0).saturating_add(place.bytes);
    seal::put(meta, txn, b"bytes", &used.to_be_bytes())
}

/// Removes a row with all that belongs to it; nothing, if there is none.
pub(super) fn remove(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash) -> heed::Result<()> {
    rooms.entries.table(ROWS).delete(txn, hash)?;
    let Some(place) = place_of(rooms, txn, hash)? else { return Ok(()) };
    delete_place(rooms, txn, hash, place)?;
    let meta = rooms.entries.table(META);
    let used = seal::number(meta, txn, b"bytes")?.unwrap_or(0).saturating_sub(place.bytes);
    seal::put(meta, txn, b"bytes", &used.to_be_bytes())
}

/// Moves a row that stays as it is.
pub(super) fn move_place(
    rooms: &Rooms,
    txn: &mut RwTxn<'_>,
    hash: &Hash,
    (from, to): (Place, Place),
) -> heed::Result<()> {
    delete_place(rooms, txn, hash, from)?;
    put_place(rooms, txn, hash, to)
}

fn put_place(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash, place: Place) -> heed::Result<()> {
    let entries = &rooms.entries;
    seal::put(entries.table(PLACES), txn, hash, &place.bytes())?;
    entries.table(BY_AGE).put(txn, &index_key(place.age, hash), &[])?;
    if let Some(key) = place.removal(hash) {
        entries.table(BY_EXPIRY).put(txn, &key, &[])?;
    }
    Ok(())
}

fn delete_place(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash, place: Place) -> heed::Result<()> {
    let entries = &rooms.entries;
    entries.table(PLACES).delete(txn, hash)?;
    entries.table(BY_AGE).delete(txn, &index_key(place.age, hash))?;
    if let Some(key) = place.removal(hash) {
        entries.table(BY_EXPIRY).delete(txn, &key)?;
    }
    Ok(())
}

fn position_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
