//! The other process: reads what `visible` changes.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use zoocache::{Cache, Lookup};

use crate::caches::{Raw, shared};
use crate::load::Value;
use crate::timing::now_ns;
use crate::words::{Words, wait_for};

/// Reads after a change: none of them may give what was there before.
const READS: u64 = 4;

/// What happens in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The item is invalidated while it is read without a pause.
    Busy,
    /// It is invalidated, then read.
    Stale,
    /// Something else is invalidated, then it is read.
    Fresh,
    /// It is read.
    Unchanged,
    /// A row of raw LMDB is written anew, then read.
    Raw,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Busy, Self::Stale, Self::Fresh, Self::Unchanged, Self::Raw];

    /// What this may read after the change.
    fn accepts(self, found: Option<u64>, turn: u64) -> bool {
        match self {
            Self::Busy | Self::Stale => found.is_none(),
            Self::Fresh | Self::Unchanged => found == Some(before(turn)),
            Self::Raw => found == Some(after(turn)),
        }
    }
}

/// The number of the row that is read, in both.
pub(crate) const ITEM: u64 = 1;

/// The content before the change of a turn, and after it.
pub(crate) fn before(turn: u64) -> u64 {
    2 * turn
}

pub(crate) fn after(turn: u64) -> u64 {
    2 * turn + 1
}

/// A value of 100 bytes that holds a number.
pub(crate) fn value_of(content: u64) -> [u8; 100] {
    let mut value = [0; 100];
    value[..8].copy_from_slice(&content.to_le_bytes());
    value
}

fn content_of(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().unwrap())
}

struct Reader {
    cache: Cache<Value>,
    raw: Raw,
}

impl Reader {
    fn read(&self, kind: Kind) -> Option<u64> {
        if kind == Kind::Raw {
            return self.raw.get(ITEM).map(|value| content_of(&value));
        }
        match self.cache.lookup(&ITEM.to_le_bytes()) {
            Lookup::Hit(entry) => Some(content_of(entry.value())),
            Lookup::Miss(_) => None,
        }
    }
}

/// Reads, turn by turn, until the standard input ends.
pub(crate) fn run(folder: &Path) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let reader = Reader { cache: shared(folder).build().unwrap(), raw: Raw::open(folder) };
    let words = Words::map(&folder.join("words"));
    for turn in 1.. {
        wait_for(&words.turn, turn, || ());
        let kind = Kind::ALL[usize::try_from(words.kind.load(Relaxed)).unwrap()];
        while reader.read(kind) != Some(before(turn)) {}
        words.warm.store(turn, Release);
        if kind == Kind::Busy {
            while words.changed.load(Acquire) != turn {
                reader.read(kind);
            }
        }
        wait_for(&words.changed, turn, || ());
        let began_ns = now_ns();
        let found = reader.read(kind);
        words.answered_ns.store(now_ns(), Relaxed);
        words.began_ns.store(began_ns, Relaxed);
        let others = (1..READS).filter(|_| !kind.accepts(reader.read(kind), turn)).count() as u64;
        words.wrong.store(u64::from(!kind.accepts(found, turn)) + others, Relaxed);
        words.answered.store(turn, Release);
    }
}
