//! Envelopes: what was sealed is opened, and nothing else does any harm.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use proptest::prelude::*;
use zoocache::codec::{Authentication, MAX_VALUE_BYTES, OpenError, Secret, open, seal};

const MAGIC: [u8; 3] = [0xC1, 0x5A, 1];
const COMPRESSED: u8 = 1;
/// Longer payloads must not shrink too much.
const LONG: usize = 1 << 20;

fn secret() -> Secret {
    Secret::derive(b"secret")
}

fn samples() -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[7]
    });
    let noise = noise.take(2000).collect();
    vec![Vec::new(), b"short".to_vec(), vec![7; 1024], vec![7; 1025], b"abc".repeat(700), noise]
}

#[test]
fn what_went_in_comes_out() {
    let secret = secret();
    for payload in samples() {
        for secret in [None, Some(&secret)] {
            let here = Authentication { secret, context: b"key" };
            let bytes = seal(b"header", &payload, here).unwrap();
            let opened = open(&bytes, here).unwrap();
            assert_eq!((opened.header, &*opened.payload), (&b"header"[..], &*payload));
        }
    }
}

#[test]
fn only_long_payloads_that_shrink_are_compressed() {
    let sealed = |payload: &[u8]| seal(b"", payload, Authentication::default()).unwrap();
    assert_eq!(sealed(&[7; 1024]).len(), 1024 + 8);
    assert!(sealed(&[7; 1025]).len() < 50);
    let long = sealed(&vec![7; LONG + 1]);
    assert_eq!((long.len(), sealed(&vec![7; LONG]).len() < 5000), (LONG + 9, true));
    let noise = samples().pop().unwrap();
    assert_eq!(sealed(&noise).len(), noise.len() + 8);
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused_with_a_secret() {
    let secret = secret();
    let here = Authentication { secret: Some(&secret), context: b"key" };
    for payload in samples() {
        let mut bytes = seal(b"header", &payload, here).unwrap();
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length], here).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes, here).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes.push(0);
        assert_eq!(open(&bytes, here), Err(OpenError::NotAuthentic));
    }
}

#[test]
fn damage_without_a_secret_does_no_harm() {
    for payload in samples() {
        let mut bytes = seal(b"header", &payload, Authentication::default()).unwrap();
        for length in 0..bytes.len() {
            drop(open(&bytes[..length], Authentication::default()));
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            drop(open(&bytes, Authentication::default()));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn another_secret_another_context_or_none_is_refused() {
    let (secret, other) = (secret(), Secret::derive(b"other"));
    let here = Authentication { secret: Some(&secret), context: b"key" };
    let bytes = seal(b"", b"payload", here).unwrap();
    for elsewhere in [
        Authentication { context: b"other key", ..here },
        Authentication { secret: Some(&other), ..here },
        Authentication { secret: None, ..here },
    ] {
        assert_eq!(open(&bytes, elsewhere), Err(OpenError::NotAuthentic));
    }
    let open_to_all = seal(b"", b"payload", Authentication::default()).unwrap();
    assert_eq!(open(&open_to_all, here), Err(OpenError::NotAuthentic));
    assert!(!format!("{here:?}").contains("115"), "the key is not shown");
}

#[test]
fn a_huge_claim_is_refused_before_memory_is_taken() {
    for claimed in [256, 1 << 20, MAX_VALUE_BYTES + 1, u32::MAX as usize] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[COMPRESSED, 0, 0, 0, 0]);
        bytes.extend_from_slice(&u32::try_from(claimed).unwrap().to_le_bytes());
        bytes.push(0);
        let opened = open(&bytes, Authentication::default());
        assert_eq!(opened, Err(OpenError::TooLong { bytes: claimed }));
    }
    let huge_header = [&MAGIC[..], &[0, 255, 255, 255, 255, 7]].concat();
    assert_eq!(open(&huge_header, Authentication::default()), Err(OpenError::Truncated));
}

#[test]
fn what_is_not_ours_is_told_from_what_we_cannot_read() {
    let open = |bytes: &[u8]| open(bytes, Authentication::default()).unwrap_err();
    assert_eq!(open(b""), OpenError::NoEnvelope);
    assert_eq!(open(b"\x80\x04\x95"), OpenError::NoEnvelope);
    assert_eq!(open(b"\xC1\x5A\x02\x00\x00"), OpenError::Version);
    assert_eq!(open(b"\xC1\x5A\x01\x04\x00"), OpenError::Version);
    assert_eq!(open(b"\xC1\x5A\x01"), OpenError::Truncated);
}

proptest! {
    #[test]
    fn any_payload_survives(header: Vec<u8>, payload: Vec<u8>, repeat in 1_usize..100, with: bool) {
        let (secret, payload) = (secret(), payload.repeat(repeat));
        let here = Authentication { secret: with.then_some(&secret), context: &header };
        let bytes = seal(&header, &payload, here).unwrap();
        let opened = open(&bytes, here).unwrap();
        prop_assert_eq!(opened.header, &header[..]);
        prop_assert_eq!(&*opened.payload, &payload[..]);
    }

    #[test]
    fn any_bytes_do_no_harm(flags in 0_u8..4, tail: Vec<u8>) {
        let bytes = [&MAGIC[..], &[flags], &tail[..]].concat();
        if let Ok(opened) = open(&bytes, Authentication::default()) {
            prop_assert!(opened.payload.len() <= 255 * tail.len());
        }
    }
}
