//! Snapshots: everything an engine knows, as bytes, and back.
//!
//! ```text
//! 0x5A 0x53 0x01     magic, format version 1
//! 16 bytes           domain, little-endian
//! varints            clock, applied, floor, horizon, epoch, generation, last mark
//! varints            the root: stamp, below, floor of its children
//! varint             nodes, in the order of the rotation; each: text (length, bytes), stamp, below, floor of children
//! varint             pending marks, by rising ids; each: id, deadline, number of tags, their texts
//! 8 bytes            FNV-1a of everything before, little-endian
//! ```
//! Invariant: reading is total and bounded, and what it accepts satisfies the invariants of the trie.
//! Running fills, handles and the memory of messages stay behind: they belong to the process.

use alloc::vec::Vec;
use core::fmt;

use super::{DomainId, Engine, EngineConfig, MarkId, Order};
use crate::bytes::{BytesError, Reader, put_text, put_varint};
use crate::clock::Timestamp;
use crate::node::{Node, position};
use crate::signals::Signals;
use crate::tag::Tag;

const MAGIC: [u8; 3] = [0x5A, 0x53, 0x01];
/// Added to the epoch, so that no entry of the previous engine looks proved.
const EPOCH_GAP: u64 = 1 << 32;
/// No engine counts so far. Beyond, a snapshot would leave no number for what comes after it.
const MAX_COUNT: u64 = 1 << 62;

/// Why bytes are no snapshot for this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin like a snapshot of a readable version.
    NoSnapshot,
    /// They end early.
    Truncated,
    /// Their contents contradict their checksum or each other.
    Malformed,
    /// They are of another domain.
    Foreign {
        /// Of which.
        domain: DomainId,
    },
}

impl From<BytesError> for SnapshotError {
    fn from(error: BytesError) -> Self {
        match error {
            BytesError::Truncated => Self::Truncated,
            BytesError::Malformed => Self::Malformed,
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshot => formatter.write_str("Not an engine snapshot of a readable version"),
            Self::Truncated => formatter.write_str("Snapshot ends early"),
            Self::Malformed => formatter.write_str("Snapshot is malformed"),
            Self::Foreign { domain } => write!(formatter, "Snapshot belongs to domain {domain}"),
        }
    }
}

impl core::error::Error for SnapshotError {}

impl Engine {
    /// Everything it knows, as bytes.
    ///
    /// # Complexity
    /// O(nodes · depth).
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.trie.len() * 32);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.config.domain.0.to_le_bytes());
        let signals = &self.signals;
        for at in [self.clock.last(), signals.applied(), signals.floor(), self.horizon] {
            put_varint(&mut bytes, at.as_micros());
        }
        put_varint(&mut bytes, signals.epoch());
        put_varint(&mut bytes, u64::from(signals.generation()));
        put_varint(&mut bytes, self.marks.last_id());
        let root = signals.root();
        for at in [position(root.raw_stamp()), position(root.raw_below()), self.trie.root_floor()] {
            put_varint(&mut bytes, at.as_micros());
        }
        put_varint(&mut bytes, self.trie.len() as u64);
        self.trie.for_each(|node, floor| {
            put_text(&mut bytes, Node::tag(node, false).as_str());
            for at in [position(node.raw_stamp()), position(node.raw_below()), floor] {
                put_varint(&mut bytes, at.as_micros());
            }
        });
        put_varint(&mut bytes, self.marks.pending() as u64);
        for (id, mark) in self.marks.iter() {
            put_varint(&mut bytes, id.0);
            put_varint(&mut bytes, self.marks.deadline_us(mark));
            put_varint(&mut bytes, mark.nodes.len() as u64);
            mark.nodes.iter().for_each(|node| put_text(&mut bytes, Node::tag(node, false).as_str()));
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// An engine that knows what the snapshot says.
    ///
    /// Entries of the engine that was saved are foreign to it. With a log it begins in doubt. It does not know what was invalidated
    /// after the snapshot: restore the latest, or [`Engine::raise_floor`].
    ///
    /// # Errors
    /// [`SnapshotError`]; whatever the bytes are, it neither panics nor allocates beyond them.
    pub fn restore(config: EngineConfig, bytes: &[u8]) -> Result<Self, SnapshotError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(SnapshotError::NoSnapshot);
        }
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(SnapshotError::Truncated)?;
        if checksum(body) != u64::from_le_bytes(*sum) {
            return Err(SnapshotError::Malformed);
        }
        let mut reader = Reader::new(body);
        reader.take(MAGIC.len())?;
        let domain = DomainId(u128::from_le_bytes(reader.array()?));
        if domain != config.domain {
            return Err(SnapshotError::Foreign { domain });
        }
        let [clock, applied, floor] = positions(&mut reader)?;
        let horizon = read_position(&mut reader)?;
        let epoch = read_count(&mut reader)? + EPOCH_GAP;
        let generation = u32::try_from(reader.varint()?).map_err(|_| SnapshotError::Malformed)?;
        let mut engine = Self::with_signals(config, Signals::new(epoch, generation.wrapping_add(1)));
        engine.clock.advance(clock.max(applied));
        let known = engine.clock.last();
        engine.history = super::tail::History::beginning_at(known);
        engine.messages = super::apply::Messages::with_own_up_to(known);
        // How much it forgets by itself is the new one's business; what the old one was told still holds.
        if engine.horizon == Timestamp::ZERO && horizon != Timestamp::MAX {
            engine.horizon = horizon;
        }
        engine.marks.set_last_id(read_count(&mut reader)?);
        let change = engine.signals.change();
        change.advance(applied);
        change.raise_floor(floor);
        // Of a log, something has been missed.
        change.set_doubt(engine.config.order == Order::Log);
        change.publish();
        engine.restore_nodes(&mut reader)?;
        engine.restore_marks(&mut reader)?;
        if reader.remaining() > 0 {
            return Err(SnapshotError::Malformed);
        }
        Ok(engine)
    }

    fn restore_nodes(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
        let mut floors = Vec::new();
        let [stamp, below, floor] = positions(reader)?;
        self.restore_node(&Tag::root(), stamp, below.max(floor));
        floors.push((Tag::root(), floor));
        for _ in 0..reader.varint()? {
            let tag = read_tag(reader)?;
            if tag == Tag::root() {
                return Err(SnapshotError::Malformed);
            }
            let [stamp, below, floor] = positions(reader)?;
            self.restore_node(&tag, stamp, below.max(floor));
            if floor > Timestamp::ZERO {
                floors.push((tag, floor));
            }
        }
        // Last: a child made under a floor would start from it, which may be more than it had.
        for (tag, floor) in &floors {
            self.trie.raise_floor(tag, *floor);
        }
        Ok(())
    }

    /// Raising only, so that no contents can break the invariants of the trie.
    fn restore_node(&mut self, tag: &Tag, stamp: Timestamp, below: Timestamp) {
        let node = self.trie.node(tag, self.signals.epoch());
        let change = self.signals.change();
        change.stamp(&node, stamp);
        change.stamp_below(&node, below);
        change.publish();
    }

    fn restore_marks(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
        let mut before = 0;
        for _ in 0..reader.varint()? {
            let (id, deadline_us, count) = (reader.varint()?, reader.varint()?, reader.varint()?);
            let mut tags = Vec::new();
            for _ in 0..count {
                tags.push(read_tag(reader)?);
            }
            if id <= before || id > self.marks.last_id() {
                return Err(SnapshotError::Malformed);
            }
            before = id;
            self.announce(MarkId(id), &tags, deadline_us);
        }
        Ok(())
    }
}

fn positions(reader: &mut Reader<'_>) -> Result<[Timestamp; 3], SnapshotError> {
    Ok([read_position(reader)?, read_position(reader)?, read_position(reader)?])
}

fn read_position(reader: &mut Reader<'_>) -> Result<Timestamp, SnapshotError> {
    Timestamp::checked(reader.varint()?).ok_or(SnapshotError::Malformed)
}

fn read_count(reader: &mut Reader<'_>) -> Result<u64, SnapshotError> {
    Some(reader.varint()?).filter(|count| *count <= MAX_COUNT).ok_or(SnapshotError::Malformed)
}

/// A path as it stands in a snapshot: never a subtree, and empty for the root.
fn read_tag(reader: &mut Reader<'_>) -> Result<Tag, SnapshotError> {
    match reader.text()? {
        "" => Ok(Tag::root()),
        text => Tag::parse(text).ok().filter(|tag| !tag.is_subtree()).ok_or(SnapshotError::Malformed),
    }
}

/// FNV-1a: against damage, not against intent; the same on every platform and in every version.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
