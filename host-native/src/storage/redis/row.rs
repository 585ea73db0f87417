//! The bytes of an entry on the server.
//!
//! ```text
//! 16 digits     number: the position at which it was stored; the server writes it
//! 8 bytes       checksum of what follows
//! u32 n, n      the key; numbers are little-endian
//! the rest      the envelope
//! ```

use crate::codec::{Secret, TooLong};
use crate::storage::envelope::{CHECKSUM_BYTES, checksum, open, seal};
use crate::storage::{NewRow, Row};

pub(super) const NUMBER_DIGITS: usize = 16;

/// The bytes of an entry, without the number.
pub(super) fn write(key: &[u8], row: &NewRow<'_>, secret: Option<&Secret>) -> Result<Vec<u8>, TooLong> {
    let envelope = seal(key, row, secret)?;
    let mut bytes = Vec::with_capacity(CHECKSUM_BYTES + 4 + key.len() + envelope.len());
    bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
    bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&envelope);
    let sum = checksum(&bytes[CHECKSUM_BYTES..]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&sum);
    Ok(bytes)
}

/// The key and the row of stored bytes, if they are those of an entry, and of `key` if one is given.
pub(super) fn read<'a>(
    stored: &'a [u8],
    key: Option<&[u8]>,
    secret: Option<&Secret>,
) -> Option<(&'a [u8], Row)> {
    let (number, rest) = stored.split_at_checked(NUMBER_DIGITS)?;
    let number =
        number.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(number).ok()?.parse().ok())??;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    if checksum(rest) != *sum {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (stored_key, envelope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if key.is_some_and(|key| key != stored_key) {
        return None;
    }
    Some((stored_key, open(number, stored_key, envelope, secret)?))
}
