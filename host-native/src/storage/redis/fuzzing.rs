//! Stored entries, written and read. See [`crate::fuzzing`].

use zoocache_core::Header;

use super::row;
use crate::codec::Secret;
use crate::storage::{NewRow, Row};

/// An entry, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// The position at which it was stored.
    pub number: u64,
    /// When it expires by the server's clock.
    pub expires_us: u64,
    /// What it is judged by.
    pub header: Header,
    /// Time to idle in microseconds, or 0.
    pub idle_us: u64,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl From<row::Stored<'_>> for Entry {
    fn from(row::Stored { key, row, expires_us }: row::Stored<'_>) -> Self {
        let Row { number, header, idle_us, payload, .. } = row;
        Self { key: key.to_vec(), number, expires_us, header, idle_us, payload }
    }
}

/// The bytes of an entry; its number and its expiry are for the server to write.
pub fn write_entry(entry: &Entry, secret: Option<&Secret>) -> Option<Vec<u8>> {
    let Entry { key, header, idle_us, payload, .. } = entry;
    let row = NewRow { header, idle_us: *idle_us, payload, unlocks: 0, supersedes: false };
    row::write(key, &row, secret).ok()
}

/// The entry in stored bytes, if they are those of one, and of `key` if one is given.
pub fn read_entry(stored: &[u8], key: Option<&[u8]>, secret: Option<&Secret>) -> Option<Entry> {
    row::read(stored, key, secret).map(Entry::from)
}

/// What their beginning says of it, unchecked.
pub fn peek_entry(beginning: &[u8]) -> Option<Entry> {
    row::peek(beginning).map(Entry::from)
}
