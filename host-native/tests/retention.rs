//! What is kept for standing in survives sweeps for as long as was said, and nothing else does.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::time::Duration;

use common::{builder, cache, on, tag_of, until};
use zoocache::{Policy, Retention, Tolerance};

const ANY: Tolerance = Tolerance { expired_ms: u64::MAX, invalidated_ms: u64::MAX };

fn retention(grace_ms: u32, keep_invalidated: bool) -> Retention {
    Retention { grace_ms, keep_invalidated }
}

fn policy(grace_ms: u32, keep_invalidated: bool) -> Policy {
    on(&["a"]).ttl(Duration::from_secs(1)).retention(retention(grace_ms, keep_invalidated))
}

#[test]
fn an_expired_entry_is_freed_when_its_grace_is_over() {
    let (cache, clock) = cache();
    cache.put("none", 1, &policy(0, false));
    cache.put("short", 1, &policy(500, false));
    cache.put("long", 1, &policy(5_000, true));
    cache.put("ever", 1, &policy(u32::MAX, false));
    assert_eq!(cache.sweep(), 0);
    clock.advance_ms(1_000);
    assert_eq!((cache.sweep(), cache.stats().entries), (1, 3));
    clock.advance_ms(499);
    assert_eq!(cache.sweep(), 0);
    clock.advance_ms(1);
    assert_eq!((cache.sweep(), cache.stats().entries), (1, 2));
    clock.advance_ms(4_500);
    assert_eq!((cache.sweep(), cache.stats().entries), (1, 1));
    clock.advance_ms(1 << 50);
    assert_eq!(cache.sweep(), 0);
    assert!(cache.stand_in(b"ever", &ANY).is_some());
}

#[test]
fn an_invalidated_entry_is_freed_unless_it_is_kept_for_that() {
    let (cache, clock) = cache();
    cache.put("not", 1, &policy(u32::MAX, false).ttl(Duration::MAX));
    cache.put("short", 1, &policy(500, true));
    cache.put("ever", 1, &policy(u32::MAX, true).ttl(Duration::MAX));
    cache.invalidate(&["a"]).unwrap();
    assert_eq!((cache.sweep(), cache.stats().entries), (1, 2));
    clock.advance_ms(499);
    // Invalidated once more: the grace began with the first time.
    cache.invalidate(&["a"]).unwrap();
    assert_eq!(cache.sweep(), 0);
    clock.advance_ms(1);
    assert_eq!((cache.sweep(), cache.stats().entries), (1, 1));
    clock.advance_ms(1 << 50);
    assert_eq!((cache.sweep(), cache.get("ever")), (0, None));
}

#[test]
fn both_graces_must_hold_for_what_is_expired_and_invalidated() {
    let (cache, clock) = cache();
    cache.put("k", 1, &policy(1_500, true));
    cache.invalidate(&["a"]).unwrap();
    clock.advance_ms(1_499);
    assert_eq!(cache.sweep(), 0);
    clock.advance_ms(1);
    assert_eq!(cache.sweep(), 1, "expired for half a second, but invalidated for too long");
}

#[test]
fn what_is_being_changed_is_not_freed_for_that() {
    let (cache, _) = cache();
    cache.put("k", 1, &on(&["a"]));
    let mark = cache.change(&[tag_of("a")], Duration::from_secs(1)).unwrap();
    assert_eq!(cache.sweep(), 0);
    cache.settle(mark).unwrap();
    assert_eq!(cache.sweep(), 1);
}

#[test]
fn clear_frees_what_was_kept_too() {
    let (cache, clock) = cache();
    cache.put("expired", 1, &policy(u32::MAX, true));
    cache.put("stale", 1, &policy(u32::MAX, true).ttl(Duration::MAX));
    cache.put("fresh", 1, &policy(u32::MAX, true).ttl(Duration::MAX).with_tags([tag_of("b")]));
    cache.invalidate(&["a"]).unwrap();
    clock.advance_ms(1_000);
    cache.clear().unwrap();
    assert_eq!(cache.stats().entries, 0);
    assert_eq!(cache.stats().tags, 0, "nothing holds on to a tag either");
}

#[test]
fn a_full_cache_evicts_what_is_kept() {
    let cache = builder().0.max_entries(10).build().unwrap();
    for key in 0..100_u64 {
        cache.put(key.to_le_bytes(), key, &policy(u32::MAX, true));
        cache.invalidate(&["a"]).unwrap();
        assert!(cache.stats().entries <= 10);
    }
}

#[test]
fn the_background_thread_respects_retention() {
    let cache = builder().0.sweep_interval(Duration::from_millis(1)).build().unwrap();
    cache.put("kept", 1, &policy(u32::MAX, true));
    cache.put("not", 1, &policy(0, false));
    cache.invalidate(&["a"]).unwrap();
    until("one is freed", || cache.stats().entries == 1);
    assert!(cache.stand_in(b"kept", &ANY).is_some());
}
