//! The rows of the table, and what is told of them: texts that come from outside, read without trust.
//!
//! ```text
//! tTAG            the tag was invalidated (`t` alone: everything)
//! kKEY            what is remembered of this key was replaced or deleted
//! mID DEADLINE TIMEOUT TAGS   a change is announced: 16 hexadecimal digits, 16 digits, 16 digits, each tag as LENGTH:TAG
//! sID             an announced change was settled
//! ~c:INCARNATION:LATEST  the clock: always the highest position; and that of the latest row of the kinds above
//! !f, !r:...      the floor, the server's process
//! ```
//! Invariant: reading is total. What cannot be read may have been an invalidation of anything, and counts as one.

use redis::Value;
use zoocache_core::{Tag, Timestamp};

use crate::clock::boot_ns;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    Tag(Tag),
    Key(Vec<u8>),
    Mark(Mark),
    Settled(u64),
    /// Of an incarnation; and the position of its latest row.
    Clock(u128, Timestamp),
    Floor,
    Other,
}

/// An announced change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: u64,
    /// In the server's time.
    pub(super) deadline_us: u64,
    /// How long it stands; so whoever has seen it for that long need not ask what time it is there.
    pub(super) timeout_us: u64,
    pub(super) tags: Vec<Tag>,
    /// As it stands in the table.
    pub(super) row: Vec<u8>,
}

impl Row {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let anything = Self::Tag(Tag::root());
        let Some((kind, rest)) = bytes.split_first() else { return anything };
        match kind {
            b't' => read_tag(rest).map_or(anything, Self::Tag),
            b'k' => Self::Key(rest.to_vec()),
            b'm' => read_mark(bytes).map_or(anything, Self::Mark),
            b's' => hexadecimal(rest).map_or(anything, Self::Settled),
            b'~' => {
                read_clock(rest).map_or(Self::Other, |(incarnation, latest)| Self::Clock(incarnation, latest))
            }
            b'!' if rest == b"f" => Self::Floor,
            b'!' => Self::Other,
            _ => anything,
        }
    }
}

pub(super) fn tag_row(tag: &Tag) -> Vec<u8> {
    row(b't', tag.as_str().as_bytes())
}

pub(super) fn key_row(key: &[u8]) -> Vec<u8> {
    row(b'k', key)
}

pub(super) fn settled_row(id: u64) -> Vec<u8> {
    row(b's', format!("{id:016x}").as_bytes())
}

/// The tags of a mark, as they stand in it.
pub(super) fn mark_tags(tags: &[Tag]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tag in tags {
        bytes.extend_from_slice(format!("{}:{}", tag.as_str().len(), tag.as_str()).as_bytes());
    }
    bytes
}

fn row(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(kind);
    bytes.extend_from_slice(content);
    bytes
}

pub(super) fn read_tag(text: &[u8]) -> Option<Tag> {
    match std::str::from_utf8(text).ok()? {
        "" => Some(Tag::root()),
        text => Tag::parse(text).ok().filter(|tag| !tag.is_subtree()),
    }
}

fn read_mark(bytes: &[u8]) -> Option<Mark> {
    let id = hexadecimal(bytes.get(1..17)?)?;
    let (deadline_us, timeout_us) = (number(bytes.get(17..33)?)?, number(bytes.get(33..49)?)?);
    let tags = pieces(bytes.get(49..)?)?.into_iter().map(read_tag).collect::<Option<Vec<_>>>()?;
    Some(Mark { id, deadline_us, timeout_us, tags, row: bytes.to_vec() })
}

fn read_clock(rest: &[u8]) -> Option<(u128, Timestamp)> {
    let (name, latest) = rest.strip_prefix(b"c:")?.split_at_checked(32)?;
    Some((incarnation(name)?, position(latest.strip_prefix(b":")?)?))
}

/// An incarnation, as texts give it: 32 hexadecimal digits.
pub(super) fn incarnation(bytes: &[u8]) -> Option<u128> {
    u128::from_str_radix(hexadecimal_text(bytes, 32)?, 16).ok()
}

pub(super) fn incarnation_text(incarnation: u128) -> String {
    format!("{incarnation:032x}")
}

fn hexadecimal(bytes: &[u8]) -> Option<u64> {
    u64::from_str_radix(hexadecimal_text(bytes, 16)?, 16).ok()
}

/// As it is written: what parses numbers would take signs and capitals, too.
fn hexadecimal_text(bytes: &[u8], length: usize) -> Option<&str> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_written = bytes.len() == length && bytes.iter().all(is_digit);
    is_written.then(|| std::str::from_utf8(bytes).ok())?
}

fn number(bytes: &[u8]) -> Option<u64> {
    let is_number = !bytes.is_empty() && bytes.len() <= 19 && bytes.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(bytes).ok()?.parse().ok())?
}

/// A position, as texts give it.
pub(super) fn position(bytes: &[u8]) -> Option<Timestamp> {
    number(bytes).and_then(Timestamp::checked)
}

/// Texts that stand one after another, each as LENGTH:TEXT.
pub(super) fn pieces(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let colon = rest.iter().take(20).position(|byte| *byte == b':')?;
        let length = usize::try_from(number(&rest[..colon])?).ok()?;
        let (piece, after) = rest[colon + 1..].split_at_checked(length)?;
        pieces.push(piece);
        rest = after;
    }
    Some(pieces)
}

/// Rows with their positions, as a range of the table gives them. `None` if they are none.
pub(super) fn read_range(reply: &Value) -> Option<Vec<(Row, Timestamp)>> {
    let Value::Array(pairs) = reply else { return None };
    pairs.iter().map(read_pair).collect()
}

fn read_pair(pair: &Value) -> Option<(Row, Timestamp)> {
    let Value::Array(pair) = pair else { return None };
    let [Value::BulkString(row), Value::Double(score)] = &pair[..] else { return None };
    // One between two positions is nobody's of us; refused, it would keep whoever comes anew from reading the rest.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and below 2^53")]
    let at = (0.0..9e15).contains(score).then_some(score.ceil() as u64)?;
    Some((Row::read(row), Timestamp::checked(at)?))
}

/// What is told when the bell rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Rows were added.
    Rows(Rows),
    /// The domain has a new incarnation, or something that cannot be read was told.
    Something,
    /// A lock was given back.
    Unlocked(Vec<u8>),
}

/// Rows that were added at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) incarnation: u128,
    /// The node that says that a key was replaced; 0 for other rows.
    pub(super) origin: u64,
    /// The position of the rows before them.
    pub(super) before: Timestamp,
    pub(super) at: Timestamp,
    /// `None` if they are too many to be told.
    pub(super) told: Option<Vec<Row>>,
    /// When they arrived, by the clock of `boot_ns`.
    pub(super) heard_ns: u64,
}

impl Told {
    pub(super) fn read(bytes: &[u8]) -> Self {
        match bytes {
            [b'u', b' ', lock @ ..] => Self::Unlocked(lock.to_vec()),
            [b'i', b' ', rest @ ..] => read_told(rest).map_or(Self::Something, Self::Rows),
            _ => Self::Something,
        }
    }
}

fn read_told(rest: &[u8]) -> Option<Rows> {
    let mut fields = rest.splitn(5, |byte| *byte == b' ');
    let mut next = || fields.next();
    let incarnation = incarnation(next()?)?;
    let origin = std::str::from_utf8(next()?).ok()?.parse().ok()?;
    let (before, at) = (position(next()?)?, position(next()?)?);
    let told = match next()? {
        b"x" => None,
        rows => Some(pieces(rows)?.into_iter().map(Row::read).collect()),
    };
    Some(Rows { incarnation, origin, before, at, told, heard_ns: boot_ns() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_come_back_as_they_were_written() {
        let tags = [Tag::root(), Tag::parse("a:ü:c").expect("a tag")];
        for tag in &tags {
            assert_eq!(Row::read(&tag_row(tag)), Row::Tag(tag.clone()));
        }
        assert_eq!(Row::read(&key_row(b"\0 key")), Row::Key(b"\0 key".to_vec()));
        assert_eq!(Row::read(&settled_row(7)), Row::Settled(7));
        let (deadline_us, timeout_us) = (1_795_000_000_000_000, 30_000_000);
        let mut bytes = format!("m{:016x}{deadline_us:016}{timeout_us:016}", 9).into_bytes();
        bytes.extend(mark_tags(&tags));
        let mark = Mark { id: 9, deadline_us, timeout_us, tags: tags.to_vec(), row: bytes.clone() };
        assert_eq!(Row::read(&bytes), Row::Mark(mark));
    }

    #[test]
    fn what_cannot_be_read_counts_for_everything() {
        let everything = Row::Tag(Tag::root());
        let misspelled = [b"s+000000000000007", b"s000000000000000A"];
        let unreadable = [&b""[..], b"t:", b"ta:*", b"t\xff", b"m12", b"sxyz", b"zebra"];
        for bytes in unreadable.into_iter().chain(misspelled.map(|bytes| &bytes[..])) {
            assert_eq!(Row::read(bytes), everything, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_told_is_taken_wrongly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Row::read(&bytes);
            let _ = Told::read(&bytes);
            let mut told = b"i ".to_vec();
            told.extend(&bytes);
            prop_assert!(!matches!(Told::read(&told), Told::Unlocked(_)));
        }

        #[test]
        fn a_score_that_is_no_position_is_refused(score in any::<f64>()) {
            let pair = Value::Array(vec![Value::BulkString(b"ta".to_vec()), Value::Double(score)]);
            let read = read_range(&Value::Array(vec![pair]));
            let is_position = (0.0..9e15).contains(&score);
            prop_assert_eq!(read.is_some(), is_position);
        }
    }
}
