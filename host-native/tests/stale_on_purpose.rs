//! Stale entries are served only to who asks for them, within what was agreed, and taint what uses them.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{NOON_US, builder, cache, on, tag_of, value};
use zoocache::{
    Cache, Count, Entry, EntryState, Error, Finish, Join, Landing, Leader, Lookup, Policy, Retention,
    Tolerance, Waited,
};

const FOR_EVER: Retention = Retention { grace_ms: u32::MAX, keep_invalidated: true };
const ANY: Tolerance = Tolerance { expired_ms: u64::MAX, invalidated_ms: u64::MAX };
const EXPIRED_ONLY: Tolerance = Tolerance { expired_ms: u64::MAX, invalidated_ms: 0 };
const INVALIDATED_ONLY: Tolerance = Tolerance { expired_ms: 0, invalidated_ms: u64::MAX };

fn kept(tags: &[&str]) -> Policy {
    on(tags).retention(FOR_EVER)
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn stands_in(cache: &Cache<u64>, tolerance: Tolerance) -> Option<(u64, EntryState, u64)> {
    let found = cache.stand_in(b"k", &tolerance)?;
    Some((*found.entry.value(), found.state, found.overdue_ms))
}

fn lead(cache: &Cache<u64>, key: &str) -> Leader<u64> {
    match cache.join(key.as_bytes(), None, false).unwrap() {
        Join::Lead(leader) => leader,
        other => panic!("not the leader: {other:?}"),
    }
}

fn stored(cache: &Cache<u64>, key: &str) -> Arc<Entry<u64>> {
    cache.stand_in(key.as_bytes(), &ANY).unwrap().entry
}

#[test]
fn an_expired_entry_stands_in_within_the_tolerance_and_within_its_grace() {
    let (cache, clock) = cache();
    let grace = |grace_ms| on(&[]).ttl(second()).retention(Retention { grace_ms, keep_invalidated: false });
    let tolerate = |expired_ms| Tolerance { expired_ms, invalidated_ms: 0 };
    cache.put("k", 1, &grace(500));
    clock.advance_ms(999);
    assert_eq!(stands_in(&cache, Tolerance::default()), Some((1, EntryState::Fresh, 0)));
    clock.advance_ms(1);
    assert_eq!(stands_in(&cache, Tolerance::default()), None);
    assert_eq!(stands_in(&cache, INVALIDATED_ONLY), None);
    assert_eq!(stands_in(&cache, tolerate(1)), Some((1, EntryState::Expired, 0)));
    clock.advance_ms(499);
    assert_eq!(stands_in(&cache, tolerate(499)), None);
    assert_eq!(stands_in(&cache, tolerate(500)), Some((1, EntryState::Expired, 499)));
    clock.advance_ms(1);
    assert_eq!(stands_in(&cache, ANY), None, "its grace is over");
    cache.put("k", 2, &grace(u32::MAX));
    clock.advance_ms(1 << 50);
    assert_eq!(stands_in(&cache, ANY), Some((2, EntryState::Expired, (1 << 50) - 1_000)));
    cache.put("k", 3, &on(&[]).ttl(second()));
    clock.advance_ms(1_000);
    assert_eq!(stands_in(&cache, ANY), None, "without retention nothing is kept");
}

#[test]
fn an_invalidated_entry_stands_in_only_where_that_was_agreed() {
    let (cache, clock) = cache();
    let tolerate = |invalidated_ms| Tolerance { expired_ms: 0, invalidated_ms };
    cache.put("k", 1, &on(&["a"]).retention(Retention { keep_invalidated: false, ..FOR_EVER }));
    cache.invalidate(&["a"]).unwrap();
    assert_eq!(stands_in(&cache, ANY), None, "kept for its expiry only");
    cache.put("k", 2, &on(&["a"]).retention(Retention { grace_ms: 500, keep_invalidated: true }));
    cache.invalidate(&["a"]).unwrap();
    assert_eq!(stands_in(&cache, EXPIRED_ONLY), None);
    assert_eq!(stands_in(&cache, tolerate(1)), Some((2, EntryState::Stale, 0)));
    clock.advance_ms(499);
    assert_eq!(stands_in(&cache, tolerate(499)), None);
    assert_eq!(stands_in(&cache, tolerate(500)), Some((2, EntryState::Stale, 499)));
    clock.advance_ms(1);
    assert_eq!(stands_in(&cache, ANY), None, "its grace is over");
}

#[test]
fn what_is_invalidated_and_expired_needs_both_tolerances() {
    let (cache, clock) = cache();
    cache.put("k", 1, &kept(&["a"]).ttl(second()));
    cache.invalidate(&["a"]).unwrap();
    clock.advance_ms(1_500);
    assert_eq!(stands_in(&cache, EXPIRED_ONLY), None);
    assert_eq!(stands_in(&cache, INVALIDATED_ONLY), None);
    let both = |expired_ms, invalidated_ms| stands_in(&cache, Tolerance { expired_ms, invalidated_ms });
    assert_eq!(both(500, u64::MAX), None);
    assert_eq!(both(u64::MAX, 1_500), None);
    assert_eq!(both(501, 1_501), Some((1, EntryState::Stale, 1_500)));
}

#[test]
fn what_is_being_changed_counts_as_invalidated() {
    let (cache, clock) = cache();
    cache.put("k", 1, &kept(&["a:b"]));
    let mark = cache.change(&[tag_of("a")], Duration::from_mins(1)).unwrap();
    assert_eq!(stands_in(&cache, EXPIRED_ONLY), None);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Changing, 0)));
    clock.advance_ms(700);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Changing, 700)));
    cache.settle(mark).unwrap();
    clock.advance_ms(1);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 701)), "it began with the change");
}

#[test]
fn the_age_of_an_invalidation_begins_with_the_first_and_ignores_the_wall_clock() {
    let (cache, clock) = cache();
    cache.put("k", 1, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    clock.advance_ms(300);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 300)));
    for wall_us in [NOON_US - 3_600_000_000, NOON_US + 3_600_000_000, 0] {
        cache.invalidate(&["a"]).unwrap();
        clock.set_wall_us(wall_us);
        assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 300)));
    }
    clock.advance_ms(200);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 500)));
    let ten = Tolerance { invalidated_ms: 500, ..ANY };
    assert_eq!(stands_in(&cache, ten), None, "however often it is invalidated, the window closes");
}

#[test]
fn an_entry_that_may_stand_in_is_never_a_hit() {
    let (cache, clock) = cache();
    let ways: [&dyn Fn(); 2] = [&|| _ = cache.invalidate(&["a"]).unwrap(), &|| clock.advance_ms(1_000)];
    for (number, lapse) in (1..).zip(ways) {
        cache.put("k", number, &kept(&["a"]).tti(second()));
        let held = stored(&cache, "k");
        lapse();
        for _ in 0..3 {
            assert!(stands_in(&cache, ANY).is_some());
            assert_eq!(cache.get("k"), None);
            assert!(matches!(cache.lookup(b"k"), Lookup::Miss(Count::Stale | Count::Expired)));
            assert!(!cache.is_servable(&held));
            drop(lead(&cache, "k"));
            cache.sweep();
        }
        assert_eq!(cache.get_or_compute("k", &kept(&["a"]), value(number + 10)).unwrap(), number + 10);
        assert_eq!(stands_in(&cache, ANY), Some((number + 10, EntryState::Fresh, 0)));
    }
}

#[test]
fn a_stand_in_counts_only_what_the_caller_counts() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    let before = cache.stats();
    assert!(stands_in(&cache, ANY).is_some());
    assert_eq!(cache.stats(), before);
    cache.count(Count::StaleServed);
    assert_eq!(cache.stats().stale_served, 1);
}

#[test]
fn what_was_deleted_replaced_or_cleared_does_not_stand_in() {
    let (cache, _) = cache();
    let ways: [&dyn Fn(); 4] = [
        &|| _ = cache.delete("k"),
        &|| _ = cache.put("k", 2, &kept(&["b"])),
        &|| _ = cache.clear().unwrap(),
        &|| _ = cache.get_or_compute("k", &kept(&["b"]), value(3)).unwrap(),
    ];
    for end in ways {
        cache.put("k", 1, &kept(&["a"]));
        cache.invalidate(&["a"]).unwrap();
        let held = stored(&cache, "k");
        assert!(cache.may_stand_in(&held, &ANY).is_some());
        end();
        assert_eq!(cache.may_stand_in(&held, &ANY), None);
        assert_ne!(stands_in(&cache, ANY).map(|(value, ..)| value), Some(1));
    }
}

/// Computes `outer` (on a tag of its own) from what may stand in under `k`.
fn over_a_stand_in(cache: &Cache<u64>, inner: &Cache<u64>, outer: &str) -> (Landing<u64>, bool) {
    let leader = lead(cache, outer);
    leader.declare(&on(&["outer"]));
    let found = inner.stand_in(b"k", &ANY).unwrap();
    inner.absorb_stand_in(Some(leader.fill()), &found.entry);
    leader.finish_with(found.entry.value() + 1, Finish { retention: FOR_EVER, ..Finish::default() })
}

#[test]
fn a_value_computed_from_an_invalidated_one_is_born_stale() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    // Unrelated, so that the outer computation begins at a later position than the inner one was lost at.
    cache.invalidate(&["unrelated"]).unwrap();
    let (landing, stored) = over_a_stand_in(&cache, &cache, "outer");
    assert!(matches!(landing, Landing::BornStale(..)) && !stored);
    assert_eq!(cache.get("outer"), None);
    let mark = cache.change(&[tag_of("b")], second()).unwrap();
    cache.put("k", 1, &kept(&["a"]));
    assert!(over_a_stand_in(&cache, &cache, "outer").1, "a fresh one is a hit like any other");
    assert_eq!(cache.get("outer"), Some(2));
    cache.settle(mark).unwrap();
    assert_eq!(cache.get("outer"), Some(2));
}

#[test]
fn a_value_computed_from_a_changing_one_is_not_fresh() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    let mark = cache.change(&[tag_of("a")], second()).unwrap();
    assert!(!over_a_stand_in(&cache, &cache, "outer").1);
    // Settled while the outer value is computed: it must not look as if it had been computed afterwards.
    let leader = lead(&cache, "outer");
    cache.absorb_stand_in(Some(leader.fill()), &stored(&cache, "k"));
    cache.settle(mark).unwrap();
    assert!(!leader.finish(2, None).1);
    assert_eq!(cache.get("outer"), None);
}

#[test]
fn a_value_computed_from_an_expired_one_has_expired_as_long_ago() {
    for idle in [false, true] {
        let (cache, clock) = cache();
        let policy = if idle { kept(&["a"]).tti(second()) } else { kept(&["a"]).ttl(second()) };
        cache.put("k", 1, &policy);
        clock.advance_ms(1_200);
        over_a_stand_in(&cache, &cache, "outer");
        assert_eq!(cache.get("outer"), None);
        clock.advance_ms(100);
        let outer = cache.stand_in(b"outer", &ANY).unwrap();
        assert_eq!((outer.state, outer.overdue_ms), (EntryState::Expired, 300));
    }
}

#[test]
fn staleness_passes_through_every_level_of_nesting() {
    for invalidated in [true, false] {
        let (cache, clock) = cache();
        cache.put("k", 1, &kept(&["a"]).ttl(second()));
        if invalidated {
            cache.invalidate(&["a"]).unwrap();
        } else {
            clock.advance_ms(1_000);
        }
        let forever = on(&["outer"]).retention(FOR_EVER);
        let nested = |_: &zoocache::Fill| {
            cache.get_or_compute("middle", &forever, |fill| {
                let found = cache.stand_in(b"k", &ANY).unwrap();
                fill.absorb_stale(cache.id(), &found.entry);
                Ok::<_, Error>(*found.entry.value())
            })
        };
        for _ in 0..3 {
            assert_eq!(cache.get_or_compute("outer", &forever, nested).unwrap(), 1);
            assert_eq!((cache.get("middle"), cache.get("outer")), (None, None));
        }
        // Whatever they are worth, none of them hides that it comes from something invalidated.
        for key in ["middle", "outer"] {
            assert_eq!(cache.stand_in(key.as_bytes(), &EXPIRED_ONLY).is_some(), !invalidated);
        }
    }
}

#[test]
fn staleness_passes_from_cache_to_cache() {
    for invalidated in [true, false] {
        let (builder, clock) = builder();
        let (cache, other) =
            (builder.build().unwrap(), Cache::builder().clock(clock.clone()).build().unwrap());
        other.put("k", 1, &kept(&["a"]).ttl(second()));
        if invalidated {
            other.invalidate(&["a"]).unwrap();
        } else {
            clock.advance_ms(1_000);
        }
        over_a_stand_in(&cache, &other, "outer");
        assert_eq!(cache.get("outer"), None);
        assert!(cache.stand_in(b"outer", &ANY).is_none(), "nobody can say how stale it is");
        let nested = |_: &zoocache::Fill| {
            other.get_or_compute("middle", &Policy::default(), |fill| {
                fill.absorb_stale(other.id(), &stored(&other, "k"));
                Ok::<_, Error>(1)
            })
        };
        cache.get_or_compute("nested", &kept(&[]), nested).unwrap();
        assert_eq!(cache.get("nested"), None);
        assert!(cache.stand_in(b"nested", &ANY).is_none());
    }
}

#[test]
fn a_value_that_expired_while_it_was_made_does_not_replace_a_fresh_one() {
    let (cache, clock) = cache();
    cache.put("k", 1, &kept(&[]).ttl(second()));
    clock.advance_ms(1_000);
    cache.put("outer", 7, &Policy::default());
    let leader = cache.lead_refresh(b"outer").unwrap();
    cache.absorb_stand_in(Some(leader.fill()), &stored(&cache, "k"));
    assert!(!leader.finish(2, None).1);
    assert_eq!(cache.get("outer"), Some(7));
}

#[test]
fn a_value_that_is_not_to_be_stored_goes_to_the_waiters_and_what_is_stored_stays() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    let leader = lead(&cache, "k");
    let Ok(Join::Wait(waiter)) = cache.join(b"k", None, false) else { panic!("nobody to wait for") };
    let (landing, stored) = leader.finish_with(2, Finish { store: false, ..Finish::default() });
    let Landing::Sealed(entry) = landing else { panic!("not sealed") };
    assert!(!stored && !cache.is_servable(&entry));
    assert!(matches!(waiter.try_take(), Some(Waited::Entry(taken)) if *taken.value() == 2));
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 0)));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.computations), (1, 2));
    drop(lead(&cache, "k"));
    // Not even when it is born stale and would have replaced what is stored in any case.
    let known = cache.lead_alone(b"k", None, true);
    known.declare(&on(&["b"]));
    cache.invalidate(&["b"]).unwrap();
    assert!(!known.finish_with(3, Finish { store: false, ..Finish::default() }).1);
    assert_eq!(stands_in(&cache, ANY), Some((1, EntryState::Stale, 0)));
}
