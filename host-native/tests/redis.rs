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
