//! What does a hit cost, beside the lookup in a table that nobody can do without?

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use zoocache::{Cache, Error, Lookup, Policy};

const ENTRIES: u64 = 10_000;

fn key(number: u64) -> [u8; 8] {
    (number * 7_919 % ENTRIES).to_le_bytes()
}

fn filled(policy: impl Fn(u64) -> Policy) -> Cache<u64> {
    let cache = Cache::builder().build().unwrap();
    for number in 0..ENTRIES {
        cache.get_or_compute(number.to_le_bytes(), &policy(number), |_| Ok::<_, Error>(number)).unwrap();
    }
    cache
}

fn tagged(number: u64) -> Policy {
    Policy::default().tag(format!("org:{}", number % 100)).unwrap()
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    let mut number = 0;
    let mut next = move || {
        number += 1;
        key(number)
    };

    let map: HashMap<Box<[u8]>, u64> =
        (0..ENTRIES).map(|number| (Box::from(number.to_le_bytes()), number)).collect();
    group.bench_function("baseline: std HashMap", |bencher| bencher.iter(|| black_box(map.get(&next()[..]))));
    let quick = quick_cache::sync::Cache::<Box<[u8]>, std::sync::Arc<u64>>::new(100_000);
    (0..ENTRIES).for_each(|number| quick.insert(Box::from(number.to_le_bytes()), number.into()));
    group.bench_function("baseline: quick_cache", |bencher| {
        bencher.iter(|| black_box(quick.get(&next()[..])));
    });

    let cache = filled(tagged);
    group.bench_function("lookup", |bencher| {
        bencher.iter(|| assert!(matches!(cache.lookup(&next()), Lookup::Hit(_))));
    });
    group.bench_function("get", |bencher| bencher.iter(|| black_box(cache.get(next()).unwrap())));
    let policy = Policy::default();
    group.bench_function("get_or_compute", |bencher| {
        bencher.iter(|| cache.get_or_compute(next(), &policy, |_| Err::<u64, _>("never computed")).unwrap());
    });
    let expiring = filled(|number| tagged(number).ttl(Duration::from_hours(1)));
    group.bench_function("get, with a time to live", |bencher| {
        bencher.iter(|| black_box(expiring.get(next()).unwrap()));
    });
    group.finish();
}

fn after_an_unrelated_invalidation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit after an unrelated invalidation");
    for dependencies in [1, 10, 100] {
        let cache = Cache::<u64>::builder().build().unwrap();
        let tags = (0..dependencies).map(|tag| zoocache::Tag::parse(&format!("org:1:store:{tag}")).unwrap());
        cache.put("k", 1, &Policy::default().with_tags(tags));
        let unrelated = [zoocache::Tag::parse("other:1:store").unwrap()];
        let near = [zoocache::Tag::parse("org:1:store:none").unwrap()];
        for (name, tag) in [("elsewhere", &unrelated), ("beside its dependencies", &near)] {
            group.bench_function(format!("{name}, {dependencies} dependencies"), |bencher| {
                bencher.iter(|| {
                    cache.invalidate_tags(tag).unwrap();
                    black_box(cache.get("k").unwrap())
                });
            });
            group.bench_function(
                format!("baseline: {name}, {dependencies}, the invalidation alone"),
                |bencher| {
                    bencher.iter(|| cache.invalidate_tags(tag).unwrap());
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, hit, after_an_unrelated_invalidation);
criterion_main!(benches);
