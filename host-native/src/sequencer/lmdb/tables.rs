//! The tables of the log: what their rows are, and how they change together. What they mean is said in `mod.rs`.

use std::collections::BTreeMap;
use std::ops::Bound;

use heed::RwTxn;
use zoocache_core::{DomainId, LogRow, Tag, Timestamp};

use super::State;
use crate::engine::Engine;
use crate::error::Error;
use crate::folder::{Reading, Rooms, Table, seal};
use crate::sequencer::Change;

pub(super) const META: usize = 0;
pub(super) const LOG: usize = 1;
pub(super) const TAGS: usize = 2;
pub(super) const MARKS: usize = 3;

/// In the place of a process: the deadline of an announced change has passed.
pub(super) const BY_DEADLINE: u64 = u64::MAX;

/// Kinds of rows.
pub(super) const OF_TAG: u8 = 0;
pub(super) const OF_KEY: u8 = 1;

/// What one read transaction says.
pub(super) struct News {
    pub(super) number: u64,
    pub(super) domain: DomainId,
    pub(super) clock_us: u64,
    pub(super) floor_us: u64,
    pub(super) marks_changes: u64,
    pub(super) rows: Vec<LogRow>,
    /// Position, key and number.
    pub(super) keys: Vec<(u64, (Vec<u8>, u64))>,
    /// All marks, if they changed.
    pub(super) marks: Option<BTreeMap<u64, Mark>>,
}

pub(super) struct Mark {
    pub(super) deadline_us: u64,
    pub(super) tags: Vec<Tag>,
}

pub(super) fn domain_in(meta: Table, txn: &Reading<'_>) -> heed::Result<Option<DomainId>> {
    let bytes = seal::get(meta, txn, b"domain")?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(|bytes| DomainId(u128::from_be_bytes(bytes))))
}

/// The next position; `None` when there is none left.
pub(super) fn mint(rooms: &Rooms, txn: &mut RwTxn<'_>, now_us: u64) -> heed::Result<Option<Timestamp>> {
    let meta = rooms.tags.table(META);
    let last_us = seal::number(meta, txn, b"clock")?.unwrap_or(0);
    let at = last_us.checked_add(1).and_then(|next| Timestamp::checked(next.max(now_us)));
    if let Some(at) = at {
        seal::put(meta, txn, b"clock", &at.as_micros().to_be_bytes())?;
    }
    Ok(at)
}

pub(super) fn put_tags(
    rooms: &Rooms,
    txn: &mut RwTxn<'_>,
    at: Timestamp,
    tags: &[Tag],
    by: u64,
) -> heed::Result<()> {
    if tags.iter().any(|tag| tag.depth() == 0) {
        // The root covers whatever was invalidated before.
        rooms.tags.table(LOG).clear(txn)?;
        rooms.tags.table(TAGS).clear(txn)?;
    }
    let mut places = 0..;
    tags.iter().zip(&mut places).try_for_each(|(tag, place)| {
        let row = Row { kind: OF_TAG, number: by, content: tag.as_str().as_bytes() };
        put_row(rooms, txn, (at, place), &row)
    })
}

/// A row of the log.
pub(super) struct Row<'a> {
    pub(super) kind: u8,
    pub(super) number: u64,
    pub(super) content: &'a [u8],
}

impl<'a> Row<'a> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.content.len() + 9);
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.content);
        bytes
    }

    /// What cannot be read is of no kind.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let parts =
            bytes.split_first().and_then(|(kind, rest)| Some((*kind, rest.split_first_chunk::<8>()?)));
        let (kind, (number, content)) = parts.unwrap_or((u8::MAX, (&[0; 8], bytes)));
        Self { kind, number: u64::from_be_bytes(*number), content }
    }

    /// A key of what the row is about, never too long for LMDB.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.kind]).update(self.content);
        *hasher.finalize().as_bytes()
    }
}

/// Puts a row at the end of the log, in the place of an earlier one of the same.
pub(super) fn put_row(
    rooms: &Rooms,
    txn: &mut RwTxn<'_>,
    (at, place): (Timestamp, u32),
    row: &Row<'_>,
) -> heed::Result<()> {
    let (log, tags) = (rooms.tags.table(LOG), rooms.tags.table(TAGS));
    let hash = row.hash();
    let mut key = [0; 12];
    key[..8].copy_from_slice(&at.as_micros().to_be_bytes());
    key[8..].copy_from_slice(&place.to_be_bytes());
    if let Some(earlier) = seal::get(tags, txn, &hash)?.map(<[u8]>::to_vec) {
        log.delete(txn, &earlier)?;
    }
    seal::put(log, txn, &key, &row.bytes())?;
    seal::put(tags, txn, &hash, &key)
}

pub(super) fn position_of(place: &[u8]) -> u64 {
    place.first_chunk::<8>().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn read_news(rooms: &Rooms, engine: &dyn Engine, state: &State) -> Result<News, Error> {
    let (meta, log, marks) = (rooms.tags.table(META), rooms.tags.table(LOG), rooms.tags.table(MARKS));
    let own = engine.domain();
    let news = rooms.tags.read(|txn| {
        let domain = domain_in(meta, txn)?.unwrap_or(own);
        let after = if domain == own { state.applied_us } else { 0 };
        let marks_changes = seal::number(meta, txn, b"marks")?.unwrap_or(0);
        let mut news = News {
            number: txn.id() as u64,
            domain,
            clock_us: seal::number(meta, txn, b"clock")?.unwrap_or(0),
            floor_us: seal::number(meta, txn, b"floor")?.unwrap_or(0),
            marks_changes,
            rows: Vec::new(),
            keys: Vec::new(),
            marks: None,
        };
        if news.clock_us > after {
            read_rows(log, txn, after + 1, &mut news)?;
        }
        if marks_changes != state.marks_changes {
            news.marks = Some(marks_in(marks, txn)?);
        }
        Ok(news)
    })?;
    Ok(news)
}

pub(super) fn read_rows(log: Table, txn: &Reading<'_>, from_us: u64, news: &mut News) -> heed::Result<()> {
    let from = from_us.to_be_bytes();
    for row in log.range(txn, &(Bound::Included(&from[..]), Bound::Unbounded))? {
        let (place, row) = row?;
        let (at, row) = (position_of(place), Row::read(seal::open(place, row).unwrap_or_default()));
        if row.kind == OF_KEY {
            news.keys.push((at, (row.content.to_vec(), row.number)));
            continue;
        }
        let tag = if row.kind == OF_TAG { read_tag(row.content) } else { None };
        // What cannot be read may have been anything.
        let tag = tag.unwrap_or_else(Tag::root);
        news.rows.push(LogRow { tag, below_only: false, at: Timestamp::from_micros(at) });
    }
    Ok(())
}

pub(super) fn read_tag(text: &[u8]) -> Option<Tag> {
    match std::str::from_utf8(text).ok()? {
        "" => Some(Tag::root()),
        text => Tag::parse(text).ok(),
    }
}

pub(super) fn mark_bytes(change: &Change<'_>) -> Vec<u8> {
    let mut bytes = change.deadline_us.to_be_bytes().to_vec();
    for tag in change.tags {
        let text = tag.as_str().as_bytes();
        let length = u32::try_from(text.len()).expect("invariant: tags are short");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text);
    }
    bytes
}

pub(super) fn read_mark(bytes: &[u8]) -> Option<Mark> {
    let (deadline, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let (length, texts) = rest.split_first_chunk::<4>()?;
        let (text, others) = texts.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        tags.push(read_tag(text)?);
        rest = others;
    }
    Some(Mark { deadline_us: u64::from_be_bytes(*deadline), tags })
}

pub(super) fn marks_in(marks: Table, txn: &Reading<'_>) -> heed::Result<BTreeMap<u64, Mark>> {
    let mut found = BTreeMap::new();
    for row in marks.iter(txn)? {
        let (id, bytes) = row?;
        // What cannot be read may be about anything, and is over.
        let mark = seal::open(id, bytes).and_then(read_mark);
        let mark = mark.unwrap_or_else(|| Mark { deadline_us: 0, tags: vec![Tag::root()] });
        found.insert(position_of(id), mark);
    }
    Ok(found)
}

pub(super) fn remove_mark(rooms: &Rooms, txn: &mut RwTxn<'_>, id: u64) -> heed::Result<()> {
    rooms.tags.table(MARKS).delete(txn, &id.to_be_bytes())?;
    count_mark(rooms.tags.table(META), txn)
}

/// Lets readers see that the marks have changed.
pub(super) fn count_mark(meta: Table, txn: &mut RwTxn<'_>) -> heed::Result<()> {
    let changes = seal::number(meta, txn, b"marks")?.unwrap_or(0) + 1;
    seal::put(meta, txn, b"marks", &changes.to_be_bytes())
}
