//! The bytes of a row: checksum, number, the key, the envelope. Numbers are little-endian.

use zoocache_core::Header;

use crate::codec::{Secret, is_authenticated};
use crate::storage::Row;
use crate::storage::envelope::{self, CHECKSUM_BYTES, checksum, open};

/// The bytes of a row. The number lies outside of nothing: the checksum is over all that follows it.
pub(super) fn write(number: u64, key: &[u8], envelope: &[u8]) -> Vec<u8> {
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

/// A row, if the bytes are one and of this key. Its expiry is that of its header.
pub(super) fn read(bytes: &[u8], key: Option<&[u8]>, secret: Option<&Secret>) -> Option<Row> {
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
    open(u64::from_le_bytes(*number), stored_key, envelope, secret)
}

/// The key and the header of a row, unchecked.
pub(super) fn peek(bytes: &[u8]) -> Option<(&[u8], Header)> {
    let key = key_of(bytes)?;
    let (header, _idle_us) = envelope::peek(bytes.get(CHECKSUM_BYTES + 12 + key.len()..)?)?;
    Some((key, header))
}

/// The header of a row of this key that was authenticated by somebody else.
pub(super) fn foreign(bytes: &[u8], key: &[u8]) -> Option<Header> {
    let (sum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (stored_key, header) = peek(bytes)?;
    let envelope = rest.get(12 + stored_key.len()..)?;
    (checksum(rest) == *sum && stored_key == key && is_authenticated(envelope)).then_some(header)
}

/// The key of a row, if it is one.
pub(super) fn key_of(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.get(CHECKSUM_BYTES + 8..)?.split_first_chunk::<4>()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

/// How long a row is.
pub(super) fn row_bytes(key: &[u8], envelope: &[u8]) -> u64 {
    (CHECKSUM_BYTES + 12 + key.len() + envelope.len()) as u64
}

/// The number of a row that may be damaged.
pub(super) fn number_of(bytes: &[u8]) -> u64 {
    let number = bytes.get(CHECKSUM_BYTES..).and_then(<[u8]>::first_chunk::<8>);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}
