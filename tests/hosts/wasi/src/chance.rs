//! Calls by chance, of instances that come and go, against the one thing that must never happen: a hit that is not as the
//! table is now.

use wasmtime::Engine;
use wasmtime::Result;
use wasmtime::component::{Component, ResourceAny};

use crate::checks::Checks;
use crate::host::{Kind, Node, SECOND, Shared, world};

const STEPS: usize = 60_000;
const TAGS: [&str; 4] = ["a", "a:b", "a:b:c", "d"];
/// What each key is computed from.
const KEYS: [&[usize]; 5] = [&[0], &[2], &[1, 3], &[3], &[0, 2, 3]];

/// A computation that has read the table.
struct Running {
    node: usize,
    key: usize,
    value: [u8; 4],
    fill: ResourceAny,
}

struct Table {
    nodes: Vec<Node>,
    world: Shared,
    /// A version for each tag.
    versions: [u8; 4],
    running: Vec<Running>,
    hits: usize,
    stale: usize,
}

pub(crate) fn run(engine: &Engine, cache: &Component, checks: &mut Checks) -> Result<()> {
    let seed = std::env::var("ZOOCACHE_SEED").ok().and_then(|seed| seed.parse().ok());
    for (what, kinds) in [
        ("an instance alone", &[Kind::Alone][..]),
        ("nodes whose clocks differ", &[Kind::Node(0), Kind::Node(SECOND / 4), Kind::Node(SECOND / 2)]),
    ] {
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        fastrand::seed(seed);
        let world = world();
        let start = |node: usize| Node::start(engine, cache, &world, kinds[node]);
        let nodes = (0..kinds.len()).map(start).collect::<Result<_>>()?;
        let mut table =
            Table { nodes, world: world.clone(), versions: [0; 4], running: Vec::new(), hits: 0, stale: 0 };
        for _ in 0..STEPS {
            table.step(&start)?;
        }
        checks.equal(&format!("{what}, stale hits with ZOOCACHE_SEED={seed}"), table.stale, 0);
        checks.holds(&format!("{what}, hits with ZOOCACHE_SEED={seed}"), table.hits > STEPS / 20);
    }
    Ok(())
}

impl Table {
    fn step(&mut self, start: &dyn Fn(usize) -> Result<Node>) -> Result<()> {
        self.world.borrow_mut().now += fastrand::u64(0..SECOND / 5);
        let (node, key) = (fastrand::usize(..self.nodes.len()), fastrand::usize(..KEYS.len()));
        match fastrand::u8(..) {
            0..150 => self.get(node, key)?,
            150..200 => self.begin(node, key)?,
            200..250 => self.finish()?,
            250..255 => self.change(node)?,
            255 if fastrand::u8(..) < 8 => {
                self.nodes[node] = start(node)?;
                self.running.retain(|running| running.node != node);
            }
            255 => {}
        }
        Ok(())
    }

    /// The versions of what the key is computed from.
    fn value(&self, key: usize) -> [u8; 4] {
        let mut value = [0; 4];
        for tag in KEYS[key] {
            value[*tag] = self.versions[*tag];
        }
        value
    }

    fn get(&mut self, node: usize, key: usize) -> Result<()> {
        if let Some(found) = self.nodes[node].get(&key.to_string())? {
            self.hits += 1;
            self.stale += usize::from(found != self.value(key));
        }
        Ok(())
    }

    fn begin(&mut self, node: usize, key: usize) -> Result<()> {
        let fill = self.nodes[node].begin(&key.to_string())?;
        self.running.push(Running { node, key, value: self.value(key), fill });
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.running.is_empty() {
            return Ok(());
        }
        let Running { node, key, value, fill } =
            self.running.swap_remove(fastrand::usize(..self.running.len()));
        let tags: Vec<&str> = KEYS[key].iter().map(|tag| TAGS[*tag]).collect();
        // Refused or not: what is stored must be right.
        let _ = self.nodes[node].finish(fill, &value, &tags, None)?;
        Ok(())
    }

    /// A change of a tag's row changes what is computed from those below it, too.
    fn change(&mut self, node: usize) -> Result<()> {
        let changed = TAGS[fastrand::usize(..TAGS.len())];
        for (tag, version) in TAGS.iter().zip(&mut self.versions) {
            *version = version.wrapping_add(u8::from(tag.starts_with(changed)));
        }
        self.nodes[node].invalidate(changed)?;
        Ok(())
    }
}
