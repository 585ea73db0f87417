//! Do hits of two threads on different keys get in each other's way?
//!
//! The time is that of one hit of one thread: equal figures for one and two threads mean twice the work.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use zoocache::{Cache, Policy};

const KEYS: u64 = 1_024;

/// The longest time that one of `threads` took for `rounds` hits, each thread on keys of its own.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn race(threads: u64, rounds: u64, hit: &(impl Fn([u8; 8]) + Sync)) -> Duration {
    let start = Barrier::new(usize::try_from(threads).unwrap());
    std::thread::scope(|scope| {
        let runners: Vec<_> = (0..threads)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let begin = std::time::Instant::now();
                    for round in 0..rounds {
                        hit((thread * KEYS + round % KEYS).to_le_bytes());
                    }
                    begin.elapsed()
                })
            })
            .collect();
        runners.into_iter().map(|runner| runner.join().unwrap()).max().unwrap()
    })
}

fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("threads");
    let unlimited = Cache::<u64>::builder().build().unwrap();
    let limited = Cache::<u64>::builder().max_entries(10_000).build().unwrap();
    let quick = quick_cache::sync::Cache::<Box<[u8]>, std::sync::Arc<u64>>::new(100_000);
    let policy = Policy::default().tag("org:1").unwrap();
    for key in 0..2 * KEYS {
        unlimited.put(key.to_le_bytes(), key, &policy);
        limited.put(key.to_le_bytes(), key, &policy);
        quick.insert(Box::from(key.to_le_bytes()), key.into());
    }
    for threads in [1, 2] {
        group.bench_function(format!("{threads}, unlimited"), |bencher| {
            bencher.iter_custom(|rounds| {
                race(threads, rounds, &|key| _ = black_box(unlimited.get(key).unwrap()))
            });
        });
        group.bench_function(format!("{threads}, at most 10 000 entries"), |bencher| {
            bencher
                .iter_custom(|rounds| race(threads, rounds, &|key| _ = black_box(limited.get(key).unwrap())));
        });
        group.bench_function(format!("{threads}, baseline: quick_cache"), |bencher| {
            bencher.iter_custom(|rounds| {
                race(threads, rounds, &|key| _ = black_box(quick.get(&key[..]).unwrap()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, threads);
criterion_main!(benches);
