//! Refreshes: computed ahead of need, one at a time, never older or staler than what they replace.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::sync::{Arc, Barrier};
use std::thread::scope;
use std::time::Duration;

use common::{DEADLINE, cache, on, until, value};
use zoocache::{
    Cache, Count, Entry, EntryState, Failure, Fill, Join, Landing, Leader, Lifetime, Lookup, Policy,
    Retention, Tolerance, Waited, current_fill,
};

const ANY: Tolerance = Tolerance { expired_ms: u64::MAX, invalidated_ms: u64::MAX };

fn kept(tags: &[&str]) -> Policy {
    on(tags).retention(Retention { grace_ms: u32::MAX, keep_invalidated: true })
}

fn refresh(cache: &Cache<u64>) -> Leader<u64> {
    cache.lead_refresh(b"k").expect("nobody computes it")
}

fn found(cache: &Cache<u64>) -> Arc<Entry<u64>> {
    match cache.lookup(b"k") {
        Lookup::Hit(entry) => entry,
        Lookup::Miss(why) => panic!("not fresh: {why:?}"),
    }
}

#[test]
fn a_refresh_replaces_a_fresh_entry_which_is_served_meanwhile() {
    let (cache, _) = cache();
    cache.put("k", 1, &Policy::default());
    let leader = refresh(&cache);
    assert_eq!(leader.why(), Count::Refreshes);
    assert_eq!(cache.get("k"), Some(1));
    assert_eq!(cache.get_or_compute("k", &Policy::default(), value(9)).unwrap(), 1);
    assert!(leader.finish(2, None).1);
    assert_eq!(cache.get("k"), Some(2));
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.waits, stats.misses), (1, 0, 0));
}

#[test]
fn of_two_refreshes_at_once_one_computes() {
    let (cache, _) = cache();
    cache.put("k", 1, &Policy::default());
    let both = Barrier::new(2);
    let leaders = scope(|scope| {
        let ask = || {
            both.wait();
            cache.lead_refresh(b"k")
        };
        [scope.spawn(ask), scope.spawn(ask)].map(|thread| thread.join().unwrap())
    });
    assert_eq!(leaders.iter().flatten().count(), 1);
    assert_eq!(cache.stats().refreshes, 1);
    drop(leaders);
    drop(refresh(&cache));
    assert_eq!(cache.get("k"), Some(1), "a refresh without a result takes nothing away");
}

#[test]
fn nothing_is_refreshed_that_is_being_computed() {
    let (cache, _) = cache();
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    assert!(cache.lead_refresh(b"k").is_none());
    assert_eq!(cache.stats().refreshes, 0);
    leader.finish(1, None);
    drop(refresh(&cache));
}

#[test]
fn who_misses_meanwhile_waits_for_the_refresh() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    let leader = refresh(&cache);
    leader.declare(&on(&["a"]));
    scope(|scope| {
        let ask = || cache.get_or_compute("k", &Policy::default(), value(9)).unwrap();
        let threads = [scope.spawn(ask), scope.spawn(ask)];
        until("both wait", || cache.stats().waits == 2);
        let stand_in = cache.stand_in(b"k", &ANY).unwrap();
        assert_eq!((*stand_in.entry.value(), stand_in.state), (1, EntryState::Stale));
        assert!(leader.finish(2, None).1);
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [2, 2]);
    });
    assert_eq!(cache.get("k"), Some(2));
}

#[test]
fn a_refresh_that_is_given_up_hands_over_to_who_waits() {
    let (cache, _) = cache();
    let leader = refresh(&cache);
    scope(|scope| {
        let thread = scope.spawn(|| cache.get_or_compute("k", &Policy::default(), value(9)).unwrap());
        until("somebody waits", || cache.stats().waits == 1);
        drop(leader);
        assert_eq!(thread.join().unwrap(), 9);
    });
}

#[test]
fn a_refresh_is_part_of_no_other_computation() {
    let (cache, _) = cache();
    let outer = |fill: &Fill| {
        assert!(current_fill().is_some());
        let leader = refresh(&cache);
        leader.declare(&on(&["inner"]));
        leader.finish(1, None);
        fill.depend_on_text("outer")?;
        Ok::<_, zoocache::Error>(2)
    };
    cache.get_or_compute("outer", &Policy::default(), outer).unwrap();
    cache.invalidate(&["inner"]).unwrap();
    assert_eq!((cache.get("k"), cache.get("outer")), (None, Some(2)));
}

#[test]
fn who_began_the_refresh_may_wait_for_it_after_all() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    // Waits until the soft timeout has passed, sees to it that the refresh ends, and waits again.
    let outcome = |end: &dyn Fn(Leader<u64>)| {
        let leader = refresh(&cache);
        let waiter = leader.waiter(None).unwrap();
        assert!(waiter.wait(Duration::from_millis(1)).is_none());
        end(leader);
        waiter.wait(DEADLINE).unwrap()
    };
    let outdate = |leader: &Leader<u64>| {
        leader.declare(&on(&["a"]));
        cache.invalidate(&["a"]).unwrap();
    };
    let ended = outcome(&|leader| _ = leader.finish(2, None));
    assert!(matches!(ended, Waited::Entry(entry) if *entry.value() == 2));
    let ended = outcome(&|leader| {
        outdate(&leader);
        assert!(matches!(leader.finish(3, None), (Landing::BornStale(..), false)));
    });
    assert!(matches!(ended, Waited::Value(value) if *value == 3), "it began after the caller asked");
    let ended = outcome(&|leader| {
        outdate(&leader);
        leader.fail(Failure::from(Box::<dyn std::error::Error + Send + Sync>::from("no")));
    });
    assert!(matches!(ended, Waited::Failed(failure) if failure.to_string() == "no"));
    assert!(matches!(outcome(&drop), Waited::Again));
}

#[test]
fn what_a_refresh_used_becomes_part_of_the_computation_that_waits_for_it() {
    let (cache, _) = cache();
    let Ok(Join::Lead(outer)) = cache.join(b"outer", None, false) else { panic!("not the leader") };
    let leader = refresh(&cache);
    leader.declare(&on(&["a"]));
    let waiter = leader.waiter(Some(outer.fill())).unwrap();
    leader.finish(1, None);
    assert!(matches!(waiter.try_take(), Some(Waited::Entry(_))));
    outer.finish(2, None);
    assert_eq!(cache.get("outer"), Some(2));
    cache.invalidate(&["a"]).unwrap();
    assert_eq!(cache.get("outer"), None);
}

#[test]
fn nobody_waits_for_a_refresh_that_waits_for_him() {
    let (cache, _) = cache();
    let Ok(Join::Lead(outer)) = cache.join(b"outer", None, false) else { panic!("not the leader") };
    let leader = refresh(&cache);
    // The refresh asks for what `outer` computes, so it waits for it.
    let Ok(Join::Wait(waits)) = cache.join(b"outer", Some(leader.fill()), false) else { panic!("no wait") };
    assert!(leader.waiter(Some(outer.fill())).is_none());
    assert!(leader.waiter(None).is_some());
    drop(waits);
    assert!(leader.waiter(Some(outer.fill())).is_some());
    assert!(cache.lead_alone(b"k", None, false).waiter(None).is_none(), "nobody waits for one beside");
}

#[test]
fn an_invalidation_during_a_refresh_is_not_lost() {
    for early in [true, false] {
        let (cache, _) = cache();
        cache.put("k", 1, &kept(&["a"]));
        let leader = refresh(&cache);
        if early {
            leader.declare(&on(&["a"]));
        }
        cache.invalidate(&["a"]).unwrap();
        // Dependencies that are found last count as if they had been known first.
        leader.declare(&on(&["a"]));
        let (landing, stored) = leader.finish(2, None);
        assert!(matches!(landing, Landing::BornStale(..)) && !stored);
        for _ in 0..3 {
            assert_eq!(cache.get("k"), None);
            cache.sweep();
        }
        assert_eq!(*cache.stand_in(b"k", &ANY).unwrap().entry.value(), 1, "the stored one, not the other");
        assert_eq!(cache.get_or_compute("k", &on(&["a"]), value(3)).unwrap(), 3);
    }
}

#[test]
fn a_delete_during_a_refresh_wins() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&[]));
    let leader = refresh(&cache);
    assert!(cache.delete("k"));
    let newer = refresh(&cache);
    assert!(!leader.finish(2, None).1);
    assert_eq!(cache.get("k"), None);
    assert!(cache.stand_in(b"k", &ANY).is_none());
    assert!(newer.finish(3, None).1, "it began after the delete");
    assert_eq!(cache.get("k"), Some(3));
}

#[test]
fn a_put_during_a_refresh_wins_while_it_is_fresh() {
    let (cache, _) = cache();
    cache.put("k", 1, &kept(&["a"]));
    let leader = refresh(&cache);
    cache.put("k", 2, &kept(&["a"]));
    assert!(cache.lead_refresh(b"k").is_some(), "the running one is older than what is stored");
    assert!(!leader.finish(3, None).1);
    assert_eq!(cache.get("k"), Some(2));
    let leader = refresh(&cache);
    cache.put("k", 4, &kept(&["a"]));
    cache.invalidate(&["a"]).unwrap();
    assert!(leader.finish(5, None).1, "what went stale wins nothing");
    assert_eq!(cache.get("k"), Some(5));
}

#[test]
fn an_entry_knows_how_long_its_computation_took() {
    let (cache, clock) = cache();
    let leader = refresh(&cache);
    clock.advance_ms(250);
    leader.finish(1, None);
    assert_eq!(found(&cache).computed_ms(), 250);
    let leader = refresh(&cache);
    clock.advance_ms(u64::from(u32::MAX) + 1);
    leader.finish(1, None);
    assert_eq!(found(&cache).computed_ms(), u32::MAX);
}

/// An entry whose computation took 100 ms, and which expires in `remaining` ms.
fn entry(remaining: u64) -> (Cache<u64>, Arc<Entry<u64>>, u64) {
    let (cache, clock) = cache();
    let leader = refresh(&cache);
    clock.advance_ms(100);
    leader.finish(1, Some(Lifetime { ttl_ms: Some(10_000), extend_on_hit: false }));
    let entry = found(&cache);
    clock.advance_ms(10_000 - remaining);
    let now_ms = entry.expires_ms().unwrap() - remaining;
    (cache, entry, now_ms)
}

#[test]
fn the_nearer_the_expiry_the_likelier_a_refresh() {
    const DRAWS: u32 = 10_000;
    for (remaining, beta) in [(10, 1.0), (100, 1.0), (100, 2.0), (300, 1.0), (300, 0.5), (1_000, 1.0)] {
        let (_cache, entry, now_ms) = entry(remaining);
        let even = (0..DRAWS).map(|draw| (f64::from(draw) + 0.5) / f64::from(DRAWS));
        let wants = even.filter(|random| entry.wants_refresh(now_ms, beta, *random)).count();
        // -ln(random) is distributed exponentially: P(100 ms * beta * -ln(random) >= remaining).
        let expected = (-f64::from(u32::try_from(remaining).unwrap()) / (100.0 * beta)).exp();
        let share = f64::from(u32::try_from(wants).unwrap()) / f64::from(DRAWS);
        assert!((share - expected).abs() <= 1.0 / f64::from(DRAWS), "{remaining} {beta}: {share} {expected}");
    }
}

#[test]
fn fixed_random_values_decide_at_a_fixed_moment() {
    let (_cache, entry, now_ms) = entry(100);
    let e = std::f64::consts::E;
    assert!(entry.wants_refresh(now_ms, 1.0, 1.0 / e - 1e-9));
    assert!(!entry.wants_refresh(now_ms, 1.0, 1.0 / e + 1e-9));
    assert!(entry.wants_refresh(now_ms, 1.0, 0.0));
    assert!(!entry.wants_refresh(now_ms, 1.0, 1.0));
    assert!(!entry.wants_refresh(now_ms, 0.0, 0.0), "beta 0 is never early");
    assert!(!entry.wants_refresh(now_ms, -1.0, 0.0));
    assert!(!entry.wants_refresh(now_ms, f64::NAN, 0.5));
    for random in [0.0, 0.5, 1.0, f64::NAN] {
        assert!(entry.wants_refresh(now_ms + 100, 1.0, random), "expired");
        assert!(entry.wants_refresh(now_ms + 100, 0.0, random), "expired");
    }
}

#[test]
fn readers_draw_for_themselves() {
    let (cache, entry, _) = entry(100);
    let wants = (0..10_000).filter(|_| cache.wants_refresh(&entry, 1.0)).count();
    // e^-1 of them, with a standard deviation of 48.
    assert!((3_679 - 500..3_679 + 500).contains(&wants), "{wants}");
}

#[test]
fn what_cannot_expire_or_was_there_at_once_is_not_refreshed_early() {
    let (cache, clock) = cache();
    let leader = refresh(&cache);
    clock.advance_ms(1_000_000);
    leader.finish(1, None);
    assert!((0..100).all(|_| !cache.wants_refresh(&found(&cache), 1e9)));
    cache.put("k", 1, &Policy::default().ttl(Duration::from_millis(1)));
    assert!((0..100).all(|_| !cache.wants_refresh(&found(&cache), 1e9)));
}

#[test]
fn jitter_only_shortens_and_leaves_a_millisecond() {
    let ttl = |ms| Lifetime { ttl_ms: Some(ms), extend_on_hit: true };
    for (whole, fraction, random, expected) in [
        (1_000, 0.1, 0.0, 1_000),
        (1_000, 0.1, 0.5, 950),
        (1_000, 0.1, 1.0, 900),
        (1_000, 1.0, 1.0, 1),
        (1_000, 7.0, 9.0, 1),
        (1_000, -1.0, 0.5, 1_000),
        (1_000, f64::NAN, 0.5, 1_000),
        (1_000, 0.5, f64::NAN, 1_000),
        (1, 0.9, 1.0, 1),
        (0, 0.9, 1.0, 0),
        (u64::MAX, 1.0, 1.0, 1),
    ] {
        assert_eq!(ttl(whole).jittered(fraction, random), ttl(expected), "{whole} {fraction} {random}");
    }
    assert_eq!(Lifetime::FOREVER.jittered(1.0, 1.0), Lifetime::FOREVER);
}

#[test]
fn a_cache_has_reached_the_positions_of_its_own_invalidations() {
    let (cache, clock) = cache();
    assert!(cache.has_reached(zoocache::Timestamp::ZERO));
    let first = cache.invalidate(&["a"]).unwrap();
    assert_eq!(cache.position(), first);
    clock.advance_ms(1_000);
    let last = cache.invalidate(&["b"]).unwrap();
    assert_eq!(cache.position(), last);
    assert!(cache.has_reached(first) && cache.has_reached(last));
    assert!(!cache.has_reached(zoocache::Timestamp::from_micros(last.as_micros() + 1)));
}
