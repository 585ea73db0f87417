//! Nodes without a common log: what they tell each other, and that nothing of it is lost or goes round for ever.
#![cfg(not(loom))]

use proptest::prelude::*;
use zoocache_core::limits::{MAX_REMEMBERED_MESSAGES, MAX_TAIL_MESSAGES};
use zoocache_core::{
    Applied, DomainId, Engine, EngineConfig, Header, HeaderDependency, Invalidation, Order, Tag, Timestamp,
    Verdict,
};

const SECOND: u64 = 1_000_000;

fn config(node_id: u64) -> EngineConfig {
    EngineConfig { order: Order::Gossip, node_id, ..EngineConfig::new(DomainId(5)) }
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("a tag")
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn header(as_of: u64, name: &str, stamp: u64) -> Header {
    let dependencies = vec![HeaderDependency { tag: tag(name), stamp: at(stamp) }];
    Header { domain: DomainId(5), as_of: at(as_of), created_us: 0, expires_us: 0, dependencies }
}

/// Applies what `from` knows after `known`; returns up to where it is known then.
fn pull(from: &Engine, to: &mut Engine, known: Timestamp) -> Timestamp {
    let tail = from.tail(known);
    assert!(tail.is_complete);
    for message in &tail.messages {
        to.apply(message, SECOND).expect("positions are left");
    }
    tail.to
}

#[test]
fn a_tail_holds_what_was_made_and_what_was_received_and_settled_changes() {
    let (mut one, mut two, mut three) =
        (Engine::new(config(1)), Engine::new(config(2)), Engine::new(config(3)));
    let first = one.invalidate(&[tag("a"), tag("b:c")], SECOND).expect("positions are left");
    let mark = one.change(&[tag("d")], 9 * SECOND, SECOND);
    let settled = one.settle(mark, SECOND).expect("is known");
    one.change(&[tag("e")], 2 * SECOND, SECOND);
    one.expire_marks(3 * SECOND).expect("positions are left");
    let told = one.tail(Timestamp::ZERO);
    let of =
        |at, tags: &[&str]| Invalidation { origin: 1, at, tags: tags.iter().map(|text| tag(text)).collect() };
    let expected = [of(first, &["a", "b:c"]), of(settled, &["d"]), of(told.to, &["e"])];
    assert_eq!((told.messages.as_slice(), told.is_complete), (&expected[..], true));

    let known = pull(&one, &mut two, Timestamp::ZERO);
    pull(&two, &mut three, Timestamp::ZERO);
    for name in ["a", "b:c", "d", "e"] {
        assert!(three.latest(&tag(name)) > Timestamp::ZERO, "{name} came through another node");
    }
    assert_eq!(three.tail(Timestamp::ZERO).messages[0], expected[0], "the origin's message, unchanged");
    assert_eq!(pull(&two, &mut one, Timestamp::ZERO), two.stats().clock);
    assert_eq!(one.stats().duplicates, 3, "its own are known");
    assert!(one.tail(known).messages.is_empty());
    assert_eq!(one.origin_of(first), Some(1));
    assert_eq!(one.origin_of(at(3)), None);
}

#[test]
fn who_is_too_far_behind_is_told_so() {
    let mut engine = Engine::new(config(1));
    for number in 0..=MAX_TAIL_MESSAGES as u64 {
        engine.invalidate(&[tag("a")], SECOND + number).expect("positions are left");
    }
    let tail = engine.tail(Timestamp::ZERO);
    assert_eq!((tail.messages.len(), tail.is_complete), (MAX_TAIL_MESSAGES, false));
    assert!(engine.tail(at(SECOND)).is_complete);

    let many: Vec<Tag> = (0..20_000).map(|number| tag(&format!("t:{number}"))).collect();
    engine.invalidate(&many, 3 * SECOND).expect("positions are left");
    assert!(!engine.tail(at(2 * SECOND)).is_complete, "a message larger than what is kept");
    assert!(!Engine::new(EngineConfig::new(DomainId(1))).tail(Timestamp::ZERO).is_complete);
}

#[test]
fn what_a_node_made_after_its_snapshot_comes_back_from_others() {
    let (mut one, mut two) = (Engine::new(config(1)), Engine::new(config(2)));
    let known = one.invalidate(&[tag("a")], SECOND).expect("positions are left");
    let snapshot = one.snapshot();
    one.invalidate(&[tag("b")], 2 * SECOND).expect("positions are left");
    pull(&one, &mut two, Timestamp::ZERO);
    let mut restored = Engine::restore(config(1), &snapshot).expect("its own");
    assert!(!restored.tail(Timestamp::ZERO).is_complete, "it has forgotten messages");
    assert!(restored.tail(known).is_complete);
    pull(&two, &mut restored, Timestamp::ZERO);
    assert!(restored.latest(&tag("b")) > known);
    assert_eq!(restored.latest(&tag("a")), known, "the snapshot held that one");
    assert_eq!(restored.stats().duplicates, 1);
}

#[test]
fn a_message_that_may_be_an_old_one_is_applied_and_told_on_as_ones_own() {
    let mut engine = Engine::new(config(1));
    let message = |micros| Invalidation { origin: 2, at: at(micros), tags: vec![tag("a")] };
    for number in 0..=2 * MAX_REMEMBERED_MESSAGES as u64 {
        engine.apply(&message(SECOND + number), SECOND).expect("positions are left");
    }
    let before = engine.stats().clock;
    assert!(matches!(engine.apply(&message(SECOND), SECOND), Ok(Applied::At(_))));
    assert!(engine.latest(&tag("a")) > before);
    let told = engine.tail(before).messages;
    assert_eq!((told.len(), told[0].origin), (1, 1), "under a name that does not go round");
}

#[test]
fn a_header_tells_of_what_was_missed_and_is_explained() {
    let mut engine = Engine::new(config(1));
    engine.invalidate(&[tag("x")], 10 * SECOND).expect("positions are left");
    let stored = header(12 * SECOND, "a:b", 11 * SECOND);
    assert_eq!(engine.latest(&tag("a:b")), Timestamp::ZERO);
    assert_eq!(engine.catch_up(&stored, 11 * SECOND), Ok(1));
    assert!(engine.latest(&tag("a:b")) > at(11 * SECOND));
    assert_eq!(engine.catch_up(&stored, 11 * SECOND), Ok(0));
    assert_eq!(engine.tail(at(10 * SECOND)).messages.len(), 1, "others learn of it through this node");
    assert_eq!(engine.catch_up(&Header { domain: DomainId(6), ..stored.clone() }, 11 * SECOND), Ok(0));
    let states = engine.explain_header(&header(10 * SECOND, "a:b", 0));
    assert_eq!((states.len(), states[0].stale, states[0].pending), (1, true, false));
    engine.change(&[tag("a")], 99 * SECOND, 11 * SECOND);
    assert!(engine.explain_header(&header(12 * SECOND, "a:b", 0))[0].pending);
    assert_eq!(engine.stats().nodes, 3, "x, a, a:b: explaining makes none");
}

/// What a node computes and seals, as it is stored for others.
fn stored(engine: &mut Engine, name: &str, now_us: u64) -> Header {
    let fill = engine.begin(now_us);
    let dependency = engine.intern(&tag(name));
    let sealed = engine.seal(fill, &[dependency], Timestamp::MAX, now_us).expect("is fresh");
    engine.header(&sealed, now_us, 0).expect("of this domain")
}

#[test]
fn nodes_that_heard_at_different_times_take_each_others_entries() {
    let mut nodes = [Engine::new(config(1)), Engine::new(config(2))];
    nodes[0].invalidate(&[tag("a")], 10 * SECOND).expect("positions are left");
    let _ = stored(&mut nodes[1], "b", 20 * SECOND);
    let mut known = [Timestamp::ZERO; 2];
    for now_us in (20..100).step_by(10).map(|seconds| seconds * SECOND) {
        // What one has found out, the other hears of long after it has used its own.
        for (from, to) in [(0, 1), (1, 0)] {
            let tail = nodes[from].tail(known[to]);
            for message in &tail.messages {
                nodes[to].apply(message, now_us).expect("positions are left");
            }
            known[to] = tail.to;
        }
        for (maker, reader) in [(0, 1), (1, 0)] {
            let header = stored(&mut nodes[maker], "a:b", now_us + 3 * SECOND);
            let verdict = nodes[reader].judge(&header, now_us + 5 * SECOND);
            assert_eq!(verdict, Verdict::Fresh, "of {maker}, at {now_us}");
        }
    }
    assert_eq!((nodes[0].stats().missed, nodes[1].stats().missed), (0, 0), "nothing was");
}

#[test]
fn what_is_found_out_goes_round_once() {
    let mut nodes = [Engine::new(config(1)), Engine::new(config(2)), Engine::new(config(3))];
    nodes[0].invalidate(&[tag("a")], 10 * SECOND).expect("positions are left");
    let header = stored(&mut nodes[0], "a", 12 * SECOND);
    assert_eq!(header.dependencies[0].stamp, at(10 * SECOND));
    let made = |nodes: &mut [Engine; 3], node: usize| {
        let _ = stored(&mut nodes[node], "b", 30 * SECOND);
        assert_eq!(nodes[node].judge(&header, 30 * SECOND), Verdict::Stale, "applied above all that began");
        nodes[node].tail(Timestamp::ZERO).messages
    };
    let (one, two) = (made(&mut nodes, 1), made(&mut nodes, 2));
    assert_eq!(one, two, "two that find it out say the same");
    assert_eq!(nodes[2].apply(&one[0], 31 * SECOND), Ok(Applied::Duplicate));
    let header = stored(&mut nodes[1], "a", 32 * SECOND);
    assert_eq!(header.dependencies[0].stamp, at(10 * SECOND), "it keeps its time");
    assert_eq!(nodes[1].origin_of(nodes[1].latest(&tag("a"))), Some(2), "nobody knows who made it");
}

#[test]
fn what_a_fill_did_not_know_of_is_in_its_header() {
    let mut engine = Engine::new(config(1));
    let fill = engine.begin(10 * SECOND);
    let dependency = engine.intern(&tag("a"));
    let sealed = engine.seal(fill, &[dependency], Timestamp::MAX, 10 * SECOND).expect("is fresh");
    let message = Invalidation { origin: 2, at: at(9 * SECOND), tags: vec![tag("a")] };
    engine.apply(&message, 10 * SECOND).expect("positions are left");
    let header = engine.header(&sealed, 10 * SECOND, 0).expect("of this domain");
    assert!(header.dependencies[0].stamp > header.as_of, "stale wherever it is read");
}

proptest! {
    /// However messages get around, every node ends up with every invalidation, and pulling ends.
    #[test]
    fn everything_gets_everywhere(
        steps in prop::collection::vec((0..3_usize, 0..3_usize, 0..5_u8), 1..60),
    ) {
        let mut nodes: Vec<Engine> = (0..3).map(|node| Engine::new(config(node))).collect();
        let mut known = [[Timestamp::ZERO; 3]; 3];
        let mut made = Vec::new();
        for (node, other, what) in steps {
            if what < 3 {
                let name = format!("t:{what}:{}", made.len());
                nodes[node].invalidate(&[tag(&name)], SECOND).expect("positions are left");
                made.push(name);
            } else if node != other {
                let [from, to] = nodes.get_disjoint_mut([node, other]).expect("two of three");
                known[other][node] = pull(from, to, known[other][node]);
            }
        }
        for [node, other] in [[0, 1], [1, 2], [2, 0], [0, 2], [2, 1], [1, 0]].repeat(2) {
            let [from, to] = nodes.get_disjoint_mut([node, other]).expect("two of three");
            known[other][node] = pull(from, to, known[other][node]);
        }
        for name in &made {
            prop_assert!(nodes.iter().all(|node| node.latest(&tag(name)) > Timestamp::ZERO), "{}", name);
        }
        for node in &nodes {
            prop_assert_eq!(node.tail(Timestamp::ZERO).messages.len(), made.len(), "each once");
        }
    }
}
