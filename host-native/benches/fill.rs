//! What does a miss cost, beside the computation itself?

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::sync::Barrier;

use criterion::{Criterion, criterion_group, criterion_main};
use zoocache::{Cache, Error, Policy};

fn fill(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fill");
    let policy = Policy::default().tag("org:1:store:2").unwrap();
    let mut number = 0_u64;
    let mut next = move || {
        number += 1;
        number.to_le_bytes()
    };
    let quick = quick_cache::sync::Cache::<Box<[u8]>, std::sync::Arc<u64>>::new(10_000);
    group.bench_function("baseline: quick_cache insert", |bencher| {
        bencher.iter(|| quick.insert(Box::from(next()), std::sync::Arc::new(1)));
    });
    let cache = Cache::<u64>::builder().max_entries(10_000).build().unwrap();
    group.bench_function("trivial computation", |bencher| {
        bencher.iter(|| cache.get_or_compute(next(), &policy, |_| Ok::<_, Error>(1)).unwrap());
    });
    group.bench_function("trivial computation of what is stale", |bencher| {
        bencher.iter_batched(
            || cache.invalidate(&["org:1"]).unwrap(),
            |_| cache.get_or_compute("k", &policy, |_| Ok::<_, Error>(1)).unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("put", |bencher| bencher.iter(|| cache.put(next(), 1, &policy)));
    group.finish();
}

fn single_flight(criterion: &mut Criterion) {
    let cache = Cache::<u64>::builder().max_entries(1_000).build().unwrap();
    let policy = Policy::default();
    let mut number = 0_u64;
    criterion.bench_function("single flight: 8 threads ask for one key, with starting them", |bencher| {
        bencher.iter(|| {
            number += 1;
            let (start, key) = (Barrier::new(8), number.to_le_bytes());
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        cache.get_or_compute(key, &policy, |_| Ok::<_, Error>(1)).unwrap()
                    });
                }
            });
        });
    });
    assert_eq!(cache.stats().computations, number);
}

criterion_group!(benches, fill, single_flight);
criterion_main!(benches);
