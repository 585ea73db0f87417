//! The source of truth, and what is computed from it and cached.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};
use zoocache::codec::{CodecError, ValueCodec};

use super::TAGS;

pub(crate) const ABSENT: u32 = u32::MAX;
pub(crate) const NO_VALUE: Value = Value { began_ns: 0, ended_ns: 0, versions: [ABSENT; TAGS] };

/// All processes of a machine share this clock.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// What is cached: the versions of the tags it was computed from, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) versions: [u32; TAGS],
}

pub(crate) struct Bytes;

impl ValueCodec<Value> for Bytes {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&value.began_ns.to_le_bytes());
        bytes.extend_from_slice(&value.ended_ns.to_le_bytes());
        value.versions.iter().for_each(|version| bytes.extend_from_slice(&version.to_le_bytes()));
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let number = |at: usize| -> Result<u64, CodecError> {
            Ok(u64::from_le_bytes(bytes.get(at..at + 8).ok_or("short")?.try_into()?))
        };
        let mut versions = [0; TAGS];
        for (version, chunk) in versions.iter_mut().zip(bytes.get(16..).ok_or("short")?.chunks_exact(4)) {
            *version = u32::from_le_bytes(chunk.try_into()?);
        }
        Ok(Value { began_ns: number(0)?, ended_ns: number(8)?, versions })
    }
}

/// The source of truth: a version per tag.
pub(crate) struct Truth(pub(crate) PathBuf);

impl Truth {
    pub(crate) fn read(&self, tag: usize) -> u32 {
        let mut bytes = [0; 4];
        let file = File::open(&self.0).expect("the source is there");
        file.read_exact_at(&mut bytes, tag as u64 * 4).expect("the source is complete");
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn raise(&self, tag: usize) -> u32 {
        let file = File::options().read(true).write(true).open(&self.0).expect("the source is there");
        // A killed process lets go of it.
        flock(&file, FlockOperation::LockExclusive).expect("a local file");
        let version = self.read(tag) + 1;
        file.write_all_at(&version.to_le_bytes(), tag as u64 * 4).expect("the source can be written");
        version
    }
}
