//! What the engine does beyond one memory domain: logs, gossip, domains, doubt, size.
#![cfg(not(loom))]

use zoocache_core::{
    Applied, DependencySet, DomainId, Engine, EngineConfig, Header, HeaderDependency, Invalidation, LogRow,
    MarkId, Order, Rejected, Sealed, SettleError, Tag, Timestamp, Verdict, limits,
};

const DOMAIN: DomainId = DomainId(5);
const SECOND: u64 = 1_000_000;

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("valid")
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn engine(order: Order) -> Engine {
    Engine::new(EngineConfig { order, node_id: 1, ..EngineConfig::new(DOMAIN) })
}

fn seal(engine: &mut Engine, texts: &[&str], now_us: u64) -> Result<Sealed, Rejected> {
    let fill = engine.begin(now_us);
    let dependencies: DependencySet = texts.iter().map(|text| engine.intern(&tag(text))).collect();
    engine.seal(fill, &dependencies, Timestamp::MAX, now_us)
}

fn row(text: &str, below_only: bool, micros: u64) -> LogRow {
    LogRow { tag: tag(text), below_only, at: at(micros) }
}

fn stored(as_of: u64, text: &str, stamp: u64) -> Header {
    let dependencies = vec![HeaderDependency { tag: tag(text), stamp: at(stamp) }];
    Header { domain: DOMAIN, as_of: at(as_of), created_us: 0, expires_us: 0, dependencies }
}

#[test]
fn a_log_moves_applied_and_nothing_else_does() {
    let mut engine = engine(Order::Log);
    engine.apply_log(&[row("a:b", false, 10), row("a", true, 10)], at(12));
    assert_eq!(engine.signals().applied(), at(12));
    engine.apply_rows(&[row("a:c", false, 20)]);
    engine.invalidate(&[tag("z")], 30).expect("positions are left");
    assert_eq!(engine.signals().applied(), at(12));
    assert_eq!(engine.latest(&tag("a:*")), at(20));
    assert_eq!(engine.latest(&tag("a")), Timestamp::ZERO);
    assert_eq!(engine.latest(&tag("a:b:c")), at(10));
    assert!(matches!(seal(&mut engine, &["a:c"], 40), Err(Rejected::Stale(_))));
    assert_eq!(seal(&mut engine, &["a:b"], 40).expect("fresh").as_of(), at(12));
}

#[test]
fn a_log_settles_at_its_own_position() {
    let mut engine = engine(Order::Log);
    engine.apply_log(&[], at(50));
    let entry = seal(&mut engine, &["a:b"], 50).expect("fresh");
    let mark = engine.change(&[tag("a")], u64::MAX, 50);
    assert_eq!(entry.judge(engine.signals()), Verdict::Pending);
    assert_eq!(engine.judge(&stored(50, "a:b", 0), 50), Verdict::Pending);
    engine.settle_at(mark, at(60)).expect("known");
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert_eq!((engine.signals().applied(), engine.latest(&tag("a:b"))), (at(50), at(60)));
    assert_eq!(engine.settle_at(mark, at(61)), Err(SettleError::Unknown(mark)));
}

#[test]
fn a_stored_entry_is_judged_by_its_header() {
    let mut engine = engine(Order::Log);
    engine.apply_log(&[row("a", false, 10), row("s:t", true, 30)], at(40));
    assert_eq!(engine.judge(&stored(10, "a:b", 10), 50), Verdict::Fresh);
    assert_eq!(engine.judge(&stored(9, "a:b", 0), 50), Verdict::Stale);
    assert_eq!(engine.judge(&stored(20, "s:t:*", 0), 50), Verdict::Stale);
    assert_eq!(engine.judge(&stored(20, "s:t", 0), 50), Verdict::Fresh);
    assert_eq!(engine.judge(&stored(41, "a", 0), 50), Verdict::Unknown);
    assert_eq!(engine.judge(&stored(20, "q", 21), 50), Verdict::Stale);
    let expiring = Header { expires_us: 50, ..stored(20, "q", 0) };
    assert_eq!(
        (engine.judge(&expiring, 49), engine.judge(&expiring, 50)),
        (Verdict::Fresh, Verdict::Expired)
    );
    assert_eq!(engine.judge(&Header { domain: DomainId(6), ..stored(20, "q", 0) }, 50), Verdict::Foreign);
    engine.raise_floor(at(15));
    assert_eq!(engine.judge(&stored(10, "a:b", 10), 50), Verdict::Stale);
    assert!(engine.admit(&stored(20, "s:t", 0), 50).is_ok_and(|entry| entry.is_proved(engine.signals())));
}

#[test]
fn a_doubt_holds_until_the_log_is_read() {
    let mut engine = engine(Order::Log);
    let entry = seal(&mut engine, &["a"], 1).expect("fresh");
    engine.doubt();
    assert!(!entry.is_proved(engine.signals()));
    assert_eq!(entry.judge(engine.signals()), Verdict::Unknown);
    let unproved = seal(&mut engine, &["b"], 1).expect("kept, to be judged later");
    assert!(!unproved.is_proved(engine.signals()));
    engine.apply_rows(&[]);
    assert_eq!(entry.judge(engine.signals()), Verdict::Unknown);
    engine.apply_log(&[row("b", false, 5)], at(5));
    assert_eq!(entry.judge(engine.signals()), Verdict::Fresh);
    assert_eq!(unproved.judge(engine.signals()), Verdict::Stale);
}

#[test]
fn another_domain_makes_everything_foreign() {
    let mut engine = engine(Order::Log);
    engine.apply_log(&[row("a", false, 900)], at(1_000));
    let entry = seal(&mut engine, &["a"], 1_000).expect("fresh");
    let fill = engine.begin(1_000);
    let left = engine.begin(1_000);
    engine.reset_domain(DomainId(6), at(7));
    assert_eq!(entry.judge(engine.signals()), Verdict::Foreign);
    let dependencies = DependencySet::from_iter([engine.intern(&tag("a"))]);
    assert_eq!(engine.seal(fill, &dependencies, Timestamp::MAX, 1_000).err(), Some(Rejected::Foreign));
    engine.abandon(left);
    assert_eq!(engine.stats().running_fills, 0);
    // Positions of the old domain decide nothing in the new one, although they were higher.
    assert_eq!(seal(&mut engine, &["a"], 1_000).expect("fresh").as_of(), at(7));
    assert_eq!(engine.domain(), DomainId(6));
}

#[test]
fn handles_of_another_engine_are_foreign() {
    let mut other = engine(Order::Own);
    let mut engine = engine(Order::Own);
    let fill = engine.begin(1);
    let dependencies = DependencySet::from_iter([other.intern(&tag("a"))]);
    assert_eq!(engine.seal(fill, &dependencies, Timestamp::MAX, 1).err(), Some(Rejected::Foreign));
}

#[test]
fn a_message_is_applied_once_whatever_its_time() {
    let mut engine = engine(Order::Gossip);
    engine.invalidate(&[tag("x")], SECOND).expect("positions are left");
    let entry = seal(&mut engine, &["a:b"], SECOND).expect("fresh");
    let message = |micros| Invalidation { origin: 2, at: at(micros), tags: vec![tag("a")] };
    // The sender is 5 ms behind: its time as it is would hide the invalidation.
    let applied = engine.apply(&message(SECOND - 5_000), SECOND);
    assert_eq!(applied, Ok(Applied::At(at(SECOND + 1))));
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert_eq!(engine.apply(&message(SECOND - 5_000), SECOND), Ok(Applied::Duplicate));
    assert_eq!(engine.apply(&Invalidation { origin: 1, ..message(SECOND) }, SECOND), Ok(Applied::Duplicate));

    let entry = seal(&mut engine, &["a:b"], SECOND).expect("fresh");
    let poison = engine.apply(&message(u64::MAX), SECOND).expect("positions are left");
    assert!(matches!(poison, Applied::Drifted { .. }), "{poison:?}");
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert!(engine.stats().clock < at(SECOND + 10));
    assert_eq!((engine.stats().drift_refused, engine.stats().duplicates), (1, 2));
}

#[test]
fn without_a_common_log_an_entry_must_be_newer_by_the_window() {
    let mut engine = engine(Order::Gossip);
    engine.invalidate(&[tag("a")], 10 * SECOND).expect("positions are left");
    let judge = |engine: &mut Engine, as_of: u64| engine.judge(&stored(as_of, "a", 0), 11 * SECOND);
    assert_eq!(judge(&mut engine, 11 * SECOND - 1), Verdict::Stale);
    assert_eq!(judge(&mut engine, 11 * SECOND), Verdict::Fresh);
    assert_eq!(judge(&mut engine, 11 * SECOND + 500_001), Verdict::Unknown);
    let entry = engine.admit(&stored(11 * SECOND + 400_000, "a", 0), 11 * SECOND).expect("fresh");
    // A local position below the foreign `as_of` still counts.
    engine.invalidate(&[tag("a")], 11 * SECOND).expect("positions are left");
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
}

#[test]
fn a_header_tells_of_a_message_that_was_missed() {
    let mut engine = engine(Order::Gossip);
    let entry = seal(&mut engine, &["a:b"], 10 * SECOND).expect("fresh");
    assert_eq!(engine.judge(&stored(20 * SECOND, "a:b", 15 * SECOND), 20 * SECOND), Verdict::Fresh);
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert_eq!(engine.stats().missed, 1);
    assert_eq!(engine.judge(&stored(20 * SECOND, "a:b", 15 * SECOND), 20 * SECOND), Verdict::Fresh);
    assert_eq!(engine.stats().missed, 1);
}

#[test]
fn a_mark_that_expired_invalidates_again() {
    let mut engine = engine(Order::Own);
    let mark = engine.change(&[tag("a")], 100, 1);
    let entry = seal(&mut engine, &["a:b"], 100).expect("the mark has expired");
    assert_eq!(engine.stats().marks_expired, 1);
    engine.settle(mark, 200).expect("remembered");
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert_eq!(engine.settle(mark, 200), Err(SettleError::Unknown(mark)));
    assert_eq!(engine.settle(MarkId(77), 200), Err(SettleError::Unknown(MarkId(77))));
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_mark() {
    let mut engine = engine(Order::Own);
    let hour = 3_600 * SECOND;
    engine.change(&[tag("a")], hour + 2 * SECOND, hour);
    // Set back by nearly an hour, and so much has passed until the mark is due, told in steps.
    assert!(matches!(seal(&mut engine, &["a"], SECOND), Err(Rejected::Pending(_))));
    assert!(matches!(seal(&mut engine, &["a"], 2 * SECOND), Err(Rejected::Pending(_))));
    let restored =
        Engine::restore(EngineConfig { node_id: 1, ..EngineConfig::new(DOMAIN) }, &engine.snapshot());
    assert!(seal(&mut engine, &["a"], 3 * SECOND).is_ok());
    let mut restored = restored.expect("a snapshot");
    assert!(matches!(seal(&mut restored, &["a"], 2 * SECOND), Err(Rejected::Pending(_))));
    assert!(seal(&mut restored, &["a"], 3 * SECOND).is_ok());
}

#[test]
fn two_marks_on_one_tag_hold_until_both_are_settled() {
    let mut engine = engine(Order::Own);
    let marks = [(); 2].map(|()| engine.change(&[tag("a:b"), tag("a:b")], 1_000, 1));
    for mark in marks {
        assert!(matches!(seal(&mut engine, &["a:*"], 2), Err(Rejected::Pending(_))));
        engine.settle(mark, 2).expect("known");
    }
    assert!(seal(&mut engine, &["a:*", "a:b:c"], 3).is_ok());
}

#[test]
fn dead_nodes_stay_in_proportion() {
    let mut engine = engine(Order::Own);
    let live: Vec<_> = (0..100).map(|n| engine.intern(&tag(&format!("live:{n}")))).collect();
    for n in 0..20_000_u64 {
        engine.intern(&tag(&format!("gone:{n}:x")));
        engine.invalidate(&[tag(&format!("dead:{n}"))], n).expect("positions are left");
        assert!(engine.stats().nodes < 5 * live.len(), "{} nodes", engine.stats().nodes);
    }
    assert_eq!(engine.latest(&tag("live:7")), Timestamp::ZERO);
}

#[test]
fn a_running_fill_holds_back_what_it_may_have_to_see() {
    let mut engine = engine(Order::Own);
    let fill = engine.begin(1);
    engine.invalidate(&[tag("a:b")], 2).expect("positions are left");
    engine.prune(Timestamp::MAX, usize::MAX);
    let innocent = DependencySet::from_iter([engine.intern(&tag("a:c"))]);
    assert!(engine.seal(fill, &innocent, Timestamp::MAX, 3).is_ok());
    engine.prune(Timestamp::MAX, usize::MAX);
    assert_eq!(engine.latest(&tag("a:b")), at(2));
    assert_eq!(engine.latest(&tag("a:d")), at(2), "forgotten siblings speak through the floor");
}

#[test]
fn an_entry_may_have_a_hundred_thousand_dependencies() {
    let mut engine = engine(Order::Own);
    let fill = engine.begin(1);
    let mut dependencies = DependencySet::new();
    for n in 0..100_000_u32 {
        dependencies.insert(engine.intern(&tag(&format!("shop:{}:item:{n}", n % 300))));
    }
    let entry = engine.seal(fill, &dependencies, Timestamp::MAX, 1).expect("fresh");
    assert_eq!(entry.dependencies().count(), 100_000);
    assert!(entry.heap_bytes() < 100_000 * 20);
    let header = entry.header(engine.signals(), DOMAIN, 0, 0).expect("of this domain");
    assert_eq!(Header::decode(&header.encode()).map(|(read, _)| read), Ok(header));
    for n in [0_u32, 54_321, 99_999] {
        engine.invalidate(&[tag(&format!("shop:{}:item:x{n}", n % 300))], 2).expect("positions are left");
        assert_eq!(entry.judge(engine.signals()), Verdict::Fresh);
    }
    let last = engine.invalidate(&[tag("shop:99:item:54399")], 3).expect("positions are left");
    assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
    assert_eq!(
        entry.blame(engine.signals()).map(|cause| (cause.tag, cause.at)),
        Some((tag("shop:99:item:54399"), last))
    );
    assert_eq!(engine.explain(&entry).iter().filter(|state| state.stale).count(), 1);
}

#[test]
fn more_dependencies_than_the_limit_are_refused() {
    let mut engine = engine(Order::Own);
    let fill = engine.begin(1);
    let mut dependencies = DependencySet::new();
    for n in 0..=limits::MAX_DEPENDENCIES {
        dependencies.insert(engine.intern(&tag(&format!("n:{n}"))));
    }
    let count = limits::MAX_DEPENDENCIES + 1;
    let refused = engine.seal(fill, &dependencies, Timestamp::MAX, 1).err();
    assert_eq!(refused, Some(Rejected::TooManyDependencies { count }));
}

#[test]
fn an_exhausted_clock_changes_nothing() {
    let mut engine = engine(Order::Own);
    engine.invalidate(&[tag("a")], Timestamp::MAX_VALID).expect("the last one");
    let entry = seal(&mut engine, &["a"], 1).expect("fresh");
    let mark = engine.change(&[tag("b")], 5, 1);
    assert!(engine.invalidate(&[tag("a")], 1).is_err());
    assert!(engine.expire_marks(10).is_err() && engine.settle(mark, 10).is_err());
    assert_eq!(entry.judge(engine.signals()), Verdict::Fresh);
    assert!(matches!(seal(&mut engine, &["b"], 10), Err(Rejected::Pending(_))));
}
