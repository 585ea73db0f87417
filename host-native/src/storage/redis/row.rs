//! The bytes of an entry on the server.
//!
//! ```text
//! 16 digits     number: the position at which it was stored; the server writes it
//! 16 digits     when it expires, unless it is used: microseconds of the server's clock, which writes it
//! 8 bytes       checksum of what follows
//! u32 n, n      the key; numbers are little-endian
//! the rest      the envelope
//! ```

use zoocache_core::Header;

use crate::codec::{Secret, TooLong, is_authenticated, peek_header};
use crate::storage::envelope::{self, CHECKSUM_BYTES, checksum, open, seal};
use crate::storage::{NewRow, Row};

pub(super) const NUMBER_DIGITS: usize = 16;

/// An entry as it is stored.
pub(super) struct Stored<'a> {
    pub(super) key: &'a [u8],
    pub(super) row: Row,
    /// By the server's clock.
    pub(super) expires_us: u64,
}

/// The bytes of an entry, without what the server writes.
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

/// The entry in stored bytes, if they are those of one, and of `key` if one is given.
pub(super) fn read<'a>(stored: &'a [u8], key: Option<&[u8]>, secret: Option<&Secret>) -> Option<Stored<'a>> {
    let (number, rest) = stored.split_first_chunk::<NUMBER_DIGITS>()?;
    let (expires_us, rest) = rest.split_first_chunk::<NUMBER_DIGITS>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    if checksum(rest) != *sum {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (stored_key, envelope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if key.is_some_and(|key| key != stored_key) {
        return None;
    }
    let row = open(digits(number)?, stored_key, envelope, secret)?;
    Some(Stored { key: stored_key, row, expires_us: digits(expires_us)? })
}

fn digits(digits: &[u8; NUMBER_DIGITS]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// The key, the header and the time to idle of an entry, of which the beginning is at hand; unchecked.
pub(super) fn glance(beginning: &[u8]) -> Option<(&[u8], Header, u64)> {
    let rest = beginning.get(2 * NUMBER_DIGITS + CHECKSUM_BYTES..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (key, envelope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (header, idle_us) = envelope::peek(envelope)?;
    Some((key, header, idle_us))
}

/// The header, the time to idle, and the expiry by the server's clock, of an entry of this key that was authenticated by
/// somebody else.
pub(super) fn foreign(stored: &[u8], key: &[u8]) -> Option<(Header, u64, u64)> {
    let (_number, rest) = stored.split_first_chunk::<NUMBER_DIGITS>()?;
    let (expires_us, rest) = rest.split_first_chunk::<NUMBER_DIGITS>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (stored_key, header, idle_us) = glance(stored)?;
    let envelope = rest.get(4 + stored_key.len()..)?;
    let is_it = checksum(rest) == *sum && stored_key == key && is_authenticated(envelope);
    is_it.then_some((header, idle_us, digits(expires_us)?))
}

/// What the beginning of stored bytes says of an entry, unchecked: enough to count it, or to find it dead.
pub(super) fn peek(beginning: &[u8]) -> Option<Stored<'_>> {
    let (number, rest) = beginning.split_first_chunk::<NUMBER_DIGITS>()?;
    let (expires_us, rest) = rest.split_first_chunk::<NUMBER_DIGITS>()?;
    let rest = rest.get(CHECKSUM_BYTES..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (key, envelope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (header, _) = Header::decode(peek_header(envelope)?).ok()?;
    // What has expired by the server's clock is not there.
    let header = Header { expires_us: 0, ..header };
    let row = Row { number: digits(number)?, header, idle_us: 0, expires_us: 0, payload: Vec::new() };
    Some(Stored { key, row, expires_us: digits(expires_us)? })
}
