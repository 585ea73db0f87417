//! Entries as they are stored on a server: text of two numbers, checksum, key, envelope.
//!
//! The input is what stands behind the checksum, which nothing would get past otherwise.

use zoocache::codec::Secret;
use zoocache::fuzzing::{Entry, peek_entry, read_entry, write_entry};
use zoocache_core::{DomainId, Header, HeaderDependency, Tag, Timestamp};
use zoocache_core_fuzz::allocations::within;

const CHECKSUM_BYTES: usize = 8;
/// Of an envelope; of a header for each byte; and what is copied.
fn most(bytes: &[u8]) -> usize {
    (1 << 20) + 256 * bytes.len()
}

/// What can be read is written and read again, under its own key only; and what is cut or changed is none.
pub fn check(bytes: &[u8]) {
    let _ = within(most(bytes), || read_entry(bytes, None, None));
    let _ = within(most(bytes), || peek_entry(bytes));
    let stored = from_server(&summed(bytes));
    let read = within(most(&stored), || read_entry(&stored, None, None));
    if let Some(entry) = &read {
        let written = from_server(&write_entry(entry, None).expect("not too long"));
        assert_eq!(read_entry(&written, None, None).as_ref(), Some(entry));
        check_peek(&stored, entry);
    }
    let made = made_of(bytes);
    if let Some(entry) = read.as_ref().or(made.as_ref()) {
        check_written(entry, bytes.len());
    }
}

/// The contents, and their checksum before them.
fn summed(contents: &[u8]) -> Vec<u8> {
    let sum = blake3::hash(contents);
    [&sum.as_bytes()[..CHECKSUM_BYTES], contents].concat()
}

/// The server puts the number and the expiry before it.
fn from_server(written: &[u8]) -> Vec<u8> {
    [&b"00000000000012340000000000005678"[..], written].concat()
}

/// The beginning tells the same as all of it, apart from what it leaves out.
fn check_peek(stored: &[u8], entry: &Entry) {
    let header = Header { expires_us: 0, ..entry.header.clone() };
    let expected = Entry { header, idle_us: 0, payload: Vec::new(), ..entry.clone() };
    assert_eq!(peek_entry(stored), Some(expected));
}

/// An entry whose key and payload are pieces of the input.
fn made_of(bytes: &[u8]) -> Option<Entry> {
    let (length, rest) = bytes.split_first()?;
    let (key, payload) = rest.split_at_checked(usize::from(*length))?;
    let text = str::from_utf8(key).ok().and_then(|text| Tag::parse(text).ok());
    let stamp = Timestamp::from_micros(payload.len() as u64);
    let dependencies = text.into_iter().map(|tag| HeaderDependency { tag, stamp }).collect();
    let header = Header { domain: DomainId(1), as_of: stamp, created_us: 1, expires_us: 2, dependencies };
    let (key, payload) = (key.to_vec(), payload.to_vec());
    Some(Entry { key, number: 1_234, expires_us: 5_678, header, idle_us: 9, payload })
}

fn check_written(entry: &Entry, place: usize) {
    let secret = Secret::derive(b"a secret");
    let other = [&entry.key[..], b"!"].concat();
    for secret in [None, Some(&secret)] {
        let written = write_entry(entry, secret).expect("not too long");
        let stored = from_server(&written);
        let expected = Entry { number: 1_234, expires_us: 5_678, ..entry.clone() };
        assert_eq!(read_entry(&stored, Some(&entry.key), secret), Some(expected));
        assert_eq!(read_entry(&stored, Some(&other), secret), None);
        for end in [place % stored.len(), stored.len() - 1] {
            assert_eq!(read_entry(&stored[..end], None, secret), None, "cut at {end}");
        }
        let mut changed = written.clone();
        let at = place % changed.len();
        changed[at] ^= 1 << (place % 8);
        assert_eq!(read_entry(&from_server(&changed), None, secret), None, "changed at {at}");
        // Put together anew, checksum and all, it is still nobody's who has the secret.
        let forged = summed(&changed[CHECKSUM_BYTES..]);
        if secret.is_some() && forged != written {
            assert_eq!(read_entry(&from_server(&forged), None, secret), None, "forged at {at}");
        }
    }
    let [with, without] =
        [Some(&secret), None].map(|secret| write_entry(entry, secret).expect("not too long"));
    assert_eq!(read_entry(&from_server(&with), None, None), None);
    assert_eq!(read_entry(&from_server(&without), None, Some(&secret)), None);
}
