//! Every interleaving of a writer, a reader with a near cache, a filler, a pruner and two kinds of crash, on
//! the order in which LMDB makes a commit seen: first its number, then its contents.
//!
//! The chosen protocol must never serve a value older than an invalidation that had returned before the read
//! began, nor refuse an entry only because it had looked too early; each mutant must do one or the other, or
//! the model proves nothing. One tag, one key; a state is a few bytes, and the search visits all of them.

mod common;

use common::search;

/// Invalidations, and fills by the second process.
const WRITES: u8 = 2;
const FILLS: u8 = 1;

/// What is left out or swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Chosen,
    /// The reader remembers the number it saw, not that of the transaction it used.
    RemembersWhatItSaw,
    /// The reader takes the tags' snapshot first and the entry second.
    EntryAfterTags,
    /// Rows are deleted in one transaction, and the floor is raised in the next.
    FloorAfterRows,
    /// A change of the boot id is not noticed at open.
    IgnoresBoot,
    /// The reader keeps its near cache valid without asking for the number.
    NeverAsks,
}

/// What a transaction of the tags environment left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Snapshot {
    domain: u8,
    clock: u8,
    row: Option<u8>,
    floor: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    value: u8,
    domain: u8,
    as_of: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// The source of truth is written; the invalidation is not.
    Wrote,
    Locked,
    /// The commit's number can be seen; readers still begin on the one before.
    Published,
    Readable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Look,
    CatchUp {
        saw: u8,
    },
    JudgeNear,
    /// With the entry in hand: is there news?
    LookAgain {
        entry: Entry,
    },
    CatchUpAgain {
        entry: Entry,
        saw: u8,
    },
    Judge {
        entry: Entry,
    },
    Fill,
    ReadSource {
        as_of: u8,
        domain: u8,
    },
    Store {
        entry: Entry,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Filler {
    Idle,
    Began { as_of: u8, domain: u8 },
    Read { entry: Entry },
}

#[expect(clippy::struct_excessive_bools, reason = "what may still happen, each once")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// By transaction number. The last is what a writer sees.
    history: Vec<Snapshot>,
    /// The transaction that readers begin on: the last, or the one before.
    readable: u8,
    /// The entries environment: what it holds, and what it held before.
    stored: [Option<Entry>; 2],
    source: u8,
    /// The source's version of the latest invalidation that has returned.
    promised: u8,
    /// What the running read must not fall behind.
    need: u8,
    writer: Writer,
    writes: u8,
    reader: Reader,
    /// Of the reader's process: its near cache, what it knows, and the number it remembers.
    near: Option<Entry>,
    knows: Snapshot,
    remembers: Option<u8>,
    filler: Filler,
    fills: u8,
    rows_deleted: bool,
    floor_due: Option<u8>,
    may_crash: bool,
    may_restart: bool,
    may_lose_power: bool,
}

#[derive(Debug, Default)]
struct Found {
    near_hits: usize,
    stored_hits: usize,
    stale: usize,
    refused: usize,
}

impl World {
    /// Power is lost, or else processes die: both at once would only take longer.
    fn new(may_lose_power: bool) -> Self {
        Self {
            history: vec![Snapshot::default()],
            readable: 0,
            stored: [None, None],
            source: 0,
            promised: 0,
            need: 0,
            writer: Writer::Idle,
            writes: 0,
            reader: Reader::Idle,
            near: None,
            knows: Snapshot::default(),
            remembers: None,
            filler: Filler::Idle,
            fills: 0,
            rows_deleted: false,
            floor_due: None,
            may_crash: !may_lose_power,
            may_restart: !may_lose_power,
            may_lose_power,
        }
    }

    /// The number that anybody sees: that of the last meta page.
    fn number(&self) -> u8 {
        u8::try_from(self.history.len() - 1).expect("few transactions")
    }

    fn last(&self) -> Snapshot {
        self.history[self.history.len() - 1]
    }

    fn in_snapshot(&self) -> Snapshot {
        self.history[usize::from(self.readable)]
    }

    fn is_locked(&self) -> bool {
        matches!(self.writer, Writer::Locked | Writer::Published)
    }

    /// A whole write transaction. Taking over the lock of a dead writer completes its commit.
    fn commit(&mut self, snapshot: Snapshot) {
        self.history.push(snapshot);
        self.readable = self.number();
    }

    fn store(&mut self, entry: Entry) {
        self.stored = [Some(entry), self.stored[0]];
    }

    fn catch_up(&mut self, saw: u8, protocol: Protocol) {
        self.knows = self.in_snapshot();
        self.remembers = Some(if protocol == Protocol::RemembersWhatItSaw { saw } else { self.readable });
    }

    fn is_fresh(&self, entry: Entry) -> bool {
        let knows = self.knows;
        entry.domain == knows.domain
            && entry.as_of >= knows.floor
            && entry.as_of <= knows.clock
            && knows.row.is_none_or(|at| at <= entry.as_of)
    }

    fn is_news(&self, protocol: Protocol) -> bool {
        let asks = protocol != Protocol::NeverAsks || self.remembers.is_none();
        asks && self.remembers != Some(self.number())
    }
}

/// Adds all worlds that one step leads to.
fn steps(world: &World, protocol: Protocol, next: &mut Vec<World>, found: &mut Found) {
    step_writer(world, next);
    step_reader(world, protocol, next, found);
    step_filler(world, next);
    step_pruner(world, protocol, next);
    step_disasters(world, protocol, next);
}

fn step_writer(world: &World, next: &mut Vec<World>) {
    let mut then = world.clone();
    match world.writer {
        Writer::Idle if world.writes == WRITES => return,
        Writer::Idle => {
            then.writes += 1;
            then.source += 1;
            then.writer = Writer::Wrote;
        }
        Writer::Wrote => {
            then.readable = then.number();
            then.writer = Writer::Locked;
        }
        Writer::Locked => {
            let at = world.last().clock + 1;
            then.history.push(Snapshot { clock: at, row: Some(at), ..world.last() });
            then.writer = Writer::Published;
        }
        Writer::Published => {
            then.readable = then.number();
            then.writer = Writer::Readable;
        }
        Writer::Readable => {
            then.promised = world.source;
            then.writer = Writer::Idle;
        }
    }
    next.push(then);
}

fn step_reader(world: &World, protocol: Protocol, next: &mut Vec<World>, found: &mut Found) {
    let mut then = world.clone();
    match world.reader {
        Reader::Idle => {
            then.need = world.promised;
            then.reader = Reader::Look;
        }
        Reader::Look if world.is_news(protocol) => then.reader = Reader::CatchUp { saw: world.number() },
        Reader::Look => then.reader = Reader::JudgeNear,
        Reader::CatchUp { saw } => {
            then.catch_up(saw, protocol);
            then.reader = Reader::JudgeNear;
        }
        Reader::JudgeNear => match world.near.filter(|entry| world.is_fresh(*entry)) {
            Some(entry) => {
                found.near_hits += 1;
                found.stale += usize::from(entry.value < world.need);
                then.reader = Reader::Idle;
            }
            None => match world.stored[0] {
                Some(entry) if protocol == Protocol::EntryAfterTags => then.reader = Reader::Judge { entry },
                Some(entry) => then.reader = Reader::LookAgain { entry },
                None => then.reader = Reader::Fill,
            },
        },
        Reader::LookAgain { entry } if world.is_news(protocol) => {
            then.reader = Reader::CatchUpAgain { entry, saw: world.number() };
        }
        Reader::LookAgain { entry } => then.reader = Reader::Judge { entry },
        Reader::CatchUpAgain { entry, saw } => {
            then.catch_up(saw, protocol);
            then.reader = Reader::Judge { entry };
        }
        Reader::Judge { entry } if world.is_fresh(entry) => {
            found.stored_hits += 1;
            found.stale += usize::from(entry.value < world.need);
            then.near = Some(entry);
            then.reader = Reader::Idle;
        }
        Reader::Judge { entry } => {
            // Of this domain, and ahead of what the reader looked at: it looked too early.
            let ahead = entry.domain == world.knows.domain && entry.as_of > world.knows.clock;
            found.refused += usize::from(ahead);
            then.reader = Reader::Fill;
        }
        Reader::Fill => {
            then.reader = Reader::ReadSource { as_of: world.knows.clock, domain: world.knows.domain };
        }
        Reader::ReadSource { as_of, domain } => {
            then.reader = Reader::Store { entry: Entry { value: world.source, domain, as_of } };
        }
        Reader::Store { entry } => {
            then.store(entry);
            then.near = Some(entry);
            then.reader = Reader::Idle;
        }
    }
    next.push(then);
}

fn step_filler(world: &World, next: &mut Vec<World>) {
    let mut then = world.clone();
    match world.filler {
        Filler::Idle if world.fills == FILLS => return,
        Filler::Idle => {
            let Snapshot { clock, domain, .. } = world.in_snapshot();
            then.fills += 1;
            then.filler = Filler::Began { as_of: clock, domain };
        }
        Filler::Began { as_of, domain } => {
            then.filler = Filler::Read { entry: Entry { value: world.source, domain, as_of } };
        }
        Filler::Read { entry } => {
            then.store(entry);
            then.filler = Filler::Idle;
        }
    }
    next.push(then);
}

fn step_pruner(world: &World, protocol: Protocol, next: &mut Vec<World>) {
    if world.is_locked() {
        return;
    }
    let last = world.last();
    let mut then = world.clone();
    if let Some(floor) = world.floor_due {
        then.floor_due = None;
        then.commit(Snapshot { floor, ..last });
        next.push(then);
    } else if let Some(at) = last.row.filter(|_| !world.rows_deleted) {
        then.rows_deleted = true;
        if protocol == Protocol::FloorAfterRows {
            then.floor_due = Some(at);
            then.commit(Snapshot { row: None, ..last });
        } else {
            then.commit(Snapshot { row: None, floor: at, ..last });
        }
        next.push(then);
    }
}

fn step_disasters(world: &World, protocol: Protocol, next: &mut Vec<World>) {
    if world.may_crash && world.writer != Writer::Idle {
        // At any moment, in the middle of a commit too. The lock is free again; what is published stays.
        next.push(World { writer: Writer::Idle, may_crash: false, ..world.clone() });
    }
    if world.may_restart {
        let reader = Reader::Idle;
        let near = None;
        next.push(World { reader, near, remembers: None, may_restart: false, ..world.clone() });
    }
    if world.may_lose_power {
        // Nothing is synced: each environment falls back to any state of its own.
        for kept in 1..=world.history.len() {
            for stored in [world.stored[0], world.stored[1], None] {
                let mut then = world.clone();
                then.may_lose_power = false;
                (then.writer, then.reader, then.filler) = (Writer::Idle, Reader::Idle, Filler::Idle);
                (then.near, then.remembers) = (None, None);
                then.history.truncate(kept);
                then.readable = then.number();
                then.stored = [stored, None];
                if protocol != Protocol::IgnoresBoot {
                    let last = then.last();
                    let clock = last.clock + 1;
                    then.commit(Snapshot { domain: last.domain + 1, clock, row: None, floor: clock });
                }
                next.push(then);
            }
        }
    }
}

/// Visits every world that can be reached, or stops where what a mutant does wrong is found.
fn explore(protocol: Protocol) -> Found {
    let mut found = Found::default();
    let explored = search::explore([World::new(false), World::new(true)], |world, next| {
        steps(world, protocol, next, &mut found);
        found.stale > 0 || (found.refused > 0 && protocol == Protocol::EntryAfterTags)
    });
    println!("{protocol:?}: {} states", explored.states);
    found
}

#[test]
fn the_chosen_order_serves_nothing_stale_and_refuses_nothing_fresh() {
    let found = explore(Protocol::Chosen);
    assert_eq!((found.stale, found.refused), (0, 0), "{found:?}");
    assert!(found.near_hits > 1_000 && found.stored_hits > 1_000, "vacuous: {found:?}");
}

#[test]
fn each_omission_is_found() {
    for (protocol, stale) in [
        (Protocol::RemembersWhatItSaw, true),
        (Protocol::EntryAfterTags, false),
        (Protocol::FloorAfterRows, true),
        (Protocol::IgnoresBoot, true),
        (Protocol::NeverAsks, true),
    ] {
        let found = explore(protocol);
        assert!(if stale { found.stale > 0 } else { found.refused > 0 }, "{protocol:?}: {found:?}");
    }
}
