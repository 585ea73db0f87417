//! P1 and P4: what was invalidated is not served, whenever the invalidation came; P8: what was not, is.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::{NOON_US, cache, on, tag_of, value};
use futures::executor::block_on;
use zoocache::{Error, Join, ManualClock, Policy, Waited};

#[test]
fn an_invalidation_during_the_computation_is_not_lost() {
    for covering in ["org", "org:1", "org:1:store:2"] {
        let (cache, _) = cache();
        let computed = cache.get_or_compute("k", &on(&["org:1:store:2"]), |_| {
            cache.invalidate(&[covering])?;
            Ok::<_, Error>(1)
        });
        assert_eq!(computed.unwrap(), 1);
        assert_eq!(cache.get("k"), None, "{covering}");
        assert_eq!(cache.stats().born_stale, 1);
        assert_eq!(cache.get_or_compute("k", &on(&["org:1:store:2"]), value(2)).unwrap(), 2);
        assert_eq!(cache.get("k"), Some(2));
    }
}

#[test]
fn a_dependency_declared_after_its_invalidation_counts() {
    let (cache, _) = cache();
    let late = cache.get_or_compute("k", &Policy::default(), |fill| {
        cache.invalidate(&["late"])?;
        fill.depend_on_text("late:1")?;
        Ok::<_, Error>(1)
    });
    assert_eq!(late.unwrap(), 1);
    assert_eq!(cache.get("k"), None);
    let unrelated = cache.get_or_compute("other", &on(&["a"]), |_| {
        cache.invalidate(&["b"])?;
        Ok::<_, Error>(1)
    });
    assert_eq!(unrelated.unwrap(), 1);
    assert_eq!(cache.get("other"), Some(1));
}

#[test]
fn a_subtree_dependency_covers_what_lies_below_and_above() {
    for covering in ["a", "a:b", "a:b:c", "a:b:c:d", "a:b:*"] {
        let (cache, _) = cache();
        let load = |_: &zoocache::Fill| {
            cache.invalidate(&[covering])?;
            Ok::<_, Error>(1)
        };
        cache.get_or_compute("during", &on(&["a:b:*"]), load).unwrap();
        assert_eq!(cache.get("during"), None, "{covering}");
        cache.get_or_compute("before", &on(&["a:b:*"]), value(1)).unwrap();
        cache.get_or_compute("exact", &on(&["a:b"]), value(1)).unwrap();
        cache.invalidate(&[covering]).unwrap();
        assert_eq!(cache.get("before"), None, "{covering}");
        assert_eq!(cache.get("exact").is_some(), covering.starts_with("a:b:c"), "{covering}");
    }
    let (cache, _) = cache();
    cache.get_or_compute("k", &on(&["a:b:*"]), value(1)).unwrap();
    cache.invalidate(&["a:x", "ab", "a:bc"]).unwrap();
    assert_eq!(cache.get("k"), Some(1));
}

#[test]
fn a_clear_during_the_computation_counts() {
    let (cache, _) = cache();
    let load = |_: &zoocache::Fill| {
        cache.clear()?;
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("without tags", &Policy::default(), load).unwrap();
    assert_eq!(cache.get("without tags"), None);
}

#[test]
fn an_async_computation_is_held_to_the_same() {
    let (cache, _) = cache();
    let (go, gate) = futures::channel::oneshot::channel::<()>();
    let policy = on(&["a:b"]);
    let load = cache.get_or_compute_async("k", &policy, async |fill| {
        gate.await.unwrap();
        fill.depend_on_text("c")?;
        Ok::<_, Error>(1)
    });
    let other = async {
        cache.invalidate(&["a"]).unwrap();
        go.send(()).unwrap();
    };
    let (computed, ()) = block_on(async { futures::future::join(load, other).await });
    assert_eq!(computed.unwrap(), 1);
    assert_eq!(cache.get("k"), None);
}

#[test]
fn an_invalidation_by_another_thread_counts() {
    let (cache, _) = cache();
    let (began, started) = channel();
    let (go, gate) = channel();
    let policy = on(&["a:b"]);
    std::thread::scope(|scope| {
        let computing = scope.spawn(|| {
            cache.get_or_compute("k", &policy, move |_| {
                began.send(()).unwrap();
                gate.recv().unwrap();
                Ok::<_, Error>(1)
            })
        });
        started.recv().unwrap();
        cache.invalidate(&["a:b"]).unwrap();
        go.send(()).unwrap();
        assert_eq!(computing.join().unwrap().unwrap(), 1);
    });
    assert_eq!(cache.get("k"), None);
}

#[test]
fn what_a_nested_call_depends_on_its_caller_depends_on() {
    let (cache, _) = cache();
    let inner = || cache.get_or_compute("inner", &on(&["inner"]), value(1));
    let outer = |key: &str| cache.get_or_compute(key, &on(&["outer"]), |_| inner());
    outer("on a miss").unwrap();
    outer("on a hit").unwrap();
    let by_get =
        || cache.get_or_compute("by get", &on(&["outer"]), |_| Ok::<_, Error>(cache.get("inner").unwrap()));
    by_get().unwrap();
    cache.invalidate(&["inner"]).unwrap();
    for key in ["on a miss", "on a hit", "by get", "inner"] {
        assert_eq!(cache.get(key), None, "{key}");
    }
    let born_stale = cache.get_or_compute("outer", &on(&["outer"]), |_| {
        cache.get_or_compute("inner", &on(&["inner"]), |_| {
            cache.invalidate(&["inner"])?;
            Ok::<_, Error>(3)
        })
    });
    assert_eq!(born_stale.unwrap(), 3);
    assert_eq!((cache.get("inner"), cache.get("outer")), (None, None));
}

#[test]
fn a_nested_async_call_passes_on_its_dependencies() {
    let (cache, _) = cache();
    let (tags, none) = (on(&["inner"]), Policy::default());
    let load = async |_| {
        let one = cache.get_or_compute_async("one", &tags, async |_| Ok::<_, Error>(1));
        let two = cache.get_or_compute_async("two", &none, async |_| {
            zoocache::depend_on("two")?;
            Ok::<_, Error>(2)
        });
        let (one, two) = futures::future::join(one, two).await;
        Ok::<_, Error>(one? + two?)
    };
    for tag in ["inner", "two"] {
        assert_eq!(block_on(cache.get_or_compute_async("outer", &none, load)).unwrap(), 3);
        assert_eq!(cache.get("outer"), Some(3));
        cache.invalidate(&[tag]).unwrap();
        assert_eq!(cache.get("outer"), None, "{tag}");
    }
}

#[test]
fn what_outlives_the_computation_that_began_it_concerns_the_one_around() {
    let (cache, _) = cache();
    let lead = |key: &[u8], parent| match cache.join(key, parent, false).unwrap() {
        Join::Lead(leader) => leader,
        join => panic!("{join:?}"),
    };
    let outer = lead(b"outer", None);
    let middle = lead(b"middle", Some(outer.fill()));
    let inner = lead(b"inner", Some(middle.fill()));
    inner.declare(&on(&["inner"]));
    middle.finish(2, None);
    inner.finish(1, None);
    outer.finish(3, None);
    cache.invalidate(&["inner"]).unwrap();
    assert_eq!((cache.get("inner"), cache.get("middle"), cache.get("outer")), (None, Some(2), None));
}

#[test]
fn a_caught_failure_is_depended_on() {
    let (cache, _) = cache();
    let outer = cache.get_or_compute("outer", &Policy::default(), |_| {
        let inner = cache.get_or_compute("inner", &on(&["inner"]), |_| Err::<u64, _>("no such product"));
        Ok::<_, Error>(inner.unwrap_or(0))
    });
    assert_eq!((outer.unwrap(), cache.get("outer")), (0, Some(0)));
    cache.invalidate(&["inner"]).unwrap();
    assert_eq!(cache.get("outer"), None);
}

#[test]
fn another_caches_tags_are_depended_on() {
    let ((inner, _), (outer, _)) = (cache(), cache());
    outer
        .get_or_compute("outer", &Policy::default(), |_| {
            inner.get_or_compute("inner", &on(&["a:b"]), value(1))
        })
        .unwrap();
    outer.invalidate(&["a"]).unwrap();
    assert_eq!((inner.get("inner"), outer.get("outer")), (Some(1), None));
}

#[test]
fn a_hard_expiry_bounds_what_was_computed_from_it() {
    let (cache, clock) = cache();
    let short = Policy::default().ttl(Duration::from_secs(1));
    let inner = || cache.get_or_compute("inner", &short, value(1));
    inner().unwrap();
    clock.advance_ms(400);
    for (key, policy) in [
        ("forever", Policy::default()),
        ("long", Policy::default().ttl(Duration::from_secs(9))),
        ("idle", Policy::default().tti(Duration::from_millis(500))),
    ] {
        cache.get_or_compute(key, &policy, |_| inner()).unwrap();
    }
    clock.advance_ms(400);
    for key in ["forever", "long", "idle"] {
        assert_eq!(cache.get(key), Some(1), "{key}");
    }
    clock.advance_ms(199);
    assert_eq!(cache.get("idle"), Some(1), "hits extend the time to idle up to the bound");
    clock.advance_ms(1);
    for key in ["inner", "forever", "long", "idle"] {
        assert_eq!(cache.get(key), None, "{key}");
    }
}

#[test]
fn a_time_to_idle_bounds_nobody_else() {
    let (cache, clock) = cache();
    let idle = Policy::default().tti(Duration::from_secs(1));
    cache.get_or_compute("o", &Policy::default(), |_| cache.get_or_compute("i", &idle, value(1))).unwrap();
    clock.advance_ms(5_000);
    assert_eq!((cache.get("i"), cache.get("o")), (None, Some(1)));
}

#[test]
fn while_a_change_is_announced_nothing_is_served_or_stored() {
    let (cache, _) = cache();
    let policy = on(&["product:42:price"]);
    cache.get_or_compute("k", &policy, value(1)).unwrap();
    cache.get_or_compute("other", &on(&["product:43"]), value(1)).unwrap();
    let mark = cache.change(&[tag_of("product:42")], Duration::from_secs(30)).unwrap();
    assert_eq!((cache.get("k"), cache.get("other")), (None, Some(1)));
    assert_eq!(cache.get_or_compute("k", &policy, value(2)).unwrap(), 2);
    assert_eq!(cache.get("k"), None);
    assert!(!cache.put("k", 3, &policy));
    let at = cache.settle(mark).unwrap();
    assert_eq!(cache.latest(&tag_of("product:42:price")), at);
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.get_or_compute("k", &policy, value(4)).unwrap(), 4);
    assert_eq!(cache.get("k"), Some(4));
    assert!(cache.settle(mark).is_err());
}

#[test]
fn a_change_that_is_never_settled_counts_at_its_deadline() {
    let (cache, clock) = cache();
    let policy = on(&["a"]);
    cache.get_or_compute("k", &policy, value(1)).unwrap();
    let _mark = cache.change(&[tag_of("a")], Duration::from_secs(1)).unwrap();
    clock.advance_ms(1_001);
    assert_eq!(cache.get("k"), None);
    assert_eq!(cache.get_or_compute("k", &policy, value(2)).unwrap(), 2);
    assert_eq!(cache.get("k"), Some(2), "the mark is gone");
}

#[test]
fn a_change_that_begins_or_ends_during_the_computation_counts() {
    let (cache, _) = cache();
    cache
        .get_or_compute("k", &on(&["a:b"]), |_| {
            let mark = cache.change(&[tag_of("a")], Duration::from_secs(30))?;
            cache.settle(mark)?;
            Ok::<_, Error>(1)
        })
        .unwrap();
    assert_eq!(cache.get("k"), None);
    let mark = cache.change(&[tag_of("a")], Duration::from_secs(30)).unwrap();
    cache
        .get_or_compute("k", &on(&["a:b"]), |_| {
            cache.settle(mark)?;
            Ok::<_, Error>(1)
        })
        .unwrap();
    assert_eq!(cache.get("k"), None);
}

#[test]
fn nothing_brings_an_invalidated_entry_back() {
    let (cache, clock) = cache();
    cache.get_or_compute("k", &on(&["a:b:c"]), value(1)).unwrap();
    cache.get_or_compute("kept", &on(&["z"]), value(1)).unwrap();
    cache.invalidate(&["a:b"]).unwrap();
    let stale = || assert_eq!((cache.get("k"), cache.get("kept")), (None, Some(1)));
    stale();
    clock.advance_ms(100_000_000);
    cache.prune(Duration::ZERO);
    stale();
    cache.sweep();
    stale();
    cache.clear().unwrap();
    cache.prune(Duration::ZERO);
    assert_eq!((cache.get("k"), cache.get("kept")), (None, None));
}

#[test]
fn pruning_during_a_computation_forgets_nothing_it_needs() {
    let (cache, _) = cache();
    let load = |fill: &zoocache::Fill| {
        cache.invalidate(&["a:b"])?;
        cache.prune(Duration::ZERO);
        cache.sweep();
        fill.depend_on_text("a:b:c")?;
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("k", &Policy::default(), load).unwrap();
    assert_eq!(cache.get("k"), None);
}

fn second_read_is_a_hit(cache: &zoocache::Cache<u64>, round: u64) {
    assert_eq!(cache.get("old"), None, "{round}");
    cache.get_or_compute("new", &on(&["a:b"]), value(round)).unwrap();
    assert_eq!(cache.get_or_compute("new", &on(&["a:b"]), value(99)).unwrap(), round);
    cache.invalidate(&["a:b"]).unwrap();
    assert_eq!(cache.get("new"), None, "{round}");
}

#[test]
fn a_wall_clock_that_jumps_neither_resurrects_nor_kills() {
    let (cache, clock): (_, std::sync::Arc<ManualClock>) = cache();
    cache.get_or_compute("old", &on(&["a:b"]), value(1)).unwrap();
    cache.invalidate(&["a:b"]).unwrap();
    let hour = 3_600_000_000;
    let jumps =
        [NOON_US - hour, NOON_US + hour, 0, NOON_US, 1, (1 << 53) - 2_000, NOON_US, u64::MAX, NOON_US];
    for (round, wall_us) in jumps.into_iter().enumerate() {
        clock.set_wall_us(wall_us);
        second_read_is_a_hit(&cache, round as u64);
    }
}

/// An error tells how things were when its computation began, as a value does: who asked after an
/// invalidation does not get it, and so cannot build a fresh entry on it.
#[test]
fn an_error_from_before_an_invalidation_is_not_taken() {
    let (cache, _) = cache();
    let Join::Lead(leader) = cache.join(b"row", None, false).unwrap() else { panic!("nobody leads yet") };
    leader.declare(&on(&["row:1"]));
    cache.invalidate(&["row:1"]).unwrap();
    let Join::Wait(late) = cache.join(b"row", None, false).unwrap() else { panic!("somebody leads") };
    leader.fail(Arc::new(std::io::Error::other("no such row")));
    assert!(matches!(late.try_take(), Some(Waited::Again)));

    // What nothing has invalidated is everybody's.
    let Join::Lead(leader) = cache.join(b"row", None, true).unwrap() else { panic!("the flight has ended") };
    leader.declare(&on(&["row:1"]));
    let Join::Wait(other) = cache.join(b"row", None, false).unwrap() else { panic!("somebody leads") };
    leader.fail(Arc::new(std::io::Error::other("no such row")));
    assert!(matches!(other.try_take(), Some(Waited::Failed(_))));
}

#[test]
fn what_a_computation_without_a_result_used_concerns_the_one_around_it() {
    let (cache, _) = cache();
    let computed = cache.get_or_compute("k", &on(&["outer"]), |fill| {
        let tracking = cache.lead_alone(b"", zoocache::current_fill().as_ref(), false);
        tracking.fill().depend_on_text("inner:1")?;
        assert_eq!(tracking.fill().tags(), [tag_of("inner:1")]);
        assert_eq!(fill.tags(), [tag_of("outer")]);
        tracking.fill().pass_on();
        tracking.fill().pass_on();
        assert_eq!(tracking.fill().tags(), []);
        assert_eq!(fill.tags().len(), 2);
        Ok::<_, Error>(1)
    });
    assert_eq!(computed.unwrap(), 1);
    assert_eq!(cache.get("k"), Some(1));
    cache.invalidate(&["inner"]).unwrap();
    assert_eq!(cache.get("k"), None);
}
