//! What does a commit cost: of an invalidation, of a computed value, of a value that replaces another?

use crate::caches::{Raw, Scratch, shared};
use crate::load::{ENTRIES, VALUE, filled, numbers, policy, tag};
use crate::report::Row;
use crate::timing::{Effort, contender, interleave};

const TAGS: u64 = 512;
const GOAL_NS: f64 = 20_000.0;

pub(crate) fn rows(effort: &Effort) -> Vec<Row> {
    let scratch = Scratch::new("writes");
    let cache = filled(shared(scratch.path()), ENTRIES);
    let raw = Raw::filled(scratch.path(), ENTRIES);
    let tags: Vec<_> = (0..TAGS).map(tag).collect();
    let (cache, raw, tags) = (&cache, &raw, &tags);
    let mut at = 0;
    let mut some_tags = move |count: usize| {
        at = (at + count) % (tags.len() - count);
        &tags[at..at + count]
    };
    let mut eight_tags = some_tags;
    let [mut one_number, mut first_of_eight, mut replaced, mut raw_replaced] = [(); 4].map(|()| numbers());
    let (mut missing, mut raw_missing) = (ENTRIES.., ENTRIES..);
    let [one, raw_one, eight, raw_eight, fill, raw_fill, put, raw_put] = interleave(
        [
            contender(|| cache.invalidate_tags(some_tags(1)).unwrap()),
            contender(|| raw.put([one_number()])),
            contender(|| cache.invalidate_tags(eight_tags(8)).unwrap()),
            contender(|| {
                let first = first_of_eight();
                raw.put(first..first + 8);
            }),
            contender(|| {
                let number = missing.next().unwrap();
                let leader = cache.lead_alone(&number.to_le_bytes(), None, false);
                leader.declare(&policy(number));
                assert!(leader.finish(VALUE.to_vec(), None).1);
            }),
            contender(|| raw.put(raw_missing.next())),
            contender(|| {
                let number = replaced();
                assert!(cache.put(number.to_le_bytes(), VALUE.to_vec(), &policy(number)));
            }),
            contender(|| raw.put([raw_replaced()])),
        ],
        effort,
    );
    let commit = "raw heed, commit of 1 row";
    vec![
        Row::of("invalidate, 1 tag, 3 deep", &one, (commit, &raw_one))
            .goal("<= 20 µs", one.median() <= GOAL_NS),
        Row::of("invalidate, 8 tags, 3 deep", &eight, ("raw heed, commit of 8 rows", &raw_eight)),
        Row::of("store a missing value, 100 bytes", &fill, ("raw heed, commit of 1 new row", &raw_fill)),
        Row::of("put, a value is there", &put, (commit, &raw_put)),
    ]
}
