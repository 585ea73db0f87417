//! How a node reads: in its memory, in the store that all share, and else by computing.

use std::cell::RefCell;
use std::sync::Arc;

use zoocache::codec::ValueCodec;
use zoocache_core::{DomainId, Engine, Fill, Header, Rejected, Tag, TagHandle, Timestamp, Verdict};

use super::Run;
use super::node::{Near, Node, tag};
use super::store::Row;
use crate::keys::{Declared, Recipe, recipe};
use crate::truth::{LEAVES, Versions, highest};
use crate::value::{Codec, Value};

/// The domain of all nodes.
pub(super) const DOMAIN: DomainId = DomainId(0x600d);

/// What a read has found or computed.
pub(super) struct Found {
    value: Arc<Value>,
    /// What whatever is computed from it depends on, and is as of at most.
    tags: Vec<Tag>,
    as_of: Timestamp,
    is_own: bool,
}

/// A computation that goes on.
struct Running {
    begun: Fill,
    tags: Vec<Tag>,
    handles: Vec<TagHandle>,
    bound: Timestamp,
}

impl Running {
    fn depend_on(&mut self, run: &Run, node: &Node, tags: &[Tag]) {
        if run.terms.interns_early {
            let mut engine = node.engine.borrow_mut();
            self.handles.extend(tags.iter().map(|tag| engine.intern(tag)));
        }
        self.tags.extend_from_slice(tags);
    }
}

impl Node {
    /// Reads a key; says whether it was found.
    pub(super) fn read(&self, run: &Run, key: usize) -> bool {
        !self.find(run, key, Timestamp::ZERO).is_own
    }

    /// Reads a key, if what is stored is as of a position at least; else it is computed.
    fn find(&self, run: &Run, key: usize, at_least: Timestamp) -> Found {
        let reading = run.judge.read_begins(self.place, key);
        let stored = self.in_memory(run, key, at_least).or_else(|| self.in_store(run, key, at_least));
        let found = stored.unwrap_or_else(|| self.compute(run, key, at_least));
        run.judge.read_ends(&reading, &found.value, found.is_own);
        found
    }

    fn in_memory(&self, run: &Run, key: usize, at_least: Timestamp) -> Option<Found> {
        let now_us = run.clocks[self.machine].now_us(&run.world);
        let near = self.near.borrow();
        let Near { sealed, value, as_of, expires_us } = near.get(&key)?;
        let is_expired = *expires_us != 0 && *expires_us <= now_us;
        let signals = self.engine.borrow().signals().clone();
        if is_expired || *as_of < at_least || sealed.judge(&signals) != Verdict::Fresh {
            return None;
        }
        let tags = sealed.dependencies().map(|handle: TagHandle| handle.tag()).collect();
        Some(Found { value: Arc::clone(value), tags, as_of: *as_of, is_own: false })
    }

    fn in_store(&self, run: &Run, key: usize, at_least: Timestamp) -> Option<Found> {
        let row = run.store.get(&run.world, key)?;
        if row.is_poisoned && run.clocks[self.machine].is_poisoned() {
            return None; // of two clocks that are both far off nothing is promised
        }
        let (header, _) = Header::decode(&row.header).expect("invariant: nodes wrote it");
        let value = Codec.decode(&row.value).expect("invariant: nodes wrote it");
        let window_us = if run.terms.binds_by_header { 0 } else { 2 * run.terms.drift_us };
        let as_of = header.as_of.saturating_sub(window_us);
        if as_of < at_least {
            return None;
        }
        let tags = header.dependencies.iter().map(|dependency| dependency.tag.clone()).collect();
        if run.world.one_in(3) {
            // Served, but not kept in memory.
            let verdict = self.call(run, |engine, now_us| engine.judge(&header, now_us));
            self.notice(run, key, &format!("{verdict:?}"));
            if verdict != Verdict::Fresh {
                return None;
            }
        } else {
            let admitted = self.call(run, |engine, now_us| engine.admit(&header, now_us));
            self.notice(run, key, &format!("{admitted:?}"));
            let sealed = admitted.ok()?;
            self.keep(
                run,
                key,
                Near { sealed, value: Arc::clone(&value), as_of, expires_us: header.expires_us },
            );
        }
        Some(Found { value, tags, as_of, is_own: false })
    }

    fn notice(&self, run: &Run, key: usize, what: &str) {
        run.judge.tell(|| format!("process {} finds key {key} in the store: {what}", self.place));
    }

    fn keep(&self, run: &Run, key: usize, entry: Near) {
        let mut near = self.near.borrow_mut();
        near.insert(key, entry);
        while run.terms.max_near.is_some_and(|most| near.len() > most) {
            let index = usize::try_from(run.world.below(near.len() as u64)).unwrap_or(0);
            let evicted = near.keys().nth(index).copied();
            evicted.and_then(|evicted| near.remove(&evicted));
        }
    }

    // ---- Computations ------------------------------------------------------------------------------

    fn compute(&self, run: &Run, key: usize, at_least: Timestamp) -> Found {
        let (judge, recipe) = (&run.judge, recipe(key));
        let begun = self.call(run, Engine::begin);
        let as_of = begun.as_of();
        let number = judge.fill_begins(self.place, key, 0, true, true);
        let running = Running { begun, tags: Vec::new(), handles: Vec::new(), bound: as_of };
        let running = RefCell::new(running);
        let known = self.renewed.borrow().get(&key).copied().unwrap_or(Timestamp::ZERO);
        let seen = self.seen(run, &recipe, &running, at_least.max(known));
        let value = Arc::new(judge.fill_ends(number, seen, false));
        let Running { begun, tags, handles, bound } = running.into_inner();
        if run.world.one_in(40) && !run.is_settling() {
            self.call(run, |engine, _| engine.abandon(begun));
        } else {
            self.store(run, (key, &recipe, &value), begun, (&tags, handles, bound));
        }
        Found { value, tags, as_of: bound, is_own: true }
    }

    /// Reads what the recipe says; returns which versions those are.
    fn seen(&self, run: &Run, recipe: &Recipe, running: &RefCell<Running>, at_least: Timestamp) -> Versions {
        let mut seen = Versions::default();
        let depend_on = |tags: &[Tag]| running.borrow_mut().depend_on(run, self, tags);
        depend_on(&recipe.tags.iter().map(|text| tag(text)).collect::<Vec<_>>());
        let mut read = |leaf: usize, declared: Declared| {
            run.think(run.terms.compute_ns);
            if declared == Declared::Before {
                depend_on(&[tag(LEAVES[leaf])]);
            }
            run.think(run.terms.compute_ns);
            seen[leaf] = run.judge.truth.read(leaf);
            if declared == Declared::After {
                run.think(run.terms.compute_ns);
                depend_on(&[tag(LEAVES[leaf])]);
            }
        };
        for (leaf, declared) in recipe.reads {
            read(*leaf, *declared);
        }
        if let Some(leaf) = recipe.sometimes
            && run.judge.truth.read(0).is_multiple_of(2)
        {
            read(leaf, Declared::After);
        }
        for inner in recipe.keys {
            run.think(run.terms.compute_ns);
            let found = self.find(run, *inner, at_least);
            seen = highest(&seen, &found.value.seen);
            depend_on(&found.tags);
            // What was used may be older than something that only others know of yet.
            let mut running = running.borrow_mut();
            running.bound = running.bound.min(found.as_of);
        }
        run.think(run.terms.compute_ns);
        seen
    }

    /// Seals a value, and keeps it here and where all find it.
    fn store(
        &self,
        run: &Run,
        (key, recipe, value): (usize, &Recipe, &Arc<Value>),
        begun: Fill,
        (tags, handles, bound): (&[Tag], Vec<TagHandle>, Timestamp),
    ) {
        let stored = self.call(run, |engine, now_us| {
            let handles = if run.terms.interns_early {
                handles
            } else {
                tags.iter().map(|tag| engine.intern(tag)).collect()
            };
            let sealed = engine.seal(begun, &handles, bound, now_us)?;
            let expires_us = recipe.ttl_ms.map_or(0, |ttl_ms| now_us + 1_000 * ttl_ms);
            let header = engine.header(&sealed, now_us, expires_us).ok_or(Rejected::Foreign)?;
            let admitted = engine.admit(&header, now_us);
            Ok((sealed, header, expires_us, admitted.err()))
        });
        match stored {
            Ok((sealed, header, expires_us, refused)) => {
                run.judge.tell(|| format!("keeps key {key} from fill {}, {header:?}", value.fill));
                match refused {
                    // By its header it could not be served.
                    Some(Rejected::Stale(cause)) => {
                        self.renewed.borrow_mut().insert(key, cause.at.saturating_add(2 * run.terms.drift_us))
                    }
                    _ => self.renewed.borrow_mut().remove(&key),
                };
                let as_of = sealed.as_of();
                self.keep(run, key, Near { sealed, value: Arc::clone(value), as_of, expires_us });
                let row = Row {
                    header: header.encode(),
                    value: Codec.encode(value).expect("invariant: values can be encoded"),
                    is_poisoned: run.clocks[self.machine].is_poisoned(),
                };
                run.store.put(&run.world, key, row);
            }
            Err(rejected) => {
                run.judge.tell(|| format!("does not keep key {key} from fill {}: {rejected}", value.fill));
                // Because of what was used, perhaps: that is computed anew the next time.
                if let Rejected::Stale(cause) = rejected {
                    self.renewed.borrow_mut().insert(key, cause.at);
                }
            }
        }
    }
}
