//! Uses, told in the background: what somebody reads is evicted late and does not idle, and no hit writes.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::pair::{Pair, builder, compute, latest_commit, pair};
use common::{NOON_US, Scratch, on};
use zoocache::{Cache, Lookup, ManualClock, Policy};

const INTERVAL_MS: u64 = 30_000;

fn idling(seconds: u64) -> Policy {
    on(&["a"]).tti(Duration::from_secs(seconds))
}

/// Two caches of ten entries in all.
fn small(near_entries: u64) -> Pair {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || {
        let builder = builder(scratch.path(), &clock).max_entries(10).near_entries(near_entries);
        builder.build().expect("opens")
    };
    Pair { one: open(), two: open(), clock, scratch }
}

/// Puts 40 entries by `other`; after each, what `reader` does, and telling.
fn crowd(other: &Cache<u64>, clock: &ManualClock, reader: &Cache<u64>, read: impl Fn()) {
    for key in 0..40 {
        other.put(format!("crowd {key}"), key, &on(&["a"]));
        read();
        clock.advance_ms(INTERVAL_MS);
        reader.sweep();
    }
}

#[test]
fn what_one_reads_survives_what_the_other_stores() {
    // Read from the near cache, through `lookup` and `is_servable`, and from below.
    for near_entries in [10, 1] {
        let Pair { one, two, clock, .. } = small(near_entries);
        for key in ["read", "held", "left"] {
            assert!(one.put(key, 1, &on(&["a"])));
        }
        let Lookup::Hit(held) = one.lookup(b"held") else { panic!("it was stored") };
        crowd(&two, &clock, &one, || {
            assert_eq!(one.get("read"), Some(1));
            if near_entries == 1 || !one.is_servable(&held) {
                assert_eq!(one.get("held"), Some(1));
            }
        });
        assert_eq!((two.get("read"), two.get("held"), two.get("left")), (Some(1), Some(1), None));
        assert_eq!(two.stats().entries, 10);
    }
}

#[test]
fn without_telling_the_oldest_goes() {
    let Pair { one, two, clock, .. } = small(10);
    one.put("read", 1, &on(&["a"]));
    crowd(&two, &clock, &two, || assert_eq!(one.get("read"), Some(1)));
    assert_eq!(two.get("read"), None);
}

#[test]
fn hits_write_nothing_and_telling_of_what_is_young_neither() {
    let Pair { one, two, clock, scratch } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    compute(&one, "idling", &idling(10), 1);
    assert_eq!(two.get("k"), Some(1));
    two.sweep();
    let before = latest_commit(scratch.path(), "entries");
    for _ in 0..1_000 {
        assert_eq!((one.get("k"), two.get("k"), one.get("idling")), (Some(1), Some(1), Some(1)));
    }
    assert_eq!(latest_commit(scratch.path(), "entries"), before);
    clock.advance_ms(1_000);
    assert_eq!(one.get("idling"), Some(1));
    one.sweep();
    let told = latest_commit(scratch.path(), "entries");
    assert!(told > before, "its life was extended");
    // Nothing is told before the interval is over, and nothing is written that would say nothing new.
    assert_eq!(one.get("idling"), Some(1));
    one.sweep();
    clock.advance_ms(INTERVAL_MS);
    one.sweep();
    assert_eq!(latest_commit(scratch.path(), "entries"), told);
}

#[test]
fn what_one_process_reads_idles_for_none_and_what_nobody_reads_for_all() {
    let Pair { one, two, clock, scratch } = pair();
    compute(&one, "k", &idling(100), 1);
    compute(&one, "unread", &idling(100), 1);
    assert_eq!(two.get("k"), Some(1));
    for _ in 0..10 {
        clock.advance_ms(40_000);
        assert_eq!(one.get("k"), Some(1));
        one.sweep();
    }
    assert_eq!((one.get("unread"), two.get("unread")), (None, None));
    assert_eq!(two.get("k"), Some(1), "its own copy looked expired");
    let three = builder(scratch.path(), &clock).build().expect("opens");
    clock.advance_ms(99_999);
    assert_eq!(three.get("k"), Some(1), "the other's use was told, or is a use now");
    clock.advance_ms(100_000);
    assert_eq!((one.get("k"), two.get("k"), three.get("k")), (None, None, None));
    clock.advance_ms(120_000);
    one.sweep();
    assert_eq!(one.stats().entries, 0, "their rows are freed, a while later");
}

#[test]
fn no_use_extends_a_life_beyond_what_it_was_computed_from() {
    let Pair { one, two, clock, .. } = pair();
    let inner = on(&["a"]).ttl(Duration::from_secs(150));
    let outer = one.get_or_compute("outer", &idling(100), |_| {
        one.get_or_compute("inner", &inner, |_| Ok::<_, zoocache::Error>(1))
    });
    assert_eq!(outer.expect("computes"), 1);
    for _ in 0..3 {
        clock.advance_ms(49_000);
        assert_eq!((one.get("outer"), two.get("outer")), (Some(1), Some(1)));
        one.sweep();
        two.sweep();
    }
    clock.advance_ms(3_000);
    assert_eq!((one.get("outer"), two.get("outer")), (None, None));
}

#[test]
fn who_computes_what_seems_idle_tells_those_who_use_it() {
    let Pair { one, two, clock, .. } = pair();
    compute(&one, "k", &idling(20), 1);
    one.sweep();
    clock.advance_ms(15_000);
    assert_eq!(one.get("k"), Some(1));
    clock.advance_ms(15_000);
    // Its use was not told yet.
    two.sweep();
    assert_eq!((one.get("k"), two.get("k")), (Some(1), None));
    assert_eq!(compute(&two, "k", &idling(20), 2), 2);
    assert_eq!((two.get("k"), one.get("k")), (Some(2), Some(2)), "never the older after the newer");
}

#[test]
fn a_clock_that_is_put_back_prolongs_no_life_without_end() {
    let Pair { one, two, clock, scratch } = pair();
    let day_us = 86_400_000_000;
    compute(&one, "k", &idling(100), 1);
    compute(&one, "bystander", &idling(100), 1);
    // For a moment it is tomorrow, and a use is told of.
    clock.set_wall_us(NOON_US + day_us);
    assert_eq!((one.get("k"), one.get("bystander")), (Some(1), Some(1)));
    one.sweep();
    clock.set_wall_us(NOON_US);
    clock.advance_ms(INTERVAL_MS);
    // The next use puts it right.
    assert_eq!(two.get("k"), Some(1));
    two.sweep();
    let open = || builder(scratch.path(), &clock).build().expect("opens");
    clock.advance_ms(99_999);
    assert_eq!(open().get("k"), Some(1));
    clock.advance_ms(100_000);
    assert_eq!((one.get("k"), two.get("k"), open().get("k")), (None, None, None));
    // What nobody used ends tomorrow at the latest.
    clock.set_wall_us(NOON_US + day_us + 100_000_000);
    assert_eq!(open().get("bystander"), None);
}
