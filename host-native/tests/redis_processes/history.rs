//! The lines of history that nodes and the program that hurts them write.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use zoocache::codec::ValueCodec;

use super::TAGS;
use super::truth::{Bytes, NO_VALUE, Value, now_ns};

const RECORD_BYTES: usize = 40 + 16 + 4 * TAGS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Hit = 1,
    Computed,
    /// `invalidate` returned Ok: from `to_ns` on nobody may get less than the version of the tag.
    Promised,
    /// Redis was away: the same on this node, and on the others once it was replayed.
    Queued,
    /// A mark stands: the tag counts as invalidated from `to_ns` on, unless Redis loses its history until the change
    /// is settled.
    Announced,
    /// A change was begun.
    Changing,
    /// The change that began at `from_ns` was settled.
    Changed,
    /// From `to_ns` on nobody may get what is older than the value.
    Put,
    /// From `to_ns` on nobody may get what a computation returns that began before `from_ns`.
    Deleted,
    /// A key that was just read was a miss, though nothing was invalidated any more.
    Refused,
    /// Two computations of one key at a time.
    Overlapped,
    /// What must not happen.
    Error,
    /// The cache told its observer that Redis could not be reached.
    Away,
    /// The node kills itself.
    Dying,
    /// A node ended: of the hits that its cache counted, which `about` says, `version` were read from Redis.
    Counted,
}

/// One line of history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) kind: u64,
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// The key, or the tag.
    pub(crate) about: u64,
    pub(crate) version: u64,
    pub(crate) value: Value,
}

impl Record {
    pub(crate) fn new(kind: Kind, from_ns: u64, about: u64) -> Self {
        Self { kind: kind as u64, from_ns, to_ns: now_ns(), about, version: 0, value: NO_VALUE }
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u64
    }

    pub(crate) fn is_read(&self) -> bool {
        self.is(Kind::Hit) || self.is(Kind::Computed)
    }

    /// The key, or the tag, as an index.
    pub(crate) fn place(&self) -> usize {
        usize::try_from(self.about).expect("a small number")
    }

    /// Appends it to a history. One call, not buffered: what was recorded survives a kill.
    pub(crate) fn append_to(&self, mut history: &File) {
        let numbers = [self.kind, self.from_ns, self.to_ns, self.about, self.version];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(Bytes.encode(&self.value).expect("a value has bytes"));
        assert_eq!(bytes.len(), RECORD_BYTES);
        history.write_all(&bytes).expect("the history can be written");
    }

    fn read(bytes: &[u8]) -> Self {
        let number = |place: usize| {
            u64::from_le_bytes(bytes[place * 8..place * 8 + 8].try_into().expect("eight bytes"))
        };
        let value = Bytes.decode(&bytes[40..]).expect("a value");
        Self {
            kind: number(0),
            from_ns: number(1),
            to_ns: number(2),
            about: number(3),
            version: number(4),
            value,
        }
    }
}

/// What is in a history so far.
pub(crate) fn records(history: &Path) -> Vec<Record> {
    let bytes = fs::read(history).unwrap_or_default();
    bytes.chunks_exact(RECORD_BYTES).map(Record::read).collect()
}

/// How many lines a history has so far.
pub(crate) fn lines(history: &Path) -> u64 {
    fs::metadata(history).map_or(0, |file| file.len() / RECORD_BYTES as u64)
}
