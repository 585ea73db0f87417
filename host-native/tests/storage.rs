//! Room: limits hold, values are dropped outside of every lock, and what nobody needs is freed.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{DEADLINE, builder, cache, on, until, value};
use zoocache::storage::{Limits, MemoryStorage, Storage};
use zoocache::{Cache, Entry, Error, Join, Landing, Policy};

#[test]
fn the_number_of_entries_never_passes_its_limit() {
    for limit in [1, 2, 3, 10, 100, 5_000, 100_000] {
        let cache = builder().0.max_entries(limit).build().unwrap();
        let check = (limit / 50).max(1);
        for key in 0..limit * 2 + 50 {
            cache.get_or_compute(key.to_le_bytes(), &Policy::default(), value(key)).unwrap();
            // What was just stored is there: room is made by evicting others.
            assert_eq!(cache.get(key.to_le_bytes()), Some(key), "{limit}");
            if key % check == 0 {
                assert!(cache.stats().entries <= limit, "{} > {limit}", cache.stats().entries);
            }
        }
        let stats = cache.stats();
        assert!(
            stats.entries <= limit && stats.entries >= limit - limit / 10,
            "{} of {limit}",
            stats.entries
        );
        assert_eq!(stats.evicted, limit * 2 + 50 - stats.entries);
    }
}

fn blobs(max_bytes: u64, max_entries: Option<u64>) -> Cache<Vec<u8>> {
    let builder = Cache::builder().max_bytes(max_bytes).weigher(Vec::len);
    match max_entries {
        Some(entries) => builder.max_entries(entries),
        None => builder,
    }
    .build()
    .unwrap()
}

#[test]
fn the_bytes_never_pass_their_limit() {
    for (limit, entries) in
        [(10_000, None), (1_000_000, None), (1_000_000, Some(50)), (1_000_000, Some(100_000))]
    {
        let cache = blobs(limit, entries);
        for key in 0..5_000_u64 {
            let bytes = usize::try_from(key * 7 % 500).unwrap();
            cache.put(key.to_le_bytes(), vec![0; bytes], &Policy::default());
            let stats = cache.stats();
            assert!(stats.bytes.unwrap() <= limit);
            assert!(entries.is_none_or(|entries| stats.entries <= entries));
        }
        assert!(cache.stats().entries > 0);
    }
}

#[test]
fn a_value_that_cannot_fit_replaces_its_predecessor_by_nothing() {
    let cache = blobs(10_000, None);
    cache.put("small", vec![1], &Policy::default());
    cache.put("k", vec![1], &Policy::default());
    cache.put("k", vec![2; 20_000], &Policy::default());
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.get("small"), Some(vec![1]));
    let computed = cache.get_or_compute("big", &Policy::default(), |_| Ok::<_, Error>(vec![3; 20_000]));
    assert_eq!(computed.unwrap().len(), 20_000);
    assert!(cache.stats().bytes.unwrap() <= 10_000);
}

#[derive(Clone, Default)]
struct Same;

impl BuildHasher for Same {
    type Hasher = Same;
    fn build_hasher(&self) -> Same {
        Same
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        42
    }
    fn write(&mut self, _: &[u8]) {}
}

fn entry(number: u64) -> Arc<Entry<u64>> {
    let Ok(Join::Lead(leader)) = cache().0.join(b"any", None, false) else { panic!("not the leader") };
    let (Landing::Sealed(entry), _) = leader.finish(number, None) else { panic!("not sealed") };
    entry
}

#[test]
fn keys_with_the_same_hash_never_share_an_entry() {
    let storage = MemoryStorage::with_hasher(Limits { max_entries: Some(1_000), max_bytes: None }, Same);
    for key in 0..300_u64 {
        assert!(storage.insert(&key.to_le_bytes(), entry(key)).is_empty());
    }
    for key in 0..300_u64 {
        assert_eq!(storage.get(&key.to_le_bytes()).map(|entry| *entry.value()), Some(key));
    }
    let replaced = storage.insert(&7_u64.to_le_bytes(), entry(1_007));
    assert_eq!(replaced.iter().map(|entry| *entry.value()).collect::<Vec<_>>(), [7]);
    assert_eq!(storage.remove(&8_u64.to_le_bytes()).map(|entry| *entry.value()), Some(8));
    assert!(storage.get(&8_u64.to_le_bytes()).is_none());
    assert_eq!(storage.get(&9_u64.to_le_bytes()).map(|entry| *entry.value()), Some(9));
    assert_eq!(storage.get(&7_u64.to_le_bytes()).map(|entry| *entry.value()), Some(1_007));
}

/// A value that uses its cache while it is dropped.
struct Meddler {
    cache: Arc<OnceLock<Cache<Arc<Meddler>>>>,
    drops: Arc<AtomicU64>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        let Some(cache) = self.cache.get() else { return };
        for key in 0..200_u64 {
            cache.get(key.to_le_bytes());
            cache.delete((1_000 + key).to_le_bytes());
        }
        let Ok(Join::Lead(leader)) = cache.join(b"from a drop", None, false) else { return };
        drop(leader);
        cache.invalidate(&["dropped"]).unwrap();
        cache.stats();
        cache.prune(Duration::ZERO);
        cache.sweep();
    }
}

#[test]
fn values_that_use_the_cache_while_they_are_dropped_deadlock_nothing() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (slot, drops) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
        let cache = Cache::builder().max_entries(20).build().unwrap();
        assert!(slot.set(cache.clone()).is_ok());
        let meddler = || Arc::new(Meddler { cache: slot.clone(), drops: drops.clone() });
        let mut expected = 0;
        let mut happened = |what: &str| {
            let now = drops.load(Ordering::Relaxed);
            assert!(now > expected, "nothing was dropped by {what}");
            expected = now;
        };
        for key in 0..100_u64 {
            cache.get_or_compute(key.to_le_bytes(), &on(&["a"]), |_| Ok::<_, Error>(meddler())).unwrap();
        }
        happened("eviction");
        for _ in 0..3 {
            cache.put(99_u64.to_le_bytes(), meddler(), &on(&["a"]));
        }
        happened("replacement");
        cache.delete(99_u64.to_le_bytes());
        happened("removal");
        cache.invalidate(&["a"]).unwrap();
        cache.sweep();
        happened("sweeping");
        cache.put(1_u64.to_le_bytes(), meddler(), &on(&["a"]));
        cache.invalidate(&["a"]).unwrap();
        cache.get_or_compute(1_u64.to_le_bytes(), &on(&["a"]), |_| Ok::<_, Error>(meddler())).unwrap();
        happened("replacing what is stale");
        cache.clear().unwrap();
        happened("clearing");
        ended.send(()).unwrap();
    });
    end.recv_timeout(DEADLINE).expect("no deadlock and no panic");
}

#[test]
fn what_expired_or_went_stale_is_freed_in_the_background() {
    let (builder, clock) = builder();
    let cache = builder.sweep_interval(Duration::from_millis(2)).build().unwrap();
    for key in 0..100_u64 {
        cache.put(key.to_le_bytes(), key, &Policy::default().ttl(Duration::from_secs(1)));
        cache.put((1_000 + key).to_le_bytes(), key, &on(&[&format!("a:{key}")]));
    }
    cache.put("kept", 1, &Policy::default());
    clock.advance_ms(1_000);
    until("what expired is freed", || cache.stats().entries == 101);
    cache.invalidate(&["a"]).unwrap();
    until("what is stale is freed", || cache.stats().entries == 1 && cache.stats().tags == 0);
    assert_eq!(cache.get("kept"), Some(1));
}

#[test]
fn a_cache_that_is_dropped_drops_its_values() {
    let drops = Arc::new(AtomicU64::new(0));
    let cache = Cache::builder().build().unwrap();
    let value = Arc::new(Meddler { cache: Arc::default(), drops: drops.clone() });
    cache.put("k", value, &on(&["a"]));
    drop(cache);
    // The sweeper may hold the last reference for a moment.
    until("the value is dropped", || drops.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_panic_of_foreign_code_does_not_end_the_sweeping() {
    struct Rude(AtomicU64);
    impl zoocache::Observer for Rude {
        fn on_event(&self, event: &zoocache::Event<'_>) {
            assert!(
                !(matches!(event, zoocache::Event::Swept { .. })
                    && self.0.fetch_add(1, Ordering::Relaxed) == 0),
                "of the observer"
            );
        }
    }
    let observer = Arc::new(Rude(AtomicU64::new(0)));
    let (builder, clock) = builder();
    let cache = builder.observer(observer.clone()).sweep_interval(Duration::from_millis(2)).build().unwrap();
    for round in 1..=3 {
        cache.put("k", 1, &Policy::default().ttl(Duration::from_secs(1)));
        clock.advance_ms(1_000);
        until("freed", || cache.stats().entries == 0);
        until("told", || observer.0.load(Ordering::Relaxed) == round);
    }
}

#[test]
fn tags_and_entries_return_to_a_plateau() {
    const NUMBER: u64 = 200_000;
    let cache = builder().0.max_entries(1_000).build().unwrap();
    let mut most = 0;
    for number in 0..NUMBER {
        cache.invalidate(&[format!("user:{number}:profile")]).unwrap();
        most = most.max(cache.stats().tags);
    }
    assert!(most < 1_000, "{most} nodes for tags that nobody depends on");
    for number in 0..NUMBER {
        let policy = on(&[&format!("org:{}:item:{number}", number % 10)]);
        cache.get_or_compute(number.to_le_bytes(), &policy, value(number)).unwrap();
        most = most.max(cache.stats().tags);
    }
    assert!(most < 10_000, "{most} nodes for 1000 entries");
    cache.clear().unwrap();
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.tags), (0, 0));
}
