//! The lines of history that workers write.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use zoocache::codec::ValueCodec;

use super::truth::{Bytes, Value};

pub(crate) const RECORD_BYTES: usize = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Hit = 1,
    Computed,
    /// From `to_ns` on nobody may get less than the version of the tag.
    Promised,
    /// A fresh entry that was read before was a miss, though nothing was invalidated any more.
    Refused,
    Overlapped,
    Error,
    /// From `to_ns` on nobody may get what is older than the value.
    Put,
    /// From `to_ns` on nobody may get what a computation returns that began before `from_ns`.
    Deleted,
    /// A change was begun, whose mark is to stand.
    Changing,
    /// The change that began at `from_ns` was settled.
    Changed,
    /// The worker kills itself at `about`, an [`At`].
    Dying,
    /// A worker ended: of the hits that its cache counted, which `about` says, `version` were read from the folder.
    Counted,
}

/// Where a worker kills itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum At {
    /// After the source was written, before the change is settled.
    Change,
    Computation,
    /// After the source was written, before the invalidation. Nothing is promised then.
    Invalidation,
}

/// One line of history. `tests/processes/history.py` writes the same.
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
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u64
    }

    pub(crate) fn is_read(&self) -> bool {
        self.is(Kind::Hit) || self.is(Kind::Computed)
    }

    /// Appends it to a history. One call, not buffered: what was recorded survives a kill.
    pub(crate) fn append_to(&self, mut history: &File) {
        let bytes = self.bytes();
        assert_eq!(bytes.len(), RECORD_BYTES);
        history.write_all(&bytes).expect("the history can be written");
    }

    fn bytes(&self) -> Vec<u8> {
        let numbers = [self.kind, self.from_ns, self.to_ns, self.about, self.version, 0];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(Bytes.encode(&self.value).expect("a value has bytes"));
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let number = |place: usize| {
            u64::from_le_bytes(bytes[place * 8..place * 8 + 8].try_into().expect("eight bytes"))
        };
        let value = Bytes.decode(&bytes[48..]).expect("a value");
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

pub(crate) fn records(history: &Path) -> Vec<Record> {
    let bytes = fs::read(history).unwrap_or_default();
    bytes.chunks_exact(RECORD_BYTES).map(Record::read).collect()
}
