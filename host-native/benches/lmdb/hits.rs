//! What does a hit cost: from memory, from the near cache, from LMDB?

use zoocache::{Cache, Lookup};

use crate::caches::{Raw, Scratch, shared};
use crate::load::{ENTRIES, Value, filled, numbers};
use crate::report::Row;
use crate::timing::{Contender, Effort, Series, contender, interleave};

const NEAR_GOAL: f64 = 1.3;
const BELOW_GOAL_NS: f64 = 3_000.0;

pub(crate) fn rows(effort: &Effort) -> Vec<Row> {
    let scratch = Scratch::new("hits");
    let memory = filled(Cache::builder(), ENTRIES);
    let near = filled(shared(scratch.path()), ENTRIES);
    let below = shared(scratch.path()).near_entries(0).build().unwrap();
    let raw = Raw::filled(scratch.path(), ENTRIES);
    let (mut next, same) = (numbers(), || 7);
    let raw_get = contender(|| raw.get(next()).unwrap());
    let raw_get_one = contender(|| raw.get(same()).unwrap());
    let contenders = [
        hit(&memory, numbers()),
        hit(&near, numbers()),
        hit(&memory, same),
        hit(&near, same),
        hit(&below, numbers()),
        raw_get,
        hit(&below, same),
        raw_get_one,
    ];
    let [memory, near, memory_one, near_one, below, raw, below_one, raw_one] = interleave(contenders, effort);
    let near_row = |work, ours: &Series, memory| {
        Row::of(work, ours, ("from memory alone", memory)).goal("<= 1.3x", ours.ratio(memory) <= NEAR_GOAL)
    };
    let below_row = |work, ours: &Series, raw| {
        Row::of(work, ours, ("raw heed, read_txn and get", raw))
            .goal("<= 3 µs", ours.median() <= BELOW_GOAL_NS)
    };
    vec![
        near_row("hit, from the near cache, one key", &near_one, &memory_one),
        near_row("hit, from the near cache, 10 000 keys in turn", &near, &memory),
        below_row("hit, from LMDB, 100 bytes, one key", &below_one, &raw_one),
        below_row("hit, from LMDB, 100 bytes, 10 000 keys in turn", &below, &raw),
    ]
}

fn hit<'a>(cache: &'a Cache<Value>, mut next: impl FnMut() -> u64 + 'a) -> Contender<'a> {
    contender(move || assert!(matches!(cache.lookup(&next().to_le_bytes()), Lookup::Hit(_))))
}
