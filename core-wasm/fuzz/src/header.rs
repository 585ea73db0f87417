//! Bytes as headers: read or refused, in one spelling, and judged without trust.

use zoocache_core::{Engine, EngineConfig, Header, Order, Tag, Timestamp, Verdict};

use crate::allocations::within;

/// A dependency takes two bytes at least, and forty in memory; a list grows by doubling.
const MOST_FOR_EACH_BYTE: usize = 128;
/// Of admission: nodes for every segment.
const MOST_ADMITTED_FOR_EACH_BYTE: usize = 1_024;
const MOST_AT_LEAST: usize = 16 << 10;

/// What is read is written with the same bytes; what is cut is refused; and any engine can judge it.
pub fn check(bytes: &[u8]) {
    let read = within(MOST_AT_LEAST + bytes.len() * MOST_FOR_EACH_BYTE, || Header::decode(bytes));
    let (header, taken) = match read {
        Ok(read) => read,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(header.encode(), &bytes[..taken]);
    for end in (0..taken).rev().take(64) {
        assert!(Header::decode(&bytes[..end]).is_err(), "cut at {end} of {taken}");
    }
    for order in [Order::Own, Order::Log, Order::Gossip] {
        for now_us in [0, header.as_of.as_micros(), u64::MAX] {
            judge(&header, taken, order, now_us);
        }
    }
}

fn judge(header: &Header, length: usize, order: Order, now_us: u64) {
    let mut engine = Engine::new(EngineConfig { order, ..EngineConfig::new(header.domain) });
    // Far enough for it to know of the entry's time, if there is more of it.
    if order == Order::Own && header.as_of < Timestamp::MAX {
        let _ = engine.invalidate(&[Tag::parse("other").expect("valid")], header.as_of.as_micros());
    }
    let nodes = engine.stats().nodes;
    let verdict = engine.judge(header, now_us);
    let is_older = header.dependencies.iter().all(|dependency| dependency.stamp <= header.as_of);
    assert!(verdict != Verdict::Fresh || is_older, "an invalidation after it is known to the header itself");
    let states = engine.explain_header(header);
    assert_eq!(states.len(), header.dependencies.len());
    if order != Order::Gossip {
        assert_eq!(engine.stats().nodes, nodes, "judging makes none");
    }
    let most = MOST_AT_LEAST + length * MOST_ADMITTED_FOR_EACH_BYTE;
    let admitted = within(most, || engine.admit(header, now_us));
    assert_eq!(admitted.is_ok(), verdict == Verdict::Fresh);
    if let Ok(entry) = admitted {
        assert_eq!(entry.judge(engine.signals()), Verdict::Fresh);
        assert!(entry.dependencies().count() <= header.dependencies.len());
    }
    assert!(engine.inspect(header).is_some());
    let _ = engine.catch_up(header, now_us);
}
