//! P2: hits on a key never go back; and P1 under random concurrent use, held by a checker.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{builder, cache, on, value};
use zoocache::{Cache, Error, Fill, Join, Landing, Policy, Retention};

fn finish(leader: zoocache::Leader<u64>, value: u64) -> bool {
    let (landing, stored) = leader.finish(value, None);
    assert!(matches!(landing, Landing::Sealed(_) | Landing::BornStale(..)));
    stored
}

#[test]
fn the_first_valid_commit_among_overlapping_computations_wins() {
    let (cache, _) = cache();
    let [slow, quick, last] = [1, 2, 3].map(|_| cache.lead_alone(b"k", None, false));
    assert!(finish(quick, 2));
    assert_eq!(cache.get("k"), Some(2));
    assert!(!finish(slow, 1));
    assert!(!finish(last, 3));
    assert_eq!(cache.get("k"), Some(2));
    let after = cache.lead_alone(b"k", None, false);
    assert!(finish(after, 4), "one that began later replaces it");
    assert_eq!(cache.get("k"), Some(4));
}

#[test]
fn a_commit_that_went_stale_does_not_win() {
    let (cache, _) = cache();
    let [first, second] = [1, 2].map(|_| cache.lead_alone(b"k", None, false));
    first.declare(&on(&["a"]));
    assert!(finish(first, 1));
    cache.invalidate(&["a"]).unwrap();
    second.declare(&on(&["b"]));
    assert!(finish(second, 2));
    assert_eq!(cache.get("k"), Some(2));
}

#[test]
fn a_winner_that_was_evicted_lets_nothing_older_in() {
    let cache = builder().0.max_entries(1).build().unwrap();
    let Ok(Join::Lead(slow)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    assert!(finish(cache.lead_alone(b"k", None, false), 2));
    assert_eq!(cache.get("k"), Some(2));
    for other in 0..100 {
        cache.put(format!("other {other}"), 0, &Policy::default());
        cache.get(format!("other {other}"));
    }
    assert_eq!(cache.get("k"), None);
    assert!(
        matches!(cache.join(b"k", None, false), Ok(Join::Lead(_))),
        "the slow one is too old to wait for"
    );
    assert!(!finish(slow, 1));
    assert_eq!(cache.get("k"), None);
}

const KEYS: usize = 4;
const TAGS: usize = 6;
const READERS: u64 = 3;
const READS: u64 = 80_000;

/// The tags a key depends on; the last is declared at the end of its computation.
fn tags_of(key: usize) -> [usize; 2] {
    [key % TAGS, (key * 3 + 1) % TAGS]
}

/// A source of truth with versions, written before each invalidation.
struct World {
    cache: Cache<u64>,
    written: [AtomicU64; TAGS],
    /// The version that some `invalidate` which has returned was called for.
    announced: [AtomicU64; TAGS],
    hits: AtomicU64,
    refreshed: AtomicU64,
}

impl World {
    fn tag(tag: usize) -> String {
        format!("zone:{}:thing:{tag}", tag % 2)
    }

    /// Versions of both tags in one number.
    fn compute(&self, key: usize, fill: &Fill) -> Result<u64, Error> {
        let [first, second] = tags_of(key);
        fill.depend_on_text(&Self::tag(first))?;
        let high = self.written[first].load(Ordering::SeqCst);
        if high.is_multiple_of(5) {
            std::thread::yield_now();
        }
        let low = self.written[second].load(Ordering::SeqCst);
        // Late, and for some only as part of a subtree.
        fill.depend_on_text(&if key == 3 { format!("zone:{}:*", second % 2) } else { Self::tag(second) })?;
        Ok(high << 32 | low)
    }

    fn read(&self, key: usize, nested: bool, seen: &mut [u64; KEYS]) {
        let due = tags_of(key).map(|tag| self.announced[tag].load(Ordering::SeqCst));
        let mut computed = false;
        let name = format!("{}{key}", if nested { "outer" } else { "inner" });
        // What went stale stays where it is found first, and must not be served for all that.
        let kept = Retention { grace_ms: u32::MAX, keep_invalidated: true };
        let policy = Policy::default().retention(kept);
        let got = self.cache.get_or_compute(&name, &policy, |fill| {
            computed = true;
            if nested {
                self.cache.get_or_compute(format!("inner{key}"), &policy, |fill| self.compute(key, fill))
            } else {
                self.compute(key, fill)
            }
        });
        let got = got.unwrap();
        let versions = [got >> 32, got & u64::from(u32::MAX)];
        assert!(versions[0] >= due[0] && versions[1] >= due[1], "stale {name}: {versions:?} < {due:?}");
        if !computed {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(hit) = self.cache.get(format!("inner{key}")) {
            // A version only rises, so what one thread finds stored under a key does too.
            assert!(hit >> 32 >= seen[key] >> 32, "back in time: inner{key}");
            seen[key] = hit;
        }
    }

    fn refresh(&self, key: usize) {
        let Some(leader) = self.cache.lead_refresh(format!("inner{key}").as_bytes()) else { return };
        self.refreshed.fetch_add(1, Ordering::Relaxed);
        let value = self.compute(key, leader.fill()).unwrap();
        leader.finish(value, None);
    }

    fn write(&self, tag: usize) {
        let version = self.written[tag].fetch_add(1, Ordering::SeqCst) + 1;
        self.cache.invalidate(&[Self::tag(tag)]).unwrap();
        self.announced[tag].fetch_max(version, Ordering::SeqCst);
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn stress(builder: zoocache::Builder<u64>) {
    let world = World {
        cache: builder.build().unwrap(),
        written: Default::default(),
        announced: Default::default(),
        hits: AtomicU64::new(0),
        refreshed: AtomicU64::new(0),
    };
    let reading = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let world = &world;
                scope.spawn(move || {
                    let (mut dice, mut seen) = (Dice(reader + 1), [0; KEYS]);
                    for _ in 0..READS {
                        let key = usize::try_from(dice.roll(KEYS as u64)).unwrap();
                        world.read(key, dice.roll(2) == 0, &mut seen);
                        match dice.roll(1_000) {
                            0..20 => world.write(usize::try_from(dice.roll(TAGS as u64)).unwrap()),
                            20 => _ = world.cache.delete(format!("inner{key}")),
                            21 => _ = world.cache.prune(Duration::ZERO),
                            22 => _ = world.cache.sweep(),
                            23..100 => world.refresh(key),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut dice = Dice(99);
            while reading.load(Ordering::Relaxed) {
                world.write(usize::try_from(dice.roll(TAGS as u64)).unwrap());
                (0..200).for_each(|_| std::thread::yield_now());
            }
        });
        for reader in readers {
            let ended = reader.join();
            reading.fetch_and(ended.is_ok(), Ordering::Relaxed);
            ended.unwrap();
        }
        reading.store(false, Ordering::Relaxed);
    });
    let (hits, reads) = (world.hits.into_inner(), READERS * READS);
    assert!(hits * 10 > reads * 3, "only {hits} of {reads} reads were hits: this shows nothing");
    assert!(world.refreshed.into_inner() > 1_000, "hardly any refresh: this shows nothing");
    assert!(world.cache.stats().stale > 1_000, "hardly anything was invalidated: this shows nothing");
}

#[test]
fn no_read_is_stale_under_random_use() {
    stress(builder().0);
}

#[test]
fn no_read_is_stale_while_entries_are_evicted_and_waiting_times_out() {
    stress(builder().0.max_entries(3).flight_timeout(Duration::from_micros(50)));
}

#[test]
fn values_are_computed_only_when_needed() {
    let (cache, _) = cache();
    cache.get_or_compute("k", &Policy::default(), value(1)).unwrap();
    assert!((0..100).all(|_| cache.get_or_compute("k", &Policy::default(), value(2)).unwrap() == 1));
}
