//! What does a hit cost: from memory, from the near cache, from LMDB?

use zoocache::{Cache, Lookup};

use crate::caches::{ENTRIES, Raw, Scratch, Value, filled, numbers, shared};
use crate::report::Row;
use crate::timing::{Contender, Effort, contender, interleave};

const NEAR_GOAL: f64 = 1.3;
const BELOW_GOAL_NS: f64 = 3_000.0;

pub(crate) fn rows(effort: &Effort) -> Vec<Row> {
    let scratch = Scratch::new("hits");
    let memory = filled(Cache::builder(), ENTRIES);
    let near = filled(shared(scratch.path()), ENTRIES);
    let below = shared(scratch.path()).near_entries(0).build().unwrap();
    let raw = Raw::filled(scratch.path(), ENTRIES);
    let mut next = numbers();
    let raw_get = contender(move || raw.get(next()).unwrap());
    let [memory, near, below, raw] = interleave([hit(&memory), hit(&near), hit(&below), raw_get], effort);
    let ratio = near.ratio(&memory);
    vec![
        Row::of("hit, from the near cache", &near, ("from memory alone", &memory))
            .goal("<= 1.3x", ratio <= NEAR_GOAL),
        Row::of("hit, from LMDB, 100 bytes", &below, ("raw heed, read_txn and get", &raw))
            .goal("<= 3 µs", below.median() <= BELOW_GOAL_NS),
    ]
}

fn hit(cache: &Cache<Value>) -> Contender<'_> {
    let mut next = numbers();
    contender(move || assert!(matches!(cache.lookup(&next().to_le_bytes()), Lookup::Hit(_))))
}
