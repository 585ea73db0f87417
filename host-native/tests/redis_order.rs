//! What nodes that share a Redis server store and delete at the same time, and what the others hear of it.

mod common;

use common::redis::Server;
use common::{on, until, value};
use zoocache::Error;

/// The position at which others were told to forget the key, if they were.
fn told(server: &Server, key: &str) -> redis::Value {
    server.ask(&["ZSCORE", "{zoocache}:V", &format!("k{key}")])
}

#[test]
fn what_began_before_a_deletion_is_not_stored_after_it() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.strong());
    // The first node may or may not have heard of the deletion when it stores.
    for round in 0..200 {
        let computed = one.get_or_compute("a", &on(&["t"]), |_| {
            two.delete("a");
            Ok::<_, Error>(round)
        });
        assert_eq!(computed.expect("computes"), round);
        assert_eq!(two.get("a"), None, "round {round}");
    }
    let kept = |round| two.get_or_compute("a", &on(&["t"]), value(round)).expect("computes");
    assert_eq!((kept(1_000), kept(1_001)), (1_000, 1_000));
}

#[test]
fn nobody_is_told_of_what_replaces_a_stale_entry() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    for round in 0..3 {
        let kept = one.get_or_compute("a", &on(&["t"]), value(round)).expect("computes");
        assert_eq!((kept, two.get("a")), (round, Some(round)));
        one.invalidate(&["t"]).expect("can be told");
    }
    assert_eq!(told(&server, "a"), redis::Value::Nil);
    two.put("a", 1_000, &on(&["t"]));
    assert_ne!(told(&server, "a"), redis::Value::Nil);
}

#[test]
fn a_put_reaches_those_who_hold_what_the_server_has_evicted() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.bounded());
    one.put("a", 1, &on(&["t"]));
    assert_eq!(two.get("a"), Some(1));
    let redis::Value::Array(entries) = server.ask(&["KEYS", "zoocache:e:*"]) else { panic!("a list") };
    assert_eq!(entries.len(), 1);
    for entry in entries {
        let redis::Value::BulkString(entry) = entry else { panic!("a name") };
        server.ask(&["UNLINK", std::str::from_utf8(&entry).expect("a name")]);
    }
    assert!(one.put("a", 2, &on(&["t"])));
    until("the other node hears of it", || two.get("a") == Some(2));
}
