//! What does an invalidation cost, and does it depend on how much is cached?

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zoocache::{Cache, Policy, Tag};

fn tag(number: u64) -> Tag {
    Tag::parse(&format!("org:{}:item{number}", number % 1_000)).unwrap()
}

fn invalidate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invalidate");
    for entries in [1_000_u64, 1_000_000] {
        let cache = Cache::<u64>::builder().build().unwrap();
        for number in 0..entries {
            cache.put(number.to_le_bytes(), number, &Policy::default().with_tags([tag(number)]));
        }
        assert_eq!(cache.stats().entries, entries);
        let one = [tag(7)];
        group.bench_function(format!("the same tag, depth 3, {entries} entries"), |bencher| {
            bencher.iter(|| black_box(cache.invalidate_tags(&one).unwrap()));
        });
        // 512 tags that are in the processor's cache in both cases.
        let tags: Vec<_> = (0..512).map(|number| [tag(number)]).collect();
        let mut round = 0_usize;
        group.bench_function(format!("one of 512 tags, depth 3, {entries} entries"), |bencher| {
            bencher.iter(|| {
                round += 1;
                black_box(cache.invalidate_tags(&tags[round % 512]).unwrap())
            });
        });
        group.bench_function(format!("text of a tag, depth 3, {entries} entries"), |bencher| {
            bencher.iter(|| black_box(cache.invalidate(&["org:7:item7"]).unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, invalidate);
criterion_main!(benches);
