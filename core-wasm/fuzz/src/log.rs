//! Programs of nodes that share logs: what they have read, were told, forgot, missed and entered anew, beside lists of all
//! rows that each of them knows.

use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, Fill, Header, LogRow, MarkId, Order, Rejected, Sealed,
    Tag, Timestamp, Verdict,
};

use crate::choices::Choices;
use crate::world::{covers, is_prefix};

const MAX_STEPS: usize = 400;
const NODES: usize = 2;
const DOMAINS: u8 = 3;

/// A node never takes for fresh what a row it knows makes stale.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut world = World::new();
    for _ in 0..MAX_STEPS {
        if world.step(&mut choices).is_none() {
            break;
        }
    }
    world.finish();
}

/// The rows of a domain, by rising positions.
#[derive(Default)]
struct Log {
    rows: Vec<LogRow>,
    end: u64,
}

impl Log {
    fn end(&self) -> Timestamp {
        Timestamp::from_micros(self.end)
    }
}

struct Mark {
    id: MarkId,
    tags: Vec<Tag>,
}

struct Node {
    engine: Engine,
    domain: usize,
    generation: u32,
    applied: Timestamp,
    floor: Timestamp,
    in_doubt: bool,
    known: Vec<LogRow>,
    marks: Vec<Mark>,
    fills: Vec<(Fill, u32, Vec<Tag>)>,
    pruned: bool,
}

struct Entry {
    node: usize,
    sealed: Sealed,
    generation: u32,
    tags: Vec<Tag>,
}

struct Stored {
    header: Header,
    domain: usize,
    tags: Vec<Tag>,
}

struct World {
    logs: Vec<Log>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    stored: Vec<Stored>,
}

fn config(domain: usize) -> EngineConfig {
    EngineConfig { order: Order::Log, ..EngineConfig::new(DomainId(domain as u128)) }
}

/// Whether a row concerns one of these. Everything depends on the root.
fn concerns(row: &LogRow, dependencies: &[Tag]) -> bool {
    if row.below_only {
        dependencies.iter().any(|dependency| dependency.is_subtree() && is_prefix(dependency, &row.tag))
    } else {
        is_hit(&row.tag, dependencies)
    }
}

fn is_hit(tag: &Tag, dependencies: &[Tag]) -> bool {
    is_prefix(tag, &Tag::root()) || dependencies.iter().any(|dependency| covers(tag, dependency))
}

fn pick<T>(items: &[T], index: usize) -> Option<usize> {
    index.checked_rem(items.len())
}

impl Node {
    fn new() -> Self {
        Self {
            engine: Engine::new(config(0)),
            domain: 0,
            generation: 0,
            applied: Timestamp::ZERO,
            floor: Timestamp::ZERO,
            in_doubt: false,
            known: Vec::new(),
            marks: Vec::new(),
            fills: Vec::new(),
            pruned: false,
        }
    }

    /// The naive judgement of what is of this domain.
    fn expected(&self, as_of: Timestamp, tags: &[Tag]) -> Verdict {
        if as_of < self.floor {
            return Verdict::Stale;
        }
        if self.in_doubt {
            return Verdict::Unknown;
        }
        if self.known.iter().any(|row| row.at > as_of && concerns(row, tags)) {
            return Verdict::Stale;
        }
        let pending = self.marks.iter().flat_map(|mark| &mark.tags).any(|tag| is_hit(tag, tags));
        if pending { Verdict::Pending } else { Verdict::Fresh }
    }

    fn expected_stored(&self, stored: &Stored) -> Verdict {
        let as_of = stored.header.as_of;
        if stored.domain != self.domain {
            return Verdict::Foreign;
        }
        if as_of > self.applied {
            return Verdict::Unknown;
        }
        let told = stored.header.dependencies.iter().any(|dependency| dependency.stamp > as_of);
        match self.expected(as_of, &stored.tags) {
            Verdict::Fresh | Verdict::Pending if told => Verdict::Stale,
            verdict => verdict,
        }
    }

    /// Reads the log from a position that is known up to the next `many` rows, or all.
    fn read(&mut self, log: &Log, many: usize, again: bool) {
        let from = log.rows.partition_point(|row| row.at <= self.applied);
        let to = log.rows.get(from + many).map_or(log.end(), |row| row.at).max(self.applied);
        let first = if again { from.saturating_sub(2) } else { from };
        let rows = &log.rows[first..log.rows.partition_point(|row| row.at <= to)];
        self.engine.apply_log(rows, to);
        self.known.extend_from_slice(rows);
        self.applied = to;
        self.in_doubt = false;
    }

    /// Is told of one row, whatever was before it.
    fn hear(&mut self, log: &Log, index: usize) {
        let Some(place) = pick(&log.rows, index) else { return };
        let row = &log.rows[place..=place];
        self.engine.apply_rows(row);
        self.known.extend_from_slice(row);
    }

    fn raise_floor(&mut self, by: u64) {
        let floor = self.floor.saturating_add(by);
        // It tells nothing of what was applied.
        if floor <= self.applied {
            self.engine.raise_floor(floor);
            self.floor = floor;
        }
    }

    fn learn(&mut self, tags: &[Tag], at: Timestamp) {
        self.known.extend(tags.iter().map(|tag| LogRow { tag: tag.clone(), below_only: false, at }));
    }

    fn settle(&mut self, place: usize, log: Option<&mut Log>) {
        let Mark { id, tags } = self.marks.remove(place);
        let at = if let Some(log) = log {
            log.end += 1;
            let at = log.end();
            log.rows.extend(tags.iter().map(|tag| LogRow { tag: tag.clone(), below_only: false, at }));
            self.engine.settle_at(id, at).expect("is known");
            at
        } else {
            self.engine.settle(id, 0).expect("is known")
        };
        self.learn(&tags, at);
    }

    fn restart(&mut self) {
        self.pruned |= self.engine.stats().pruned > 0;
        let snapshot = self.engine.snapshot();
        self.engine = Engine::restore(config(self.domain), &snapshot).expect("its own snapshot");
        assert_eq!(self.engine.stats().applied, self.applied);
        self.forget_fills();
        self.in_doubt = true;
    }

    fn enter(&mut self, domain: usize, floor: Timestamp) {
        self.engine.reset_domain(DomainId(domain as u128), floor);
        self.forget_fills();
        self.domain = domain;
        (self.floor, self.applied) = (floor, floor);
        self.known.clear();
    }

    fn forget_fills(&mut self) {
        self.generation += 1;
        // Sealed later, they must be refused: kept in part.
        self.fills.truncate(1);
    }
}

impl World {
    fn new() -> Self {
        Self {
            logs: (0..DOMAINS).map(|domain| Log { end: 100 * u64::from(domain), ..Log::default() }).collect(),
            nodes: (0..NODES).map(|_| Node::new()).collect(),
            entries: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// One step; `None` when the input has ended.
    fn step(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let choice = choices.next()?;
        let place = usize::from(choice >> 5) % NODES;
        let node = &mut self.nodes[place];
        let log = &mut self.logs[node.domain];
        match choice % 32 {
            0..=3 => {
                log.end += 1 + u64::from(choices.byte() % 4);
                let (below_only, at) = (choices.byte() % 8 == 7, log.end());
                log.rows.extend(choices.tags().into_iter().map(|tag| LogRow { tag, below_only, at }));
            }
            4..=7 => node.read(log, usize::MAX / 2, choice % 32 == 7),
            8 => node.read(log, choices.index() % 4, false),
            9..=10 => node.hear(log, choices.index()),
            11 => {
                node.engine.doubt();
                node.in_doubt = true;
            }
            12..=15 => {
                let fill = node.engine.begin(0);
                assert_eq!(fill.as_of(), node.applied);
                node.fills.push((fill, node.generation, choices.tags()));
            }
            16..=18 => {
                if let Some(fill) = pick(&node.fills, choices.index()) {
                    self.seal(place, fill);
                }
            }
            19 => {
                let tags = choices.tags();
                let at = node.engine.invalidate(&tags, 0).expect("positions are left");
                node.learn(&tags, at);
            }
            20 => {
                let tags = choices.tags();
                let id = node.engine.change(&tags, u64::MAX, 0);
                node.marks.push(Mark { id, tags });
            }
            21..=22 => {
                if let Some(mark) = pick(&node.marks, choices.index()) {
                    node.settle(mark, (choice % 32 == 21).then_some(log));
                }
            }
            23 => {
                let up_to = Timestamp::from_micros(choices.number());
                node.engine.prune(up_to, choices.index());
            }
            24 => node.raise_floor(u64::from(choices.byte())),
            25 => {
                let domain = usize::from(choices.byte() % DOMAINS);
                let behind = u64::from(choices.byte() % 4);
                let floor = self.logs[domain].end().saturating_sub(behind);
                node.enter(domain, floor);
            }
            26 => node.restart(),
            27..=28 => self.store(choices.index()),
            29..=30 => self.judge_stored(place, choices.index(), choice % 32 == 30),
            _ => self.judge(choices.index()),
        }
        Some(())
    }

    fn seal(&mut self, place: usize, fill: usize) {
        let node = &mut self.nodes[place];
        let (fill, generation, tags) = node.fills.swap_remove(fill);
        let as_of = fill.as_of();
        let dependencies: DependencySet = tags.iter().map(|tag| node.engine.intern(tag)).collect();
        let expected = node.expected(as_of, &tags);
        match node.engine.seal(fill, &dependencies, Timestamp::MAX, 0) {
            Ok(sealed) => {
                assert_eq!(generation, node.generation);
                // In doubt it is kept without a proof.
                assert!(matches!(expected, Verdict::Fresh | Verdict::Unknown), "{expected:?}");
                self.entries.push(Entry { node: place, sealed, generation, tags });
            }
            Err(Rejected::Foreign) => assert_ne!(generation, node.generation),
            Err(Rejected::Stale(_)) => assert_eq!(expected, Verdict::Stale),
            Err(Rejected::Pending(_)) => assert_eq!(expected, Verdict::Pending),
            Err(other) => panic!("{other}"),
        }
    }

    fn judge(&self, index: usize) {
        let Some(entry) = pick(&self.entries, index).map(|place| &self.entries[place]) else { return };
        let node = &self.nodes[entry.node];
        let expected = if entry.generation == node.generation {
            node.expected(entry.sealed.as_of(), &entry.tags)
        } else {
            Verdict::Foreign
        };
        let signals = node.engine.signals();
        assert!(!entry.sealed.is_proved(signals) || expected == Verdict::Fresh, "proved, but {expected:?}");
        assert_eq!(entry.sealed.judge(signals), expected);
    }

    fn store(&mut self, index: usize) {
        let Some(entry) = pick(&self.entries, index).map(|place| &self.entries[place]) else { return };
        let Node { engine, domain, generation, .. } = &self.nodes[entry.node];
        let header = entry.sealed.header(engine.signals(), engine.domain(), 0, 0);
        assert_eq!(header.is_some(), *generation == entry.generation);
        let Some(header) = header else { return };
        self.stored.push(Stored { header, domain: *domain, tags: entry.tags.clone() });
    }

    fn judge_stored(&mut self, place: usize, index: usize, admit: bool) {
        let Some(stored) = pick(&self.stored, index).map(|place| &self.stored[place]) else { return };
        let node = &mut self.nodes[place];
        let expected = node.expected_stored(stored);
        let verdict = node.engine.judge(&stored.header, 0);
        if verdict != expected {
            assert!(node.pruned || node.engine.stats().pruned > 0, "{verdict:?} is not {expected:?}");
            assert_eq!(verdict, Verdict::Stale, "{expected:?}");
        }
        if admit {
            let admitted = node.engine.admit(&stored.header, 0);
            assert_eq!(admitted.is_ok(), verdict == Verdict::Fresh);
            if let Ok(sealed) = admitted {
                let (generation, tags) = (node.generation, stored.tags.clone());
                self.entries.push(Entry { node: place, sealed, generation, tags });
            }
        }
    }

    fn finish(mut self) {
        (0..self.entries.len()).for_each(|entry| self.judge(entry));
        for place in 0..NODES {
            let node = &mut self.nodes[place];
            node.read(&self.logs[node.domain], usize::MAX / 2, false);
            (0..self.stored.len()).for_each(|stored| self.judge_stored(place, stored, false));
        }
        (0..self.entries.len()).for_each(|entry| self.judge(entry));
    }
}
