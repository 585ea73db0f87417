//! What does it cost to prove an entry fresh: nothing changed (level 0), nothing near it (1), or a walk (2)?

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use zoocache_core::{DependencySet, DomainId, Engine, EngineConfig, Tag, Timestamp, Verdict};

fn judge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    for dependencies in [1, 10, 100] {
        let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
        let signals = engine.signals().clone();
        let fill = engine.begin(1);
        let tags = (0..dependencies).map(|tag| Tag::parse(&format!("org:{}:store:{tag}", tag % 10)).unwrap());
        let set: DependencySet = tags.map(|tag| engine.intern(&tag)).collect();
        let entry = engine.seal(fill, &set, Timestamp::MAX, 1).unwrap();
        group.bench_function(format!("level 0, {dependencies} dependencies"), |bencher| {
            bencher.iter(|| assert_eq!(black_box(&entry).judge(&signals), Verdict::Fresh));
        });
        // The stripes are chosen by a hash of the first two segments: one that none of ours shares.
        let far = (0..).map(|other| [Tag::parse(&format!("far:{other}")).unwrap()]).nth(1).unwrap();
        let beside = [Tag::parse("org:0:store:none").unwrap()];
        for (level, tag) in [(1, &far), (2, &beside)] {
            group.bench_function(
                format!("level {level}, {dependencies} dependencies, with the invalidation"),
                |bencher| {
                    bencher.iter(|| {
                        engine.invalidate(tag, 1).unwrap();
                        assert_eq!(black_box(&entry).judge(&signals), Verdict::Fresh);
                    });
                },
            );
            group.bench_function(
                format!("baseline: the invalidation of level {level}, {dependencies} dependencies"),
                |bencher| bencher.iter(|| engine.invalidate(tag, 1).unwrap()),
            );
        }
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
