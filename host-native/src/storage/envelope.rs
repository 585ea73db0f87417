//! Rows as envelopes: what LMDB and Redis store alike. The envelope's header is the entry's, followed by its time to
//! idle. With a secret the envelope is authenticated together with the key, so it cannot be moved under another one.

use zoocache_core::Header;

use super::{NewRow, Row};
use crate::codec::{self, Authentication, Secret, TooLong};

pub(super) const CHECKSUM_BYTES: usize = 8;

/// The envelope of a row.
pub(super) fn seal(key: &[u8], row: &NewRow<'_>, secret: Option<&Secret>) -> Result<Vec<u8>, TooLong> {
    let mut header = row.header.encode();
    header.extend_from_slice(&row.idle_us.to_le_bytes());
    codec::seal(&header, row.payload, Authentication { secret, context: key })
}

/// The row in an envelope, if it is one of this key. Its expiry is that of its header.
pub(super) fn open(number: u64, key: &[u8], envelope: &[u8], secret: Option<&Secret>) -> Option<Row> {
    let envelope = codec::open(envelope, Authentication { secret, context: key }).ok()?;
    let (header, end) = Header::decode(envelope.header).ok()?;
    let idle_us = u64::from_le_bytes(envelope.header.get(end..)?.try_into().ok()?);
    let payload = envelope.payload.into_owned();
    Some(Row { number, idle_us, expires_us: header.expires_us, header, payload })
}

/// What the beginning of an envelope says, unchecked: the header and the time to idle.
pub(super) fn peek(envelope: &[u8]) -> Option<(Header, u64)> {
    let bytes = codec::peek_header(envelope)?;
    let (header, end) = Header::decode(bytes).ok()?;
    Some((header, u64::from_le_bytes(bytes.get(end..)?.try_into().ok()?)))
}

/// Against damage, not against intent.
pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM_BYTES]);
    sum
}
