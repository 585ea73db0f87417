//! Freeing rows that are expired or dead, a little in each transaction.

use std::ops::Bound;

use zoocache_core::Header;

use super::places::{hash_of, remove};
use super::row::{number_of, read};
use super::{BY_EXPIRY, ROWS, SWEEP_STEP};
use crate::codec::Secret;
use crate::folder::{FolderError, Reading, Rooms};

pub(super) fn expire(rooms: &Rooms, now_us: u64) -> Result<usize, FolderError> {
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
pub(super) fn sweep_some(
    rooms: &Rooms,
    from: &[u8],
    secret: Option<&Secret>,
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
            let header = read(bytes, None, secret).map(|row| row.header);
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
