//! Freeing rows that are expired or dead, a little in each transaction.

use std::ops::Bound;

use super::places::{Hash, hash_of, remove};
use super::row::number_of;
use super::{BY_EXPIRY, ROWS, SWEEP_STEP};
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

/// Some of all rows, and the hash after which the others come; empty if there are no others.
pub(super) type Part<R> = (Vec<R>, Vec<u8>);

/// Some rows after a hash, and the last hash; empty if there are no more.
pub(super) fn rows_after<'a>(
    rooms: &Rooms,
    txn: &'a Reading<'_>,
    from: &[u8],
) -> heed::Result<Part<(Hash, &'a [u8])>> {
    // LMDB knows no empty key.
    let start = if from.is_empty() { Bound::Unbounded } else { Bound::Excluded(from) };
    let range = rooms.entries.table(ROWS).range(txn, &(start, Bound::Unbounded))?;
    let some = range.take(SWEEP_STEP).map(|row| row.map(|(hash, bytes)| (hash_of(hash), bytes)));
    let some = some.collect::<heed::Result<Vec<_>>>()?;
    let end = some.last().filter(|_| some.len() == SWEEP_STEP).map(|(hash, _)| hash.to_vec());
    Ok((some, end.unwrap_or_default()))
}

/// Looks at some rows; says where it stopped, and removes those that are dead.
pub(super) fn sweep_some(
    rooms: &Rooms,
    from: &[u8],
    is_dead: &dyn Fn(&[u8]) -> bool,
) -> Result<(usize, Vec<u8>), FolderError> {
    let rows = rooms.entries.table(ROWS);
    let (dead, end) = rooms.entries.read(|txn| {
        let mut dead = Vec::new();
        let (some, end) = rows_after(rooms, txn, from)?;
        for (hash, bytes) in some {
            if is_dead(bytes) {
                dead.push((hash, number_of(bytes)));
            }
        }
        Ok((dead, end))
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
