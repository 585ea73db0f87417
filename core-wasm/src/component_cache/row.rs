//! An entry as it rests in a bucket.
//!
//! ```text
//! the header         its bytes v1, see `header.rs`
//! the value
//! 8 bytes            checksum of the key, the header and the value, little-endian
//! ```
//! Invariant: what [`open`] returns was sealed under that key, unless someone forged it. It judges no freshness.

use alloc::vec::Vec;

use crate::Header;

const CHECKSUM_BYTES: usize = 8;

/// Puts an entry together.
pub(super) fn seal(key: &str, header: &Header, value: &[u8]) -> Vec<u8> {
    let header = header.encode();
    let mut row = Vec::with_capacity(header.len() + value.len() + CHECKSUM_BYTES);
    row.extend_from_slice(&header);
    row.extend_from_slice(value);
    let sum = checksum(key, &row);
    row.extend_from_slice(&sum.to_le_bytes());
    row
}

/// Takes it apart; `None` for whatever is not the entry of this key, undamaged.
pub(super) fn open(key: &str, mut row: Vec<u8>) -> Option<(Header, Vec<u8>)> {
    let (body, sum) = row.split_last_chunk::<CHECKSUM_BYTES>()?;
    if checksum(key, body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (header, length) = Header::decode(body).ok()?;
    row.truncate(row.len() - CHECKSUM_BYTES);
    row.drain(..length);
    Some((header, row))
}

/// Against damage, not against intent; the same on every platform and in every version.
///
/// FNV-1a of words instead of bytes, as values may be long; rotated, as a product carries nothing downwards.
fn checksum(key: &str, body: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    let mut sum = mix(0xcbf2_9ce4_8422_2325, key.len() as u64);
    for bytes in [key.as_bytes(), body] {
        let (words, rest) = bytes.as_chunks::<8>();
        sum = words.iter().fold(sum, |sum, word| mix(sum, u64::from_le_bytes(*word)));
        sum = rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)));
    }
    mix(sum, body.len() as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{DomainId, HeaderDependency, Tag, Timestamp};
    use alloc::string::String;
    use proptest::prelude::*;

    fn header() -> Header {
        let tag = Tag::parse("org:1:store:*").expect("a tag");
        Header {
            domain: DomainId(7),
            as_of: Timestamp::from_micros(1_000),
            created_us: 1_200,
            expires_us: 0,
            dependencies: alloc::vec![HeaderDependency { tag, stamp: Timestamp::ZERO }],
        }
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_under_its_key_only(key: String, other: String, value: Vec<u8>) {
            let row = seal(&key, &header(), &value);
            prop_assert_eq!(open(&key, row.clone()), Some((header(), value)));
            prop_assert_eq!(open(&other, row).is_some(), key == other);
        }

        #[test]
        fn damage_is_noticed(value: Vec<u8>, place: prop::sample::Index, bit in 0..8_u32, cut: prop::sample::Index) {
            let row = seal("key", &header(), &value);
            let mut flipped = row.clone();
            flipped[place.index(row.len())] ^= 1_u8 << bit;
            prop_assert_eq!(open("key", flipped), None);
            prop_assert_eq!(open("key", row[..cut.index(row.len())].to_vec()), None);
        }

        #[test]
        fn any_bytes_can_be_there(bytes: Vec<u8>) {
            prop_assert_eq!(open("key", bytes), None);
        }
    }
}
