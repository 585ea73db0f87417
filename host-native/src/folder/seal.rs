//! Rows that end in a checksum of their key and contents.
//!
//! A flipped bit in the text of a tag, or in a position, would let an invalidation be one of something else. So
//! rows on which freshness depends are sealed, and what is not what was written is not read. Against damage, not
//! against intent.

use heed::{MdbError, RwTxn};

use super::room::{Reading, Table};

const SUM_BYTES: usize = 8;

fn sum(key: &[u8], contents: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(contents);
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM_BYTES]);
    sum
}

/// The contents of a row, if they are what was written.
pub(crate) fn open<'a>(key: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
    let (contents, found) = row.split_last_chunk::<SUM_BYTES>()?;
    (sum(key, contents) == *found).then_some(contents)
}

/// The contents of the row under `key`; an error if they are not what was written.
pub(crate) fn get<'a>(table: Table, txn: &'a Reading<'_>, key: &[u8]) -> heed::Result<Option<&'a [u8]>> {
    let Some(row) = table.get(txn, key)? else { return Ok(None) };
    match open(key, row) {
        Some(contents) => Ok(Some(contents)),
        None => Err(heed::Error::Mdb(MdbError::Corrupted)),
    }
}

/// The number under `name`.
pub(crate) fn number(table: Table, txn: &Reading<'_>, name: &[u8]) -> heed::Result<Option<u64>> {
    let contents = get(table, txn, name)?;
    Ok(contents.and_then(|contents| contents.try_into().ok()).map(u64::from_be_bytes))
}

/// Writes a row.
pub(crate) fn put(table: Table, txn: &mut RwTxn<'_>, key: &[u8], contents: &[u8]) -> heed::Result<()> {
    let mut row = Vec::with_capacity(contents.len() + SUM_BYTES);
    row.extend_from_slice(contents);
    row.extend_from_slice(&sum(key, contents));
    table.put(txn, key, &row)
}
