//! Programs of nodes without a common log, whose clocks differ and whose messages get lost, doubled and reordered; beside
//! lists of what each of them has applied.
//!
//! An entry in memory is fresh exactly if nothing that concerns it was applied there since its fill began. One that another
//! node stored is never fresh where something is known that was made, anywhere, after its fill began; as long as no two
//! clocks differ by more than the drift bound.

use std::collections::HashSet;

use zoocache_core::{
    Applied, DependencySet, DomainId, Engine, EngineConfig, Fill, Header, Invalidation, MarkId, Order,
    Rejected, Sealed, Tag, Timestamp, Verdict,
};

use crate::choices::Choices;
use crate::world::{covers, is_prefix};

const MAX_STEPS: usize = 400;
const NODES: u64 = 3;
const DRIFT_US: u64 = 500_000;
/// How far a clock may be ahead of the slowest: some positions less than the bound, as they are given one by one.
const MAX_SKEW_US: u64 = DRIFT_US - 2_000;

/// A node never takes for fresh what it knows to be stale.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut world = World::new(&mut choices);
    for _ in 0..MAX_STEPS {
        if world.step(&mut choices).is_none() {
            break;
        }
    }
    world.finish();
}

struct Mark {
    id: MarkId,
    deadline_us: u64,
    tags: Vec<Tag>,
    expired: bool,
}

/// What a node has applied: by which events of the world it was made, and reached the node.
struct Hit {
    tag: Tag,
    /// 0 where the message tells nothing of its true time.
    made: u64,
    arrived: u64,
}

struct Node {
    engine: Engine,
    id: u64,
    skew_us: u64,
    applied: Vec<Hit>,
    /// Messages of others that it has applied.
    names: HashSet<(u64, Timestamp)>,
    marks: Vec<Mark>,
    fills: Vec<(Fill, u64, Vec<Tag>)>,
    lives: u32,
}

struct Entry {
    node: usize,
    sealed: Sealed,
    began: u64,
    tags: Vec<Tag>,
    life: u32,
    /// Whether it was sealed here; else it may be stale for being too new to tell.
    is_own: bool,
}

struct Stored {
    header: Header,
    began: u64,
    tags: Vec<Tag>,
}

struct World {
    /// The true time.
    now_us: u64,
    events: u64,
    nodes: Vec<Node>,
    /// With the event that made it, as in [`Hit`].
    messages: Vec<(Invalidation, u64)>,
    entries: Vec<Entry>,
    stored: Vec<Stored>,
}

fn config(node_id: u64) -> EngineConfig {
    EngineConfig { order: Order::Gossip, node_id, max_drift_us: DRIFT_US, ..EngineConfig::new(DomainId(5)) }
}

fn is_hit(tag: &Tag, dependencies: &[Tag]) -> bool {
    is_prefix(tag, &Tag::root()) || dependencies.iter().any(|dependency| covers(tag, dependency))
}

fn pick<T>(items: &[T], index: usize) -> Option<usize> {
    index.checked_rem(items.len())
}

impl Node {
    fn new(id: u64, skew_us: u64) -> Self {
        Self {
            engine: Engine::new(config(id)),
            id,
            skew_us,
            applied: Vec::new(),
            names: HashSet::new(),
            marks: Vec::new(),
            fills: Vec::new(),
            lives: 0,
        }
    }

    fn record(&mut self, tags: &[Tag], made: u64, arrived: u64) {
        self.applied.extend(tags.iter().map(|tag| Hit { tag: tag.clone(), made, arrived }));
    }

    /// What the engine does at the beginning of some calls.
    fn expire(&mut self, now_us: u64, event: u64) {
        for place in 0..self.marks.len() {
            let mark = &mut self.marks[place];
            if !mark.expired && mark.deadline_us <= now_us {
                mark.expired = true;
                let tags = mark.tags.clone();
                self.record(&tags, event, event);
            }
        }
    }

    /// The judgement of what began here, or of what began elsewhere.
    fn expected(&self, began: u64, tags: &[Tag], is_own: bool) -> Verdict {
        let since = |hit: &Hit| if is_own { hit.arrived } else { hit.made };
        if self.applied.iter().any(|hit| since(hit) > began && is_hit(&hit.tag, tags)) {
            return Verdict::Stale;
        }
        let mut announced = self.marks.iter().filter(|mark| !mark.expired).flat_map(|mark| &mark.tags);
        if announced.any(|tag| is_hit(tag, tags)) { Verdict::Pending } else { Verdict::Fresh }
    }

    fn apply(&mut self, message: &Invalidation, made: u64, now_us: u64, event: u64) {
        let name = (message.origin, message.at);
        match self.engine.apply(message, now_us).expect("positions are left") {
            // Of its own it knows all, those included that it made of settled changes; and what a header told of.
            Applied::Duplicate => {
                let is_applied = |tag: &Tag| self.applied.iter().any(|hit| hit.tag == *tag);
                let is_known = message.origin == self.id || self.names.contains(&name);
                assert!(is_known || message.tags.iter().all(is_applied));
            }
            applied => {
                let is_near = message.at.as_micros() <= now_us + DRIFT_US;
                assert_eq!(matches!(applied, Applied::At(_)), is_near, "{applied:?}");
                self.record(&message.tags, made, event);
                self.names.insert(name);
            }
        }
    }

    fn restart(&mut self) {
        let snapshot = self.engine.snapshot();
        self.engine = Engine::restore(config(self.id), &snapshot).expect("its own snapshot");
        self.fills.clear();
        self.marks.retain(|mark| !mark.expired);
        self.lives += 1;
    }
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let mut node = |id| Node::new(id, u64::from(choices.byte()) * MAX_SKEW_US / 255);
        Self {
            now_us: 10_000_000,
            events: 0,
            nodes: (0..NODES).map(&mut node).collect(),
            messages: Vec::new(),
            entries: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// One step; `None` when the input has ended.
    fn step(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let choice = choices.next()?;
        self.events += 1;
        let event = self.events;
        let place = usize::from(choice >> 5) % self.nodes.len();
        let node = &mut self.nodes[place];
        let now_us = self.now_us + node.skew_us;
        match choice % 32 {
            0..=3 => {
                let tags = choices.tags();
                let at = node.engine.invalidate(&tags, now_us).expect("positions are left");
                node.record(&tags, event, event);
                self.messages.push((Invalidation { origin: node.id, at, tags }, event));
            }
            4..=7 => {
                if let Some(message) = pick(&self.messages, choices.index()) {
                    let (message, made) = &self.messages[message];
                    node.apply(message, *made, now_us, event);
                }
            }
            8 => {
                // Of a clock that runs ahead, by little or much; or of one that is wrong.
                let (at, made) = match choices.byte() % 4 {
                    0 => (choices.word(), 0),
                    1 => (self.now_us.saturating_add(choices.word()), event),
                    _ => (self.now_us + 16 * choices.number(), event),
                };
                let message =
                    Invalidation { origin: 9, at: Timestamp::from_micros(at), tags: choices.tags() };
                self.messages.push((message, made));
            }
            9 => self.pull(choices.index(), place, choices.number()),
            10..=13 => {
                node.expire(now_us, event);
                let fill = node.engine.begin(now_us);
                node.fills.push((fill, event, choices.tags()));
            }
            14..=17 => {
                if let Some(fill) = pick(&node.fills, choices.index()) {
                    self.seal(place, fill, now_us);
                }
            }
            18 => {
                let (tags, deadline_us) = (choices.tags(), now_us + 64 * choices.number());
                node.expire(now_us, event);
                let id = node.engine.change(&tags, deadline_us, now_us);
                node.marks.push(Mark { id, deadline_us, tags, expired: false });
            }
            19 => {
                if let Some(mark) = pick(&node.marks, choices.index()) {
                    node.expire(now_us, event);
                    let Mark { id, tags, .. } = node.marks.remove(mark);
                    let at = node.engine.settle(id, now_us).expect("is known");
                    node.record(&tags, event, event);
                    self.messages.push((Invalidation { origin: node.id, at, tags }, event));
                }
            }
            20 => {
                let horizon = Timestamp::from_micros(self.now_us).saturating_sub(64 * choices.number());
                node.engine.prune(horizon, choices.index());
            }
            21 => node.restart(),
            22..=23 => self.now_us += 16 * choices.number(),
            24..=25 => self.store(choices.index()),
            26..=28 => self.judge_stored(place, choices.index(), choice % 32 == 28, now_us),
            _ => self.judge(choices.index()),
        }
        Some(())
    }

    fn pull(&mut self, from: usize, to: usize, behind: u64) {
        let from = from % self.nodes.len();
        let after = self.nodes[from].engine.stats().clock.saturating_sub(64 * behind);
        let now_us = self.now_us + self.nodes[to].skew_us;
        for message in self.nodes[from].engine.tail(after).messages {
            let known = self.messages.iter().find(|(known, _)| *known == message);
            let made = known.map_or(0, |(_, made)| *made);
            self.nodes[to].apply(&message, made, now_us, self.events);
        }
    }

    fn seal(&mut self, place: usize, fill: usize, now_us: u64) {
        let node = &mut self.nodes[place];
        node.expire(now_us, self.events);
        let (fill, began, tags) = node.fills.swap_remove(fill);
        let dependencies: DependencySet = tags.iter().map(|tag| node.engine.intern(tag)).collect();
        let expected = node.expected(began, &tags, true);
        match node.engine.seal(fill, &dependencies, Timestamp::MAX, now_us) {
            Ok(sealed) => {
                assert_eq!(expected, Verdict::Fresh);
                let life = node.lives;
                self.entries.push(Entry { node: place, sealed, began, tags, life, is_own: true });
            }
            Err(Rejected::Stale(_)) => assert_eq!(expected, Verdict::Stale),
            Err(Rejected::Pending(_)) => assert_eq!(expected, Verdict::Pending),
            Err(other) => panic!("{other}"),
        }
    }

    fn judge(&self, index: usize) {
        let Some(entry) = pick(&self.entries, index).map(|place| &self.entries[place]) else { return };
        let node = &self.nodes[entry.node];
        let verdict = entry.sealed.judge(node.engine.signals());
        let expected = match node.expected(entry.began, &entry.tags, entry.is_own) {
            _ if entry.life != node.lives => Verdict::Foreign,
            expected => expected,
        };
        if entry.is_own {
            assert_eq!(verdict, expected);
        } else {
            assert!(verdict != Verdict::Fresh || expected == Verdict::Fresh, "fresh, but {expected:?}");
        }
    }

    fn store(&mut self, index: usize) {
        let Some(entry) = pick(&self.entries, index).map(|place| &self.entries[place]) else { return };
        let engine = &self.nodes[entry.node].engine;
        let Some(header) = entry.sealed.header(engine.signals(), engine.domain(), 0, 0) else { return };
        self.stored.push(Stored { header, began: entry.began, tags: entry.tags.clone() });
    }

    fn judge_stored(&mut self, place: usize, index: usize, admit: bool, now_us: u64) {
        let Some(stored) = pick(&self.stored, index).map(|place| &self.stored[place]) else { return };
        let node = &mut self.nodes[place];
        node.expire(now_us, self.events);
        let expected = node.expected(stored.began, &stored.tags, false);
        let before = node.engine.stats().clock;
        let verdict = node.engine.judge(&stored.header, now_us);
        assert!(verdict != Verdict::Fresh || expected == Verdict::Fresh, "fresh, but {expected:?}");
        // What its positions told of.
        for message in node.engine.tail(before).messages {
            node.record(&message.tags, 0, self.events);
        }
        if admit && let Ok(sealed) = node.engine.admit(&stored.header, now_us) {
            assert_eq!(verdict, Verdict::Fresh);
            let (began, tags, life) = (stored.began, stored.tags.clone(), node.lives);
            self.entries.push(Entry { node: place, sealed, began, tags, life, is_own: false });
        }
    }

    fn finish(mut self) {
        self.events += 1;
        (0..self.entries.len()).for_each(|entry| self.judge(entry));
        for place in 0..self.nodes.len() {
            let now_us = self.now_us + self.nodes[place].skew_us;
            (0..self.stored.len()).for_each(|stored| self.judge_stored(place, stored, false, now_us));
        }
    }
}
