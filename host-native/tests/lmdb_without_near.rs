//! A folder without a near cache: every hit is read from below, and nothing stays in memory.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::pair::{Pair, builder, compute};
use common::{NOON_US, Scratch, on};
use zoocache::{Error, Lookup, ManualClock};

fn pair() -> Pair {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || builder(scratch.path(), &clock).near_entries(0).build().expect("opens");
    Pair { one: open(), two: open(), clock, scratch }
}

#[test]
fn every_hit_is_read_from_below_and_nothing_stays_in_memory() {
    let Pair { one, two, .. } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    for cache in [&one, &two] {
        for hits in 1..4 {
            let Lookup::Hit(entry) = cache.lookup(b"k") else { panic!("it is stored") };
            assert_eq!((*entry.value(), cache.stats().shared_hits), (1, hits));
            assert!(!cache.is_servable(&entry), "who remembers it asks again");
            assert_eq!(Arc::strong_count(&entry), 1, "nobody holds it in memory");
        }
        assert_eq!(cache.stats().entries, 1);
    }
    assert!(one.put("k", 2, &on(&["a"])), "it is stored");
    assert_eq!((one.get("k"), two.get("k")), (Some(2), Some(2)));
    two.invalidate(&["a"]).expect("valid tag");
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    assert!(two.put("k", 3, &on(&["a"])));
    assert!(one.delete("k"));
    assert_eq!((one.get("k"), two.get("k")), (None, None));
}

#[test]
fn of_overlapping_computations_the_first_to_commit_wins() {
    let Pair { one, two, .. } = pair();
    let slow = one.lead_alone(b"k", None, false);
    let slower = one.lead_alone(b"k", None, false);
    assert_eq!(compute(&two, "k", &on(&["a"]), 2), 2);
    assert!(!slow.finish(1, None).1);
    assert_eq!((one.get("k"), two.get("k")), (Some(2), Some(2)));
    two.invalidate(&["a"]).expect("valid tag");
    assert!(one.lead_alone(b"k", None, false).finish(4, None).1);
    assert!(!slower.finish(5, None).1);
    assert_eq!((one.get("k"), two.get("k")), (Some(4), Some(4)));
    let late = two.lead_alone(b"k", None, false);
    assert!(one.delete("k"));
    assert!(!late.finish(6, None).1);
    assert_eq!((one.get("k"), two.get("k")), (None, None));
}

#[test]
fn one_thread_computes_and_the_others_get_what_it_computed() {
    const THREADS: u64 = 8;
    let Pair { one, .. } = pair();
    for round in 0..200 {
        let (barrier, computations) = (Barrier::new(8), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let result = one.get_or_compute(format!("{round}"), &on(&["a"]), |_| {
                        Ok::<_, Error>(computations.fetch_add(1, Ordering::SeqCst))
                    });
                    assert_eq!(result.expect("computes"), 0);
                });
            }
        });
        assert_eq!(computations.into_inner(), 1, "round {round}");
    }
}

#[test]
fn what_is_read_does_not_idle() {
    let Pair { one, two, clock, .. } = pair();
    compute(&one, "k", &on(&["a"]).tti(Duration::from_secs(100)), 1);
    for _ in 0..10 {
        clock.advance_ms(60_000);
        assert_eq!(one.get("k"), Some(1));
        one.sweep();
    }
    assert_eq!(two.get("k"), Some(1));
    clock.advance_ms(100_000);
    assert_eq!((one.get("k"), two.get("k")), (None, None));
}
