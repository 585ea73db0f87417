//! The stable bytes: headers v1 and snapshots v1. Decoders are total, whatever they are given.
#![cfg(not(loom))]

use proptest::prelude::*;
use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, Header, HeaderDependency, HeaderError, SnapshotError, Tag,
    Timestamp,
};

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("valid")
}

fn dependency(text: &str, stamp: u64) -> HeaderDependency {
    let tag = if text.is_empty() { Tag::root() } else { tag(text) };
    HeaderDependency { tag, stamp: Timestamp::from_micros(stamp) }
}

/// Bytes that entries in the field begin with. This test may be added to, never changed.
#[test]
fn header_v1_is_these_bytes() {
    let header = Header {
        domain: DomainId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        as_of: Timestamp::from_micros(1_795_359_960_289_961),
        created_us: 300,
        expires_us: 0,
        dependencies: vec![
            dependency("a:b", 127),
            dependency("ö:*", 128),
            dependency("*", 0),
            dependency("", 1),
        ],
    };
    let bytes = b"\x5a\x01\x10\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\x07\x06\x05\x04\x03\x02\x01\
        \xa9\xa5\xb5\x85\xed\x9b\x98\x03\xac\x02\x00\x04\
        \x03a:b\x7f\x04\xc3\xb6:*\x80\x01\x01*\x00\x00\x01";
    assert_eq!(header.encode(), bytes);
    assert_eq!(Header::decode(bytes), Ok((header, bytes.len())));
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    let header = Header {
        domain: DomainId(1),
        as_of: Timestamp::ZERO,
        created_us: 0,
        expires_us: 0,
        dependencies: Vec::new(),
    };
    let mut bytes = header.encode();
    bytes.pop();
    let claims = |count: &[u8]| Header::decode(&[&bytes[..], count].concat());
    assert_eq!(claims(&[0xff, 0x7f]), Err(HeaderError::Truncated));
    assert_eq!(
        claims(&[0xff, 0xff, 0xff, 0x7f]),
        Err(HeaderError::TooManyDependencies { count: 0x0fff_ffff })
    );
    assert_eq!(claims(&[0x80, 0x00]), Err(HeaderError::Malformed));
    assert_eq!(claims(&[1, 2, b'a', b'|', 0]), Err(HeaderError::Malformed));
    assert_eq!(Header::decode(b"\x5a\x02"), Err(HeaderError::Version { version: 2 }));
    assert_eq!(Header::decode(b"hello"), Err(HeaderError::NoHeader));
    assert_eq!(Header::decode(b""), Err(HeaderError::Truncated));
}

fn engine() -> Engine {
    Engine::new(EngineConfig::new(DomainId(9)))
}

fn busy_engine() -> (Engine, Vec<Tag>) {
    let mut engine = engine();
    let tags: Vec<_> = (0..40).map(|n| tag(&format!("org:{}:store:{n}", n % 3))).collect();
    for (n, tag) in tags.iter().enumerate() {
        engine.invalidate(std::slice::from_ref(tag), 1_000 + n as u64).expect("positions are left");
    }
    engine.prune(Timestamp::from_micros(1_020), 25);
    engine.change(&[tag("org:1"), tag("x:*")], 5_000, 1_500);
    engine.change(&[Tag::root()], 6_000, 1_500);
    (engine, tags)
}

#[test]
fn a_snapshot_keeps_what_is_known() {
    let (engine, tags) = busy_engine();
    let bytes = engine.snapshot();
    let mut restored = Engine::restore(EngineConfig::new(DomainId(9)), &bytes).expect("its own snapshot");
    let (old, new) = (engine.stats(), restored.stats());
    assert_eq!(
        (old.nodes, old.pending_marks, old.applied, old.clock),
        (new.nodes, new.pending_marks, new.applied, new.clock)
    );
    for tag in tags.iter().chain(&[tag("org"), tag("org:1:*"), tag("org:1:store:new"), tag("*"), tag("x")]) {
        assert_eq!(engine.latest(tag), restored.latest(tag), "{tag}");
    }
    assert_eq!(restored.expire_marks(10_000), Ok(2));
    assert_eq!(
        Engine::restore(EngineConfig::new(DomainId(8)), &bytes).err(),
        Some(SnapshotError::Foreign { domain: DomainId(9) })
    );
}

#[test]
fn a_snapshot_that_is_cut_or_damaged_is_refused() {
    let bytes = busy_engine().0.snapshot();
    let restore = |bytes: &[u8]| Engine::restore(EngineConfig::new(DomainId(9)), bytes);
    for end in 0..bytes.len() {
        assert!(restore(&bytes[..end]).is_err(), "cut at {end}");
        let mut damaged = bytes.clone();
        damaged[end] ^= 0x10;
        assert!(restore(&damaged).is_err(), "damaged at {end}");
    }
    assert!(restore(&[&bytes[..], &[0]].concat()).is_err());
}

/// FNV-1a, so that arbitrary bodies reach the decoder behind the checksum.
fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = body.iter().fold(0xcbf2_9ce4_8422_2325, step);
    body.extend_from_slice(&sum.to_le_bytes());
    body
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// A snapshot of domain 9 without nodes, as of microsecond 1 000.
fn snapshot(epoch: u64, last_mark: u64, marks: &[u64]) -> Vec<u8> {
    let mut body = b"\x5a\x53\x01".to_vec();
    body.extend_from_slice(&9_u128.to_le_bytes());
    // Clock, applied, floor, horizon; epoch, generation, last mark; the root; no nodes.
    let numbers = [1_000, 1_000, 0, 0, epoch, 0, last_mark, 0, 0, 0, 0];
    body.extend(numbers.into_iter().chain([marks.len() as u64]).flat_map(varint));
    // Each until microsecond 5 000, of one tag.
    body.extend(marks.iter().flat_map(|id| [varint(*id), varint(5_000), b"\x01\x01a".to_vec()].concat()));
    with_checksum(body)
}

#[test]
fn a_snapshot_that_leaves_no_number_for_what_comes_is_refused() {
    let config = EngineConfig::new(DomainId(9));
    let restore = |epoch, last_mark| Engine::restore(config.clone(), &snapshot(epoch, last_mark, &[]));
    for (epoch, last_mark) in [(1, 0), (1 << 40, 7), (1, 1 << 40)] {
        let mut engine = restore(epoch, last_mark).expect("far from the end");
        let mark = engine.change(&[tag("a")], 2_000, 1_000);
        assert_eq!(mark.0, last_mark + 1);
    }
    for (epoch, last_mark) in [(u64::MAX, 0), (u64::MAX - (1 << 32), 0), (1, u64::MAX)] {
        // What was accepted would fail here.
        let restored = restore(epoch, last_mark).map(|mut engine| engine.change(&[tag("a")], 2_000, 1_000));
        assert_eq!(restored, Err(SnapshotError::Malformed));
    }
}

/// Those that rise are read in a time that is linear in their number.
#[test]
fn a_snapshot_whose_marks_do_not_rise_is_refused() {
    let config = EngineConfig::new(DomainId(9));
    let restore = |marks: &[u64]| {
        let restored = Engine::restore(config.clone(), &snapshot(1, 1_000_000, marks));
        restored.map(|engine| engine.stats().pending_marks)
    };
    assert_eq!(restore(&(1..=1_000).collect::<Vec<_>>()), Ok(1_000));
    assert_eq!(restore(&[3, 1_000_000]), Ok(2));
    for marks in [&[3, 3][..], &[3, 4, 2], &[1_000_001]] {
        assert_eq!(restore(marks), Err(SnapshotError::Malformed), "{marks:?}");
    }
}

fn headers() -> impl Strategy<Value = Header> {
    let position = 0..=Timestamp::MAX_VALID;
    let one = (prop::sample::select(vec!["", "*", "a", "a:b:*", "ü:1.2:x@y"]), position.clone());
    let dependencies = prop::collection::vec(one.prop_map(|(text, stamp)| dependency(text, stamp)), 0..20);
    (any::<u128>(), position, any::<[u64; 2]>(), dependencies).prop_map(
        |(domain, as_of, [created_us, expires_us], dependencies)| Header {
            domain: DomainId(domain),
            as_of: Timestamp::from_micros(as_of),
            created_us,
            expires_us,
            dependencies,
        },
    )
}

proptest! {
    #[test]
    fn headers_survive(header in headers(), tail: Vec<u8>) {
        let bytes = header.encode();
        let read = Header::decode(&[&bytes[..], &tail[..]].concat());
        prop_assert_eq!(read, Ok((header, bytes.len())));
        for end in 0..bytes.len() {
            prop_assert!(Header::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_header_has_one_spelling(header in headers(), at: prop::sample::Index, byte: u8) {
        let mut bytes = header.encode();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        if let Ok((read, taken)) = Header::decode(&bytes) {
            prop_assert_eq!(read.encode(), &bytes[..taken]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Header::decode(&bytes);
        let _ = Header::decode(&[b"\x5a\x01", &bytes[..]].concat());
        let _ = Engine::restore(EngineConfig::new(DomainId(9)), &bytes);
    }

    #[test]
    fn any_snapshot_body_is_read_or_refused(at: prop::sample::Index, bytes in prop::collection::vec(any::<u8>(), 1..9)) {
        let snapshot = busy_engine().0.snapshot();
        let mut body = snapshot[..snapshot.len() - 8].to_vec();
        let place = at.index(body.len());
        body.splice(place..(place + bytes.len()).min(snapshot.len() - 8), bytes);
        if let Ok(mut engine) = Engine::restore(EngineConfig::new(DomainId(9)), &with_checksum(body)) {
            let fill = engine.begin(2_000);
            let dependencies = DependencySet::from_iter([engine.intern(&tag("org:1:store:1"))]);
            let _ = engine.seal(fill, &dependencies, Timestamp::MAX, 2_000);
            engine.prune(Timestamp::MAX, usize::MAX);
        }
    }
}
