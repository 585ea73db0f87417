//! What the indexes say of a row, and what changes with it: its place, its age, its expiry, the bytes in use.

use heed::RwTxn;

use super::{BY_AGE, BY_EXPIRY, META, PLACES, ROWS, number_in};
use crate::folder::Rooms;

const HASH_BYTES: usize = blake3::OUT_LEN;

/// What the indexes say of a row.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) age: u64,
    pub(super) expires_us: u64,
    pub(super) bytes: u64,
}

pub(super) type Hash = [u8; HASH_BYTES];

/// The hash at the end of an index's key.
pub(super) fn hash_of(key: &[u8]) -> Hash {
    key.last_chunk::<HASH_BYTES>().copied().unwrap_or([0; HASH_BYTES])
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
    let entries = &rooms.entries;
    entries.table(ROWS).put(txn, hash, row)?;
    let mut bytes = [0; 24];
    for (chunk, number) in bytes.chunks_exact_mut(8).zip([place.age, place.expires_us, place.bytes]) {
        chunk.copy_from_slice(&number.to_be_bytes());
    }
    entries.table(PLACES).put(txn, hash, &bytes)?;
    entries.table(BY_AGE).put(txn, &index_key(place.age, hash), &[])?;
    if place.expires_us != 0 {
        entries.table(BY_EXPIRY).put(txn, &index_key(place.expires_us, hash), &[])?;
    }
    let used = number_in(entries.table(META), txn, b"bytes")?.unwrap_or(0).saturating_add(place.bytes);
    entries.table(META).put(txn, b"bytes", &used.to_be_bytes())
}

/// Removes a row with all that belongs to it; nothing, if there is none.
pub(super) fn remove(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash) -> heed::Result<()> {
    let entries = &rooms.entries;
    entries.table(ROWS).delete(txn, hash)?;
    let Some(bytes) = entries.table(PLACES).get(txn, hash)? else { return Ok(()) };
    let mut numbers = bytes.chunks_exact(8).map(position_of);
    let mut number = || numbers.next().unwrap_or(0);
    let place = Place { age: number(), expires_us: number(), bytes: number() };
    entries.table(PLACES).delete(txn, hash)?;
    entries.table(BY_AGE).delete(txn, &index_key(place.age, hash))?;
    if place.expires_us != 0 {
        entries.table(BY_EXPIRY).delete(txn, &index_key(place.expires_us, hash))?;
    }
    let used = number_in(entries.table(META), txn, b"bytes")?.unwrap_or(0).saturating_sub(place.bytes);
    entries.table(META).put(txn, b"bytes", &used.to_be_bytes())
}

fn position_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
