//! Nodes that share one Redis server, each a cache of its own in this process.

mod common;

use common::redis::Server;
use common::{on, until, value};
use zoocache::{Cache, Error, Policy, ServerError};

fn compute(cache: &Cache<u64>, key: &str, policy: &Policy, result: u64) -> u64 {
    cache.get_or_compute(key, policy, value(result)).expect("computes")
}

#[test]
fn what_one_node_computes_another_serves() {
    let server = Server::start();
    for (one, two) in [(server.bounded(), server.bounded()), (server.strong(), server.strong())] {
        one.clear().expect("can be told");
        assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
        assert_eq!(compute(&two, "a", &on(&["t:1"]), 2), 1);
        assert_eq!(two.stats().shared_hits, 1);
        assert_eq!(compute(&one, "a", &on(&["t:1"]), 3), 1);
    }
}

#[test]
fn an_invalidation_reaches_every_node_and_the_next_value_is_kept() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    for round in 0..50 {
        assert_eq!(compute(&one, "a", &on(&["t:1"]), round), round);
        assert_eq!(compute(&one, "a", &on(&["t:1"]), 1_000), round, "kept");
        assert_eq!(compute(&two, "a", &on(&["t:1"]), 1_000), round);
        one.invalidate(&["t"]).expect("can be told");
        assert_eq!(two.get("a"), None);
        assert_eq!(one.get("a"), None);
    }
}

#[test]
fn a_near_cache_hears_of_invalidations() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.bounded());
    for round in 0..20 {
        assert_eq!(compute(&one, "a", &on(&["t:1"]), round), round);
        assert_eq!(compute(&one, "a", &on(&["t:1"]), 1_000), round, "kept");
        assert_eq!(two.get("a"), Some(round));
        one.invalidate(&["t:1"]).expect("can be told");
        until("the other node hears of it", || two.get("a").is_none());
    }
}

#[test]
fn a_node_that_comes_late_serves_nothing_older() {
    let server = Server::start();
    let one = server.bounded();
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
    assert_eq!(compute(&one, "b", &on(&["t:2"]), 1), 1);
    one.invalidate(&["t:1"]).expect("can be told");
    drop(one);
    for late in [server.bounded(), server.strong()] {
        assert_eq!(late.get("a"), None);
        assert_eq!(late.get("b"), Some(1));
    }
}

#[test]
fn a_server_that_starts_again_is_trusted_no_more() {
    let mut server = Server::start();
    let (one, two) = (server.bounded(), server.strong());
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
    server.ask(&["SAVE"]);
    one.invalidate(&["t:1"]).expect("can be told");
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 2), 2);
    server.kill();
    server.start_again();
    until("it is reached again", || two.invalidate(&["u"]).is_ok());
    assert_ne!(two.get("a"), Some(1));
    until("a value is kept again", || {
        compute(&one, "a", &on(&["t:1"]), 3);
        two.get("a") == Some(3)
    });
}

#[test]
fn a_flushed_server_is_cold_and_nothing_worse() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.strong());
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
    assert_eq!(two.get("a"), Some(1));
    server.ask(&["FLUSHALL"]);
    assert_eq!(two.get("a"), None);
    one.invalidate(&["t:1"]).expect("can be told");
    assert_eq!(one.get("a"), None);
    assert_eq!(compute(&two, "a", &on(&["t:1"]), 2), 2);
    assert_eq!(compute(&two, "a", &on(&["t:1"]), 3), 2);
}

#[test]
fn without_the_server_values_are_computed_and_invalidations_are_sent_later() {
    let mut server = Server::start();
    let (one, two) = (server.bounded(), server.bounded());
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
    server.kill();
    let queued = one.invalidate(&["t:1"]);
    assert!(matches!(queued, Err(Error::Server(ServerError::Queued { .. }))), "{queued:?}");
    assert_eq!(one.get("a"), None);
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 2), 2);
    assert_eq!(compute(&two, "c", &on(&["t:1"]), 5), 5);
    server.start_again();
    until("a value is kept again", || {
        compute(&one, "b", &on(&["t:1"]), 3);
        one.get("b") == Some(3) && two.get("b") == Some(3)
    });
}

#[test]
fn a_bus_alone_lets_memory_caches_invalidate_each_other() {
    let server = Server::start();
    let open = || Cache::<u64>::builder().bus(server.url()).build().expect("a server that answers");
    let (one, two) = (open(), open());
    for round in 0..10 {
        assert_eq!(compute(&one, "a", &on(&["t:1"]), round), round);
        assert_eq!(compute(&two, "a", &on(&["t:1"]), round + 100), round + 100);
        assert_eq!(compute(&two, "a", &on(&["t:1"]), 1_000), round + 100, "kept");
        one.invalidate(&["t"]).expect("can be told");
        until("the other node hears of it", || two.get("a").is_none());
    }
}

#[test]
fn applications_are_kept_apart() {
    let server = Server::start();
    let open = |name: &str| server.builder().prefix(name).build().expect("a server that answers");
    let (one, two) = (open("one{x}*"), open("one"));
    assert_eq!(compute(&one, "a", &on(&["t:1"]), 1), 1);
    assert_eq!(two.get("a"), None);
    two.invalidate(&["t"]).expect("can be told");
    two.clear().expect("can be told");
    two.sweep();
    assert_eq!(one.get("a"), Some(1));
}

#[test]
fn a_refresh_a_put_and_a_deletion_reach_every_node() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    let policy = on(&["t:1"]);
    assert_eq!(compute(&one, "a", &policy, 1), 1);
    assert_eq!(two.get("a"), Some(1));
    assert!(one.put("a", 2, &policy));
    assert_eq!(two.get("a"), Some(2));
    assert_eq!(one.get("a"), Some(2));
    let leader = two.lead_refresh(b"a").expect("nobody computes it");
    leader.declare(&policy);
    assert!(leader.finish(3, None).1);
    assert_eq!(one.get("a"), Some(3));
    assert!(one.delete("a"));
    assert_eq!(two.get("a"), None);
}

#[test]
fn tasks_wait_for_the_server_without_blocking_one_another() {
    let server = Server::start();
    for cache in [server.bounded(), server.strong()] {
        cache.clear().expect("can be told");
        let policy = on(&["t:1"]);
        let get = async |number: u64| {
            let key = format!("key {number}");
            cache
                .get_or_compute_async(key, &policy, async |_| Ok::<_, Error>(number))
                .await
                .expect("computes")
        };
        for _ in 0..2 {
            let all = futures::future::join_all((0..100).map(get));
            assert_eq!(futures::executor::block_on(all), (0..100).collect::<Vec<_>>());
        }
        // A server that is too slow, as on a loaded machine, costs a computation.
        let stats = cache.stats();
        assert!(stats.computations == 100 || stats.storage_errors > 0, "{stats:?}");
    }
}

#[test]
fn with_a_cluster_lock_one_node_computes_and_the_others_are_woken() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.strong());
    let policy = on(&["t:1"]).cluster_lock(true);
    let (begun, may_end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let value = one.get_or_compute("a", &policy, |_| {
                begun.wait();
                may_end.wait();
                Ok::<_, Error>(1)
            });
            assert_eq!(value.expect("computes"), 1);
        });
        begun.wait();
        let waiting = scope.spawn(|| compute(&two, "a", &policy, 2));
        until("the other node waits", || two.stats().waits == 1);
        may_end.wait();
        assert_eq!(waiting.join().expect("does not panic"), 1);
    });
    assert_eq!((one.stats().computations, two.stats().computations), (1, 0));
}

#[test]
fn a_change_keeps_every_node_from_serving_and_its_deadline_counts_as_the_invalidation() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    let policy = on(&["t:1"]);
    assert_eq!(compute(&one, "a", &policy, 1), 1);
    let tag = common::tag_of("t:1");
    let mark = one.change(std::slice::from_ref(&tag), common::DEADLINE).expect("can be told");
    assert_eq!((one.get("a"), two.get("a")), (None, None));
    assert_eq!(compute(&two, "a", &policy, 2), 2);
    assert_eq!(two.get("a"), None, "not kept");
    one.settle(mark).expect("can be told");
    assert_eq!(two.get("a"), None);
    assert_eq!(compute(&two, "a", &policy, 3), 3);
    assert_eq!(one.get("a"), Some(3));
    // One that is never settled.
    one.change(&[tag], std::time::Duration::from_millis(1)).expect("can be told");
    drop(one);
    until("a value is kept again", || {
        compute(&two, "a", &policy, 4);
        two.get("a") == Some(4)
    });
}

#[test]
fn a_new_domain_keeps_the_changes_that_nodes_know_of() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    let policy = on(&["t:1"]);
    let mark = one.change(&[common::tag_of("t:1")], common::DEADLINE).expect("can be told");
    assert_eq!(compute(&two, "a", &policy, 1), 1);
    server.ask(&["FLUSHALL"]);
    let late = server.strong();
    assert_eq!(compute(&one, "b", &on(&["u"]), 1), 1);
    assert_eq!(compute(&late, "a", &policy, 2), 2);
    assert_eq!(late.get("a"), None, "it is still being changed");
    one.settle(mark).expect("can be told");
    assert_eq!(compute(&late, "a", &policy, 3), 3);
    assert_eq!(two.get("a"), Some(3));
}

#[test]
fn old_rows_are_forgotten_behind_a_floor() {
    let server = Server::start();
    let max_age = std::time::Duration::from_millis(1);
    let one = server.builder().max_age(max_age).build().expect("answers");
    let two = server.strong();
    assert_eq!(compute(&two, "a", &on(&["t:1"]), 1), 1);
    for number in 0..1_200 {
        one.invalidate(&[format!("x:{number}")]).expect("can be told");
    }
    let rows = || match server.ask(&["ZCARD", "{zoocache}:V"]) {
        redis::Value::Int(rows) => rows,
        other => panic!("{other:?}"),
    };
    assert!(rows() > 1_200);
    until("old rows are gone", || {
        one.sweep();
        rows() < 20
    });
    // It may have depended on what was forgotten.
    assert_eq!(two.get("a"), None);
    assert_eq!(compute(&two, "a", &on(&["t:1"]), 2), 2);
    assert_eq!(two.get("a"), Some(2));
}

#[test]
fn what_is_dead_is_swept_from_the_server() {
    let server = Server::start();
    let cache = server.bounded();
    for number in 0..50 {
        assert!(cache.put(format!("{number}"), number, &on(&[if number < 30 { "t" } else { "u" }])));
    }
    let entries = || match server.ask(&["DBSIZE"]) {
        // The table and the history stay.
        redis::Value::Int(keys) => keys - 2,
        other => panic!("{other:?}"),
    };
    cache.invalidate(&["t"]).expect("can be told");
    until("the stale ones are gone", || {
        cache.sweep();
        server.ask(&["DEL", "{zoocache}:sweeper"]);
        entries() == 20
    });
    cache.clear().expect("can be told");
    until("all are gone", || {
        cache.sweep();
        server.ask(&["DEL", "{zoocache}:sweeper"]);
        entries() == 0
    });
}

#[test]
fn an_entry_lives_as_long_on_every_node_whatever_their_clocks_say() {
    use std::sync::Arc;
    use zoocache::ManualClock;
    let server = Server::start();
    let minute_us = 60_000_000;
    let clock = |ahead_us: u64| Arc::new(ManualClock::at(common::NOON_US + ahead_us));
    let open = |clock: Arc<ManualClock>| server.builder().clock(clock).build().expect("answers");
    let early = clock(0);
    let (one, two) = (open(early.clone()), open(clock(10 * minute_us)));
    let policy = on(&["t:1"]).ttl(std::time::Duration::from_mins(1));
    assert_eq!(compute(&two, "a", &policy, 1), 1);
    assert_eq!(one.get("a"), Some(1));
    let ttl = |name: &str| match server.ask(&["PTTL", name]) {
        redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };
    let redis::Value::Array(names) = server.ask(&["KEYS", "zoocache:e:*"]) else { panic!("keys") };
    let [redis::Value::BulkString(name)] = &names[..] else { panic!("one key") };
    let left = ttl(std::str::from_utf8(name).expect("text"));
    assert!((50_000..=60_000).contains(&left), "{left}");
    early.advance_ms(50_000);
    assert_eq!(one.get("a"), Some(1));
    early.advance_ms(10_001);
    // Its time in memory here is over; the server's own clock has not moved.
    assert_eq!(one.get("a"), Some(1));
}

#[test]
fn when_what_idles_on_the_server_ends_is_explained_by_nodes_that_do_not_hold_it() {
    let minute = std::time::Duration::from_mins(1);
    for secret in [None, Some("secret")] {
        let server = Server::start();
        let builder = server.builder();
        let one = match secret {
            Some(secret) => builder.secret(secret),
            None => builder,
        };
        let (one, two) = (one.build().expect("answers"), server.strong());
        assert!(one.put("idles", 1, &on(&["t:1"]).tti(minute)) && one.put("stays", 1, &on(&["t:1"])));
        let left = two.explain("idles").expires_in_ms;
        assert!(left.is_some_and(|left| (50_000..=60_000).contains(&left)), "{secret:?}: {left:?}");
        assert_eq!(two.explain("stays").expires_in_ms, None);
        // As if it was used a moment ago, with a longer time.
        let redis::Value::Array(names) = server.ask(&["KEYS", "zoocache:e:*"]) else { panic!("keys") };
        for name in names {
            let redis::Value::BulkString(name) = name else { panic!("a name") };
            server.ask(&["PEXPIRE", std::str::from_utf8(&name).expect("text"), "600000"]);
        }
        let left = two.explain("idles").expires_in_ms;
        assert!(left.is_some_and(|left| left > 500_000), "{secret:?}: {left:?}");
        assert_eq!(two.explain("stays").expires_in_ms, None);
    }
}
