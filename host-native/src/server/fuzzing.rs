//! Rows, and what is told of them, read and written again. See [`crate::fuzzing`].

use redis::Value;
use zoocache_core::Timestamp;

use super::range::Range;
use super::row::{Mark, Row, Rows, Told, incarnation_text, key_row, mark_tags, settled_row, tag_row};

/// The bytes of the row that was read from such; `None` for one that says nothing.
pub fn rewrite_row(bytes: &[u8]) -> Option<Vec<u8>> {
    write_row(&Row::read(bytes))
}

fn write_row(row: &Row) -> Option<Vec<u8>> {
    Some(match row {
        Row::Tag(tag) => tag_row(tag),
        Row::Key(key) => key_row(key),
        Row::Settled(id) => settled_row(*id),
        Row::Mark(Mark { id, deadline_us, timeout_us, tags, row }) => {
            let mut bytes = format!("m{id:016x}{deadline_us:016}{timeout_us:016}").into_bytes();
            bytes.extend(mark_tags(tags));
            // A length has more than one spelling; which it was is kept.
            assert!(row.starts_with(&bytes[..49]));
            bytes
        }
        Row::Clock(of, latest) => format!("~c:{}:{latest}", incarnation_text(*of)).into_bytes(),
        Row::Floor => b"!f".to_vec(),
        Row::Other => return None,
    })
}

/// The same of what is told; `None` for what cannot be read, which counts as anything.
pub fn rewrite_told(bytes: &[u8]) -> Option<Vec<u8>> {
    match Told::read(bytes) {
        Told::Unlocked(lock) => Some([b"u ", &lock[..]].concat()),
        Told::Something => None,
        Told::Rows(Rows { incarnation, origin, before, at, told, .. }) => {
            let incarnation = incarnation_text(incarnation);
            let mut bytes = format!("i {incarnation} {origin} {before} {at} ").into_bytes();
            let Some(rows) = told else { return Some([&bytes[..], b"x"].concat()) };
            for row in &rows {
                let row = write_row(row).unwrap_or_else(|| b"!".to_vec());
                bytes.extend_from_slice(format!("{}:", row.len()).as_bytes());
                bytes.extend(row);
            }
            Some(bytes)
        }
    }
}

/// What a look at the table showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// How many rows.
    pub rows: usize,
    /// The position of the clock, if the table is that of the incarnation.
    pub clock: Option<u64>,
    /// The position of the latest row, if there is a clock.
    pub latest: u64,
    /// Whether there is more to be read.
    pub is_cut_off: bool,
}

/// Reads the reply to a question for at most `limit` rows of an incarnation's table.
pub fn look(reply: &Value, incarnation: u128, limit: usize) -> Looked {
    let range = Range::read(reply, (incarnation, Timestamp::ZERO), limit, 0);
    Looked {
        rows: range.rows.len(),
        clock: range.clock.map(Timestamp::as_micros),
        latest: range.latest.as_micros(),
        is_cut_off: range.is_cut_off,
    }
}
