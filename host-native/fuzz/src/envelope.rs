//! Envelopes: opened or refused, within the memory that is promised, and with a secret only if they are authentic.

use zoocache::codec::{Authentication, Envelope, OpenError, Secret, open, seal};
use zoocache_core_fuzz::allocations::within;

const FLAGS: usize = 3;
const HEADER: usize = 8;
const COMPRESSED: u8 = 1;

/// What `open` promises: a mebibyte, or 32 times what it was given.
fn most(bytes: &[u8]) -> usize {
    (32 * bytes.len()).max(1 << 20) + 1_024
}

/// What opens is sealed and opened again; and what is made of the bytes by sealing opens nowhere else.
pub fn check(bytes: &[u8]) {
    open_any(bytes);
    // The rest as contents: how often, how much of it is the header, and which bit to change.
    let [repeat, split, place, rest @ ..] = bytes else { return };
    let (header, payload) = rest.split_at(usize::from(*split).min(rest.len()));
    let payload = payload.repeat(usize::from(*repeat));
    seal_any(header, &payload, usize::from(*place));
}

fn open_any(bytes: &[u8]) {
    let secret = Secret::derive(b"a secret");
    let authentication = Authentication { secret: Some(&secret), context: b"key" };
    assert!(within(most(&[]), || open(bytes, authentication)).is_err(), "nobody sealed that");
    let plain = Authentication::default();
    let Ok(opened) = within(most(bytes), || open(bytes, plain)) else { return };
    let again = seal(opened.header, &opened.payload, plain).expect("not too long");
    assert_eq!(open(&again, plain).as_ref(), Ok(&opened));
    // Whoever compresses may do so in more than one way.
    if (bytes[FLAGS] | again[FLAGS]) & COMPRESSED == 0 {
        assert_eq!(again, bytes);
    }
    if bytes[FLAGS] & COMPRESSED != 0 {
        let size = bytes[HEADER + opened.header.len()..].first_chunk().expect("it opened");
        assert_eq!(u32::from_le_bytes(*size) as usize, opened.payload.len());
    }
}

fn seal_any(header: &[u8], payload: &[u8], place: usize) {
    let secret = Secret::derive(b"a secret");
    let here = Authentication { secret: Some(&secret), context: b"key" };
    let plain = Authentication::default();
    let mut sealed = seal(header, payload, here).expect("not too long");
    let envelope = Envelope { header, payload: payload.into() };
    assert_eq!(within(most(&sealed), || open(&sealed, here)), Ok(envelope.clone()));
    assert_eq!(open(&sealed, Authentication { context: b"kez", ..here }), Err(OpenError::NotAuthentic));
    assert_eq!(open(&sealed, plain), Err(OpenError::NotAuthentic));
    let unsealed = seal(header, payload, plain).expect("not too long");
    assert_eq!(open(&unsealed, plain), Ok(envelope));
    assert_eq!(open(&unsealed, here), Err(OpenError::NotAuthentic));
    let place = place % sealed.len();
    assert!(open(&sealed[..place], here).is_err(), "cut at {place}");
    sealed[place] ^= 1 << (place % 8);
    assert!(open(&sealed, here).is_err(), "changed at {place}");
    let mut unsealed = unsealed;
    let place = place % unsealed.len();
    unsealed[place] ^= 1 << (place % 8);
    // Damage that no secret tells is for a checksum to find.
    let _ = within(most(&unsealed), || open(&unsealed, plain));
}
