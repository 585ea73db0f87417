//! The log of a folder, for those who look at it.

use std::ops::Bound;

use zoocache_core::{Tag, Timestamp};

use super::tables::{BY_DEADLINE, LOG, OF_TAG, Row, position_of, read_tag};
use crate::error::Error;
use crate::folder::{Rooms, seal};
use crate::sequencer::{Invalidated, Wanted};

/// Rows that one snapshot is kept open for.
const MOST: usize = 10_000;

/// The latest invalidation of each tag, in the order of positions.
pub(super) fn history(rooms: &Rooms, wanted: &Wanted) -> Result<Vec<Invalidated>, Error> {
    let log = rooms.tags.table(LOG);
    let from = wanted.from.as_micros().to_be_bytes();
    let to = wanted.to.as_micros().saturating_add(1).to_be_bytes();
    let bounds = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
    let most = wanted.most.min(MOST);
    let told = rooms.tags.read(|txn| {
        let mut told = Vec::new();
        if wanted.newest_first {
            for row in log.rev_range(txn, &bounds)? {
                if !tell(&mut told, row?, most) {
                    break;
                }
            }
        } else {
            for row in log.range(txn, &bounds)? {
                if !tell(&mut told, row?, most) {
                    break;
                }
            }
        }
        Ok(told)
    })?;
    Ok(told)
}

/// Takes in a row; answers `false` when there are enough.
fn tell(told: &mut Vec<Invalidated>, (place, row): (&[u8], &[u8]), most: usize) -> bool {
    let row = Row::read(seal::open(place, row).unwrap_or_default());
    if row.kind != OF_TAG {
        return true;
    }
    let at = Timestamp::from_micros(position_of(place));
    // What cannot be read counts for everything.
    let tag = read_tag(row.content).unwrap_or_else(Tag::root);
    if let Some(last) = told.last_mut().filter(|last| last.at == at) {
        last.tags.push(tag);
        return true;
    }
    if told.len() == most {
        return false;
    }
    let node = match row.number {
        0 => None,
        BY_DEADLINE => Some("the deadline of a change".to_owned()),
        process => Some(format!("pid:{process}")),
    };
    told.push(Invalidated { at, tags: vec![tag], node });
    true
}
