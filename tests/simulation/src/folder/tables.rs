//! What the environment of the tags holds: the tables of `host-native/src/sequencer/lmdb/tables.rs`.

use std::collections::BTreeMap;

use zoocache::Timestamp;
use zoocache_core::{DomainId, LogRow, Tag};

use super::env::Draft;

/// A row of the log.
#[derive(Clone)]
pub(super) enum Row {
    Tag(Tag),
    /// A key that is about to be replaced, by the change of the entries that has this number.
    Key(Vec<u8>, u64),
}

impl Row {
    /// What it is about: of one subject there is one row.
    fn subject(&self) -> (bool, Vec<u8>) {
        match self {
            Self::Tag(tag) => (false, tag.as_str().as_bytes().to_vec()),
            Self::Key(key, _) => (true, key.clone()),
        }
    }
}

/// At which position it was told that a key is about to be replaced, and by which change.
pub(super) type Replaced = (u64, (Vec<u8>, u64));

/// An announced change.
#[derive(Clone)]
pub(super) struct Mark {
    pub(super) deadline_us: u64,
    pub(super) tags: Vec<Tag>,
}

/// A position, and the number in its batch.
type Position = (u64, u32);

#[derive(Clone, Default)]
pub(super) struct Tags {
    pub(super) domain: Option<DomainId>,
    pub(super) identity: u64,
    pub(super) clock_us: u64,
    pub(super) floor_us: u64,
    pub(super) last_mark: u64,
    /// How often the marks have changed.
    pub(super) marks_changes: u64,
    pub(super) marks: BTreeMap<u64, Mark>,
    log: BTreeMap<Position, Row>,
    positions: BTreeMap<(bool, Vec<u8>), Position>,
}

impl Tags {
    pub(super) fn clear_log(&mut self) {
        self.log.clear();
        self.positions.clear();
    }

    /// Positions of the oldest rows.
    pub(super) fn oldest(&self, many: usize) -> impl Iterator<Item = u64> + '_ {
        self.log.keys().take(many).map(|(at, _)| *at)
    }

    /// The rows after a position: of tags, and of keys with what is said of them.
    pub(super) fn rows_after(&self, after_us: u64) -> (Vec<LogRow>, Vec<Replaced>) {
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        for ((at, _), row) in self.log.range((after_us + 1, 0)..) {
            match row {
                Row::Tag(tag) => {
                    let at = Timestamp::from_micros(*at);
                    rows.push(LogRow { tag: tag.clone(), below_only: false, at });
                }
                Row::Key(key, number) => keys.push((*at, (key.clone(), *number))),
            }
        }
        (rows, keys)
    }
}

/// The next position; `None` when there is none left.
pub(super) fn mint(draft: &mut Draft<Tags>, now_us: u64) -> Option<Timestamp> {
    let at = draft.clock_us.checked_add(1).and_then(|next| Timestamp::checked(next.max(now_us)))?;
    draft.clock_us = at.as_micros();
    Some(at)
}

pub(super) fn put_tags(draft: &mut Draft<Tags>, at: Timestamp, tags: &[Tag]) {
    if tags.iter().any(|tag| tag.depth() == 0) {
        // The root covers whatever was invalidated before.
        draft.clear_log();
    }
    for (tag, place) in tags.iter().zip(0..) {
        put_row(draft, (at.as_micros(), place), Row::Tag(tag.clone()));
    }
}

/// Puts a row at the end of the log, in the place of an earlier one of the same.
pub(super) fn put_row(draft: &mut Draft<Tags>, position: Position, row: Row) {
    let tags = &mut **draft;
    if let Some(earlier) = tags.positions.insert(row.subject(), position) {
        tags.log.remove(&earlier);
    }
    tags.log.insert(position, row);
}

/// Removes the oldest rows up to a position, which becomes the floor.
pub(super) fn remove_rows(draft: &mut Draft<Tags>, many: usize, last_us: u64) {
    let old: Vec<_> = draft.log.keys().take(many).filter(|(at, _)| *at <= last_us).copied().collect();
    let tags = &mut **draft;
    for position in old {
        if let Some(row) = tags.log.remove(&position) {
            tags.positions.remove(&row.subject());
        }
    }
}

pub(super) fn raise_floor(draft: &mut Draft<Tags>, last_us: u64) {
    draft.floor_us = draft.floor_us.max(last_us);
}

pub(super) fn remove_mark(draft: &mut Draft<Tags>, id: u64) {
    draft.marks.remove(&id);
    draft.marks_changes += 1;
}
