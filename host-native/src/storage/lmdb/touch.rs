//! Uses, told long after they were made: they move rows to the young end, and extend lives that idling ends.
//!
//! A row itself is never written back. Rows that are young, and lives that would not grow, are sorted out in a
//! read transaction: most calls need not wait for the writer's place.

use heed::RwTxn;

use super::PLACES;
use super::places::{Hash, Place, last_age, move_place, place_of, set_last_age};
use crate::folder::{FolderError, Reading, Rooms};
use crate::storage::Use;

/// Rows that one transaction touches: another writer waits no longer than that takes.
const STEP: usize = 256;
/// Rows that one call moves to the young end: more would keep a processor busy, to little use.
const MAX_MOVES: usize = 16_384;
/// One part in so many of all rows is young.
const YOUNG_SHARE: u64 = 4;
/// So much later than this process another one may have read the same clock.
const SLACK_US: u64 = 1_000_000;

/// Notes that rows were used, each at a time.
pub(super) fn touch(rooms: &Rooms, uses: &[Use], now_us: u64) -> Result<(), FolderError> {
    let mut moves_left = MAX_MOVES;
    for uses in uses.chunks(STEP) {
        let uses: Vec<(Hash, u64)> =
            uses.iter().map(|used| (*blake3::hash(&used.key).as_bytes(), used.used_us)).collect();
        let told = Told { uses: &uses, now_us, may_age: moves_left > 0 };
        if !rooms.entries.read(|txn| told.changes_any(rooms, txn))? {
            continue;
        }
        let moved = rooms.entries.write(|txn| told.write(rooms, txn))?;
        moves_left = moves_left.saturating_sub(moved);
    }
    Ok(())
}

/// What is told in one transaction.
struct Told<'a> {
    uses: &'a [(Hash, u64)],
    now_us: u64,
    may_age: bool,
}

impl Told<'_> {
    fn changes_any(&self, rooms: &Rooms, txn: &Reading<'_>) -> heed::Result<bool> {
        let young_from = self.young_from(rooms, txn)?;
        for (hash, used_us) in self.uses {
            let place = place_of(rooms, txn, hash)?;
            if place.is_some_and(|place| self.moved(place, *used_us, young_from).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns how many rows became the youngest.
    fn write(&self, rooms: &Rooms, txn: &mut RwTxn<'_>) -> heed::Result<usize> {
        let young_from = self.young_from(rooms, txn)?;
        let mut age = last_age(rooms, txn)?;
        let mut moved = 0;
        for (hash, used_us) in self.uses {
            let Some(from) = place_of(rooms, txn, hash)? else { continue };
            let Some(mut to) = self.moved(from, *used_us, young_from) else { continue };
            if from.age < young_from {
                age += 1;
                to.age = age;
                moved += 1;
            }
            move_place(rooms, txn, hash, (from, to))?;
        }
        set_last_age(rooms, txn, age)?;
        Ok(moved)
    }

    /// The age from which on a row is young: among so many that are younger no row is near its eviction. Ages
    /// have gaps, so there are fewer of them; never more.
    fn young_from(&self, rooms: &Rooms, txn: &Reading<'_>) -> heed::Result<u64> {
        if !self.may_age {
            return Ok(0);
        }
        let young = (rooms.entries.table(PLACES).len(txn)? / YOUNG_SHARE).max(1);
        Ok(last_age(rooms, txn)?.saturating_sub(young) + 1)
    }

    /// Where a row belongs after its use, but for its age; `None` if it stays where it is.
    fn moved(&self, place: Place, used_us: u64, young_from: u64) -> Option<Place> {
        let expires_us = self.extended(place, used_us);
        let moves = place.age < young_from || expires_us != place.expires_us;
        moves.then_some(Place { expires_us, ..place })
    }

    fn extended(&self, place: Place, used_us: u64) -> u64 {
        if place.idle_us == 0 {
            return place.expires_us;
        }
        let bound_us = if place.bound_us == 0 { u64::MAX } else { place.bound_us };
        let extended = used_us.min(self.now_us).saturating_add(place.idle_us).min(bound_us);
        // Nobody can have used it later than now: the clock was put back since.
        let latest = self.now_us.saturating_add(place.idle_us).saturating_add(SLACK_US);
        if place.expires_us > latest { extended } else { extended.max(place.expires_us) }
    }
}
