//! What does a hit cost: from memory, from the near cache, from Redis?

use zoocache::{Cache, Consistency, Lookup};

use crate::load::{ENTRIES, Value, filled, numbers};
use crate::report::Row;
use crate::server::{Raw, Server};
use crate::timing::{Contender, Effort, Series, contender, interleave};

const SERVER_GOAL: f64 = 1.25;

pub(crate) fn rows(server: &Server, effort: &Effort) -> Vec<Row> {
    let memory = filled(Cache::builder(), ENTRIES);
    let near = filled(server.builder("hits"), ENTRIES);
    let below = server.builder("hits").near_entries(0).build().unwrap();
    let strong = server.builder("hits").near_entries(0).consistency(Consistency::Strong).build().unwrap();
    let strong_near = filled(server.builder("strong").consistency(Consistency::Strong), ENTRIES);
    let raw = Raw::filled(server, ENTRIES);
    let (mut next, same) = (numbers(), || 7);
    let raw_get = contender(|| raw.get(next()));
    let fast = [hit(&memory, numbers()), hit(&near, numbers()), hit(&memory, same), hit(&near, same)];
    let [memory, near, memory_one, near_one] = interleave(fast, effort);
    let slow = [hit(&below, numbers()), hit(&strong, numbers()), hit(&strong_near, numbers()), raw_get];
    let [below, strong, strong_near, raw] = interleave(slow, effort);
    let near_row = |work, ours: &Series, memory| Row::of(work, ours, ("from memory alone", memory));
    let far_row = |work, ours: &Series| {
        Row::of(work, ours, ("GET through the same client", &raw))
            .goal("<= 1.25x", ours.ratio(&raw) <= SERVER_GOAL)
    };
    vec![
        near_row("hit, from the near cache, one key", &near_one, &memory_one),
        near_row("hit, from the near cache, 10 000 keys in turn", &near, &memory),
        far_row("hit, from Redis, 100 bytes, within 1 s", &below),
        far_row("hit, from Redis, 100 bytes, strong", &strong),
        Row::of(
            "hit, near entry, strong: asks each time",
            &strong_near,
            ("GET through the same client", &raw),
        ),
    ]
}

fn hit<'a>(cache: &'a Cache<Value>, mut next: impl FnMut() -> u64 + 'a) -> Contender<'a> {
    contender(move || assert!(matches!(cache.lookup(&next().to_le_bytes()), Lookup::Hit(_))))
}
