//! Several instances with a bus and one bucket.

use wasmtime::Engine;
use wasmtime::Result;
use wasmtime::component::Component;

use crate::bindings::exports::zoocache::engine::cache::NotStored;
use crate::bindings::exports::zoocache::engine::types::Verdict;
use crate::bindings::zoocache::engine::bus::Invalidation;
use crate::checks::Checks;
use crate::host::{Kind, Node, SECOND, Shared, world};

pub(crate) fn run(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let start = |world: &Shared| {
        let node = Node::start(engine, cache, world, Kind::Node(0))?;
        Ok(node)
    };
    invalidations_get_around(&start, checks)?;
    a_restart(&start, checks)?;
    a_message_that_is_late(&start, checks)?;
    an_old_value_in_a_new_one(&start, checks)?;
    a_bus_that_fails(&start, checks)
}

type Start<'a> = &'a dyn Fn(&Shared) -> Result<Node>;

/// Two that have begun, as their first call is.
fn two_nodes(start: Start<'_>) -> Result<(Shared, Node, Node)> {
    let world = world();
    let (mut one, mut two) = (start(&world)?, start(&world)?);
    one.get("a")?;
    two.get("a")?;
    Ok((world, one, two))
}

fn invalidations_get_around(start: Start<'_>, checks: &mut Checks) -> Result<()> {
    let (world, mut one, mut two) = two_nodes(start)?;
    let later = |micros| world.borrow_mut().now += micros;
    checks.holds("too soon after the start", is_stale(&one.fill("a", b"1", &["t"])?));
    later(SECOND);
    checks.equal("stored", one.fill("a", b"1", &["t"])?, Ok(()));
    checks.equal("at the other", two.get("a")?, Some(b"1".to_vec()));
    let fill = one.begin("a")?;
    checks.holds("told", two.invalidate("t")?.is_published);
    checks.equal("where it was made", two.get("a")?, None);
    checks.equal("where it was heard", one.get("a")?, None);
    let cause = two.explain("a")?.and_then(|explanation| match explanation.verdict {
        Verdict::Stale(cause) => cause.node,
        _ => None,
    });
    checks.equal("who made it", cause, Some(2));
    checks.holds("computed across it", is_stale(&one.finish(fill, b"1", &["t"], None)?));
    checks.holds("too soon after it", is_stale(&one.fill("a", b"2", &["t"])?));
    later(2 * SECOND);
    checks.equal("stored again", one.fill("a", b"2", &["t"])?, Ok(()));
    checks.equal("here", one.get("a")?, Some(b"2".to_vec()));
    checks.equal("at the other again", two.get("a")?, Some(b"2".to_vec()));

    let unreadable = Invalidation { origin: 99, at: 5, tags: vec!["::".into()] };
    world.borrow_mut().messages.push(unreadable);
    checks.equal("a message that cannot be read", two.get("a")?, None);
    Ok(())
}

/// What was invalidated while the node was away is not known to it, though its domain is the same.
fn a_restart(start: Start<'_>, checks: &mut Checks) -> Result<()> {
    let (world, mut one, mut two) = two_nodes(start)?;
    let later = |micros| world.borrow_mut().now += micros;
    later(SECOND);
    checks.equal("stored", one.fill("a", b"1", &["t"])?, Ok(()));
    checks.equal("stored, too", one.fill("b", b"1", &["u"])?, Ok(()));
    drop(one);
    two.invalidate("t")?;
    later(60 * SECOND);
    let mut one = start(&world)?;
    checks.equal("invalidated meanwhile", one.get("a")?, None);
    checks.equal("perhaps invalidated meanwhile", one.get("b")?, None);
    checks.equal("at the other", two.get("b")?, Some(b"1".to_vec()));
    later(SECOND);
    checks.equal("stored anew", two.fill("a", b"2", &["t"])?, Ok(()));
    checks.equal("there anew", one.get("a")?, Some(b"2".to_vec()));
    Ok(())
}

/// Nodes that hear of an invalidation at different times go on with each other's entries.
fn a_message_that_is_late(start: Start<'_>, checks: &mut Checks) -> Result<()> {
    let (world, mut one, mut two) = two_nodes(start)?;
    let later = |micros| world.borrow_mut().now += micros;
    later(SECOND);
    one.invalidate("t")?;
    let message = world.borrow_mut().messages.pop();
    later(5 * SECOND);
    checks.equal("stored", one.fill("a", b"1", &["t"])?, Ok(()));
    checks.equal("at the other", two.get("a")?, Some(b"1".to_vec()));
    world.borrow_mut().messages.extend(message);
    checks.equal("when it is heard", two.get("a")?, None);
    for value in 2..6 {
        later(2 * SECOND);
        let (here, there) = if value % 2 == 0 { (&mut two, &mut one) } else { (&mut one, &mut two) };
        checks.equal("stored in turn", here.fill("a", &[value], &["t"])?, Ok(()));
        checks.equal("at the other in turn", there.get("a")?, Some(vec![value]));
    }
    Ok(())
}

/// What a node computes from an entry that only others know to be stale is stale for them, too.
fn an_old_value_in_a_new_one(start: Start<'_>, checks: &mut Checks) -> Result<()> {
    let (world, mut one, mut two) = two_nodes(start)?;
    let later = |micros| world.borrow_mut().now += micros;
    later(SECOND);
    checks.equal("stored", two.fill("a", b"1", &["t"])?, Ok(()));
    one.invalidate("t")?;
    let message = world.borrow_mut().messages.pop();
    later(5 * SECOND);
    let fill = two.begin("b")?;
    checks.equal("where nothing is known of it", two.get_within("a", fill)?, Some(b"1".to_vec()));
    checks.equal("stored with it", two.finish(fill, b"of 1", &["u"], None)?, Ok(()));
    checks.equal("where it was made", one.get("b")?, None);
    checks.equal("before it is heard", two.get("b")?, Some(b"of 1".to_vec()));
    world.borrow_mut().messages.extend(message);
    checks.equal("when it is heard", two.get("b")?, None);
    Ok(())
}

fn a_bus_that_fails(start: Start<'_>, checks: &mut Checks) -> Result<()> {
    let (world, mut one, mut two) = two_nodes(start)?;
    world.borrow_mut().now += SECOND;
    checks.equal("stored", one.fill("a", b"1", &["t"])?, Ok(()));
    world.borrow_mut().is_bus_deaf = true;
    checks.equal("told to nobody", one.invalidate("t")?.is_published, false);
    checks.equal("where it was made", one.get("a")?, None);
    checks.equal("where nothing is known of it", two.get("a")?, Some(b"1".to_vec()));
    world.borrow_mut().is_bus_deaf = false;
    one.get("b")?;
    checks.equal("told late", two.get("a")?, None);

    world.borrow_mut().now += 2 * SECOND;
    checks.equal("stored again", one.fill("a", b"2", &["t"])?, Ok(()));
    world.borrow_mut().is_bus_deaf = true;
    for number in 0..5_000 {
        one.invalidate(&format!("other:{number}"))?;
    }
    checks.equal("many are told to nobody", two.get("a")?, Some(b"2".to_vec()));
    world.borrow_mut().is_bus_deaf = false;
    checks.equal("more than are remembered", one.invalidate("other:0")?.is_published, true);
    checks.equal("everything, then", two.get("a")?, None);

    world.borrow_mut().now += 2 * SECOND;
    checks.equal("stored once more", one.fill("a", b"3", &["t"])?, Ok(()));
    world.borrow_mut().was_a_message_lost = true;
    checks.equal("a message was lost", two.get("a")?, None);
    checks.holds("stored meanwhile", is_stale(&two.fill("a", b"3", &["t"])?));
    world.borrow_mut().was_a_message_lost = false;
    checks.equal("it stays so", two.get("a")?, None);
    world.borrow_mut().now += 2 * SECOND;
    checks.equal("stored at last", two.fill("a", b"4", &["t"])?, Ok(()));
    checks.equal("there at last", one.get("a")?, Some(b"4".to_vec()));
    Ok(())
}

fn is_stale(stored: &Result<(), NotStored>) -> bool {
    matches!(stored, Err(NotStored::Verdict(Verdict::Stale(_))))
}
