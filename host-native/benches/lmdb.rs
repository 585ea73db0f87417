//! What does an LMDB folder cost, beside memory alone and beside LMDB alone?

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking; its macros document nothing"
)]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use heed::types::Bytes;
use heed::{EnvFlags, EnvOpenOptions};
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Builder, Cache, Lookup, Policy, Tag};

const ENTRIES: u64 = 10_000;
const VALUE: [u8; 100] = [7; 100];

type Value = Vec<u8>;

struct Plain;

impl ValueCodec<Value> for Plain {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        Ok(bytes.to_vec())
    }
}

fn key(number: u64) -> [u8; 8] {
    (number * 7_919 % ENTRIES).to_le_bytes()
}

fn policy(number: u64) -> Policy {
    Policy::default().tag(format!("org:{}", number % 100)).unwrap()
}

fn filled(builder: Builder<Value>) -> Cache<Value> {
    let cache = builder.build().unwrap();
    (0..ENTRIES).for_each(|number| assert!(cache.put(number.to_le_bytes(), VALUE.to_vec(), &policy(number))));
    cache
}

fn shared(folder: &Path) -> Builder<Value> {
    Cache::builder().lmdb(folder, Plain)
}

fn hit(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("zoocache-bench-hit-{}", std::process::id()));
    let mut group = criterion.benchmark_group("lmdb hit");
    let mut number = 0;
    let mut next = move || {
        number += 1;
        key(number)
    };
    let memory = filled(Cache::builder());
    group.bench_function("baseline: memory", |bencher| {
        bencher.iter(|| assert!(matches!(memory.lookup(&next()), Lookup::Hit(_))));
    });
    let near = filled(shared(&folder));
    group.bench_function("from the near cache", |bencher| {
        bencher.iter(|| assert!(matches!(near.lookup(&next()), Lookup::Hit(_))));
    });
    {
        let raw = Raw::open("hit");
        (0..ENTRIES).for_each(|number| raw.put(&number.to_le_bytes()));
        group.bench_function("baseline: raw heed, read_txn and get", |bencher| {
            bencher.iter(|| {
                let txn = raw.env.read_txn().unwrap();
                black_box(raw.table.get(&txn, &next()).unwrap().unwrap().to_vec())
            });
        });
    }
    let below = shared(&folder).near_entries(1).build().unwrap();
    group.bench_function("from LMDB, 100 bytes", |bencher| {
        bencher.iter(|| assert!(matches!(below.lookup(&next()), Lookup::Hit(_))));
    });
    group.finish();
    drop((near, below));
    std::fs::remove_dir_all(folder).unwrap();
}

fn invalidate(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("zoocache-bench-invalidate-{}", std::process::id()));
    let mut group = criterion.benchmark_group("lmdb invalidate");
    let (one, two) = (filled(shared(&folder)), shared(&folder).build().unwrap());
    let tags: Vec<_> = (0..512).map(|number| [Tag::parse(&format!("org:{number}:item")).unwrap()]).collect();
    let mut round = 0_usize;
    {
        let raw = Raw::open("invalidate");
        group.bench_function("baseline: raw heed, write_txn of one row, unsynced", |bencher| {
            bencher.iter(|| {
                round += 1;
                raw.put(&key(round as u64));
            });
        });
    }
    group.bench_function("one of 512 tags", |bencher| {
        bencher.iter(|| {
            round += 1;
            black_box(one.invalidate_tags(&tags[round % 512]).unwrap())
        });
    });
    group.bench_function("one of 512 tags, and seen by another at its next read", |bencher| {
        bencher.iter(|| {
            round += 1;
            let at = one.invalidate_tags(&tags[round % 512]).unwrap();
            assert!(two.has_reached(at));
        });
    });
    group.bench_function("fill of a trivial value", |bencher| {
        bencher.iter(|| {
            round += 1;
            let leader = one.lead_alone(&key(round as u64), None, false);
            black_box(leader.finish(VALUE.to_vec(), None))
        });
    });
    group.finish();
    drop((one, two));
    std::fs::remove_dir_all(folder).unwrap();
}

/// LMDB without a cache around it, opened as the cache opens it.
struct Raw {
    env: heed::Env<heed::WithoutTls>,
    table: heed::Database<Bytes, Bytes>,
    folder: std::path::PathBuf,
}

impl Raw {
    fn open(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("zoocache-bench-raw-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 30).max_dbs(1);
        #[expect(unsafe_code, reason = "LMDB maps a file")]
        // SAFETY: the folder is this benchmark's own.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(&folder) }.unwrap();
        let mut txn = env.write_txn().unwrap();
        let table = env.create_database(&mut txn, Some("rows")).unwrap();
        txn.commit().unwrap();
        Self { env, table, folder }
    }

    fn put(&self, key: &[u8]) {
        let mut txn = self.env.write_txn().unwrap();
        self.table.put(&mut txn, key, &VALUE).unwrap();
        txn.commit().unwrap();
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

criterion_group!(benches, hit, invalidate);
criterion_main!(benches);
