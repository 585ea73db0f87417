//! What is cached: which version of which leaf was seen, by which computation.

use std::sync::Arc;

use zoocache::codec::{CodecError, ValueCodec};

use crate::truth::{LEAVES, Versions};

/// A value, which says what it was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The version of each leaf that was read; 0 for one that was not.
    pub(crate) seen: Versions,
    /// Its computation, which began and ended then, in the order of all events.
    pub(crate) fill: u64,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// Was something used that was stale on purpose?
    pub(crate) is_tainted: bool,
}

/// Values as bytes.
pub(crate) struct Codec;

const WORDS: usize = LEAVES.len() + 4;

impl ValueCodec<Arc<Value>> for Codec {
    fn encode(&self, value: &Arc<Value>) -> Result<Vec<u8>, CodecError> {
        let seen = value.seen.iter().map(|version| u64::from(*version));
        let words = seen.chain([value.fill, value.began, value.ended, u64::from(value.is_tainted)]);
        Ok(words.flat_map(u64::to_le_bytes).collect())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Arc<Value>, CodecError> {
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| word.try_into().map(u64::from_le_bytes))
            .collect::<Result<_, _>>()?;
        if bytes.len() != WORDS * 8 {
            return Err("not a value".into());
        }
        let (seen, rest) = words.split_at(LEAVES.len());
        let version = |leaf: usize| u32::try_from(seen[leaf]).unwrap_or(0);
        Ok(Arc::new(Value {
            seen: std::array::from_fn(version),
            fill: rest[0],
            began: rest[1],
            ended: rest[2],
            is_tainted: rest[3] != 0,
        }))
    }
}
