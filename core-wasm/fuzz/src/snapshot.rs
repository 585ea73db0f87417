//! Bytes as snapshots: read or refused, and what is read answers like what was saved.
//!
//! The first byte chooses who orders invalidations; the rest is what stands between the domain and the checksum, which are
//! put around it, as nothing could be found behind them otherwise.

use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, Header, HeaderDependency, Order, SettleError, Tag,
    Timestamp,
};

use crate::allocations::within;

const DOMAIN: DomainId = DomainId(9);
/// A few bytes can be the text of sixteen nodes.
const MOST_FOR_EACH_BYTE: usize = 1_024;
const MOST_AT_LEAST: usize = 16 << 10;
/// Texts of an input that are looked up.
const MAX_PROBES: usize = 32;

/// Whatever is read can be used, saved and read again, and then answers alike.
pub fn check(bytes: &[u8]) {
    let config = EngineConfig::new(DOMAIN);
    let _ = within(MOST_AT_LEAST, || Engine::restore(config.clone(), bytes));
    let Some((order, contents)) = bytes.split_first() else { return };
    let order = [Order::Own, Order::Log, Order::Gossip][usize::from(order % 3)];
    let config = EngineConfig { order, ..config };
    let most = MOST_AT_LEAST + contents.len() * MOST_FOR_EACH_BYTE;
    let snapshot = around(contents);
    let Ok(engine) = within(most, || Engine::restore(config.clone(), &snapshot)) else { return };
    // Each restart adds to the epoch; at some 2^30 of them it ends.
    let Ok(mut again) = Engine::restore(config, &engine.snapshot()) else {
        return assert!(engine.stats().epoch > 1 << 62, "its own snapshot");
    };
    compare(engine, &mut again, &probes(contents));
    run(again);
}

/// A snapshot with such contents.
fn around(contents: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"\x5a\x53\x01"[..], &DOMAIN.0.to_le_bytes(), contents].concat();
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// What could be tags in the contents, and some more.
fn probes(contents: &[u8]) -> Vec<Tag> {
    let text_at = |place: usize| {
        let length = usize::from(contents[place]);
        Tag::parse(str::from_utf8(contents.get(place + 1..=place + length)?).ok()?).ok()
    };
    let mut probes: Vec<_> = (0..contents.len()).filter_map(text_at).take(MAX_PROBES).collect();
    let below: Vec<_> = probes.iter().filter_map(|tag| Tag::parse(&format!("{tag}:*")).ok()).collect();
    probes.extend(below);
    probes.extend(["*", "a", "a:*", "a:b:c", "unknown"].map(|text| Tag::parse(text).expect("valid")));
    probes.push(Tag::root());
    probes
}

fn compare(mut one: Engine, two: &mut Engine, probes: &[Tag]) {
    let known = |engine: &Engine| {
        let stats = engine.stats();
        (stats.nodes, stats.pending_marks, stats.clock, stats.applied, stats.floor)
    };
    assert_eq!(known(&one), known(two));
    for tag in probes {
        assert_eq!(one.latest(tag), two.latest(tag), "{tag}");
        for as_of in [one.stats().applied, one.latest(tag), Timestamp::ZERO] {
            let stamp = Timestamp::ZERO;
            let dependencies = vec![HeaderDependency { tag: tag.clone(), stamp }];
            let header = Header { domain: DOMAIN, as_of, created_us: 0, expires_us: 0, dependencies };
            // Time 0, so that no mark ends.
            assert_eq!(one.judge(&header, 0), two.judge(&header, 0), "{tag} as of {as_of}");
        }
    }
}

/// Nothing that can be read makes an engine fail later.
fn run(mut engine: Engine) {
    let tag = Tag::parse("a:b").expect("valid");
    let fill = engine.begin(2_000);
    let dependencies = DependencySet::from_iter([engine.intern(&tag)]);
    let sealed = engine.seal(fill, &dependencies, Timestamp::MAX, 2_000);
    let is_fresh =
        |engine: &Engine| sealed.as_ref().is_ok_and(|entry| entry.judge(engine.signals()).is_fresh());
    let mark = engine.change(std::slice::from_ref(&tag), 3_000, 2_500);
    assert!(!is_fresh(&engine), "announced");
    // Perhaps no position is left.
    let _ = engine.invalidate(std::slice::from_ref(&tag), 2_600);
    match engine.settle(mark, 2_700) {
        Ok(_) | Err(SettleError::Clock(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let _ = engine.expire_marks(Timestamp::MAX_VALID);
    assert!(!is_fresh(&engine), "settled, or announced still");
    engine.apply_log(&[], Timestamp::MAX);
    engine.prune(Timestamp::MAX, usize::MAX);
    engine.reset_domain(DomainId(10), Timestamp::ZERO);
}
