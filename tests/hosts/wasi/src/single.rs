//! One instance alone: lifetimes, damage, a bucket that fails, a restart, a clock that is set back, and many tags.

use wasmtime::Engine;
use wasmtime::Result;
use wasmtime::component::Component;

use crate::bindings::exports::zoocache::engine::cache::NotStored;
use crate::bindings::exports::zoocache::engine::types::Verdict;
use crate::checks::Checks;
use crate::host::{Kind, Node, SECOND, world};

pub(crate) fn run(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    lifetimes(engine, cache, checks)?;
    damage(engine, cache, checks)?;
    a_bucket_that_fails(engine, cache, checks)?;
    a_restart(engine, cache, checks)?;
    a_clock_that_is_set_back(engine, cache, checks)?;
    many_tags(engine, cache, checks)
}

fn lifetimes(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let world = world();
    let mut node = Node::start(engine, cache, &world, Kind::Alone)?;
    let fill = node.begin("a")?;
    world.borrow_mut().now += SECOND;
    checks.holds("stored for a minute", node.finish(fill, b"value", &["t"], Some(60 * SECOND))?.is_ok());
    world.borrow_mut().now += 60 * SECOND - 1;
    checks.equal("in its last microsecond", node.get("a")?, Some(b"value".to_vec()));
    world.borrow_mut().now += 1;
    checks.equal("after its last microsecond", node.get("a")?, None);
    let verdict = node.explain("a")?.map(|explanation| explanation.verdict);
    checks.equal("why", verdict, Some(Verdict::Expired));
    let fill = node.begin("b")?;
    checks.holds("stored for ever", node.finish(fill, b"", &[], Some(u64::MAX))?.is_ok());
    checks.equal("an empty value", node.get("b")?, Some(Vec::new()));
    Ok(())
}

/// Each bit flipped, each length cut, and the entry of another key: a miss each time.
fn damage(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let world = world();
    let mut node = Node::start(engine, cache, &world, Kind::Alone)?;
    checks.holds("stored", node.fill("key", b"some value", &["org:1:store:2"])?.is_ok());
    checks.holds("stored, too", node.fill("other", b"another value", &["org:1"])?.is_ok());
    let names = ["zoocache/1/key", "zoocache/1/other"];
    let [row, other] = names.map(|name| world.borrow().rows.get(name).cloned().unwrap_or_default());
    let mut put = |row: Vec<u8>| {
        world.borrow_mut().rows.insert(names[0].into(), row);
        node.get("key")
    };
    let (mut served, mut all) = (0, 0);
    let mut count = |value: Option<Vec<u8>>| {
        all += 1;
        served += usize::from(value.is_some());
    };
    for bit in 0..row.len() * 8 {
        let mut damaged = row.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        count(put(damaged)?);
    }
    for length in 0..row.len() {
        count(put(row[..length].to_vec())?);
    }
    count(put([&row[..], b"more"].concat())?);
    count(put(other)?);
    checks.equal("values of damaged rows", served, 0);
    checks.holds("rows were damaged", all > 500);
    checks.equal("undamaged", put(row)?, Some(b"some value".to_vec()));
    Ok(())
}

fn a_bucket_that_fails(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let world = world();
    let mut node = Node::start(engine, cache, &world, Kind::Alone)?;
    world.borrow_mut().is_bucket_gone = true;
    checks.equal("no bucket", node.get("a")?, None);
    let failed = Err(NotStored::Storage("the bucket is gone".into()));
    checks.equal("stored in no bucket", node.fill("a", b"1", &["t"])?, failed.clone());
    world.borrow_mut().is_bucket_gone = false;
    checks.equal("stored in a bucket", node.fill("a", b"2", &["t"])?, Ok(()));
    checks.equal("from a bucket", node.get("a")?, Some(b"2".to_vec()));
    world.borrow_mut().is_bucket_gone = true;
    checks.equal("from a bucket that went", node.get("a")?, None);
    checks.equal("invalidated without", node.invalidate("t")?.is_published, true);
    world.borrow_mut().is_bucket_gone = false;
    checks.equal("stale in the bucket that is back", node.get("a")?, None);
    Ok(())
}

/// Nobody knows what was invalidated after the instance ended.
fn a_restart(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let world = world();
    let mut node = Node::start(engine, cache, &world, Kind::Alone)?;
    checks.equal("stored", node.fill("a", b"1", &["t"])?, Ok(()));
    checks.equal("there", node.get("a")?, Some(b"1".to_vec()));
    let mut next = Node::start(engine, cache, &world, Kind::Alone)?;
    checks.equal("after a restart", next.get("a")?, None);
    let verdict = next.explain("a")?.map(|explanation| explanation.verdict);
    checks.equal("why", verdict, Some(Verdict::Foreign));
    checks.equal("stored anew", next.fill("a", b"2", &["t"])?, Ok(()));
    checks.equal("there anew", next.get("a")?, Some(b"2".to_vec()));
    checks.equal("for the other instance", node.get("a")?, None);
    Ok(())
}

fn a_clock_that_is_set_back(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let world = world();
    let mut node = Node::start(engine, cache, &world, Kind::Alone)?;
    checks.equal("stored", node.fill("a", b"1", &["t"])?, Ok(()));
    let first = node.invalidate("u")?.at;
    for now in [1_600_000_000 * SECOND, 0, u64::MAX / 2_000] {
        world.borrow_mut().now = now;
        checks.equal("there", node.get("a")?.is_some(), true);
        checks.holds("positions rise", node.invalidate("t")?.at > first);
        checks.equal("invalidated", node.get("a")?, None);
        checks.equal("stored again", node.fill("a", b"1", &["t"])?, Ok(()));
    }
    Ok(())
}

/// More tags than are remembered: memory stays bounded, and what is stale stays so.
fn many_tags(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let mut node = Node::start(engine, cache, &world(), Kind::Alone)?;
    checks.equal("stored", node.fill("a", b"1", &["org:1:first"])?, Ok(()));
    node.invalidate("org:1:first")?;
    for number in 0..400_000 {
        node.invalidate(&format!("org:{}:item:{number}", number % 10))?;
    }
    checks.equal("invalidated long ago", node.get("a")?, None);
    checks.equal("stored", node.fill("a", b"2", &["org:1:first"])?, Ok(()));
    checks.equal("there", node.get("a")?, Some(b"2".to_vec()));
    Ok(())
}
