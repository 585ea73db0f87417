//! Damaged, forged and foreign bytes in whatever the server holds: never a wrong value, never a crash.

mod common;

use common::redis::Server;
use common::{on, until, value};
use redis::Value;
use zoocache::{Cache, Consistency};

fn compute(cache: &Cache<u64>, key: &str, result: u64) -> u64 {
    cache.get_or_compute(key, &on(&["t:1"]), value(result)).expect("computes")
}

fn keys(server: &Server) -> Vec<String> {
    let Value::Array(keys) = server.ask(&["KEYS", "*"]) else { panic!("keys") };
    keys.iter()
        .map(|key| match key {
            Value::BulkString(key) => String::from_utf8(key.clone()).expect("text"),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn client(server: &Server) -> redis::Connection {
    redis::Client::open(server.url()).expect("an address").get_connection().expect("answers")
}

#[test]
fn whatever_a_key_is_replaced_by_it_is_no_value() {
    let server = Server::start();
    let cache = server.builder().near_entries(0).consistency(Consistency::Strong).build().expect("answers");
    let mut rng = fastrand::Rng::with_seed(7);
    let mut raw = client(&server);
    for round in 0..300 {
        assert_eq!(compute(&cache, "a", round), round);
        assert_eq!(cache.get("a"), Some(round));
        let keys = keys(&server);
        let name = &keys[rng.usize(..keys.len())];
        let kind: String = redis::cmd("TYPE").arg(name).query(&mut raw).expect("a type");
        match (rng.u8(..4), kind.as_str()) {
            (0, _) => {
                let _: () = redis::cmd("DEL").arg(name).query(&mut raw).expect("deletes");
            }
            (1, _) => {
                let _: () = redis::cmd("DEL").arg(name).query(&mut raw).expect("deletes");
                let _: () = redis::cmd("HSET").arg(name).arg("f").arg("v").query(&mut raw).expect("sets");
            }
            (_, "string") => {
                let mut bytes: Vec<u8> = redis::cmd("GET").arg(name).query(&mut raw).expect("a text");
                // The number says when it was stored, not what it is: the rest is what counts.
                let place = rng.usize(32..bytes.len());
                bytes[place] ^= 1 << rng.u8(..8);
                bytes.truncate(rng.usize(place..=bytes.len()).max(place + 1));
                let _: () = redis::cmd("SET").arg(name).arg(&bytes).query(&mut raw).expect("sets");
            }
            (_, "zset") => {
                let score = [f64::INFINITY, 1e300, 9e15, -5.5, 3.7, 1.0][rng.usize(..6)];
                let member: Vec<u8> = (0..rng.usize(..8)).map(|_| rng.u8(..)).collect();
                let _: () =
                    redis::cmd("ZADD").arg(name).arg(score).arg(&member).query(&mut raw).expect("adds");
            }
            // What tells of the past.
            _ => {}
        }
        let found = cache.get("a");
        assert!(found.is_none() || found == Some(round), "{found:?} in round {round}");
        cache.invalidate(&["t:1"]).expect("can be told");
        assert_eq!(cache.get("a"), None);
    }
}

#[test]
fn whatever_is_told_nobody_is_disturbed() {
    let server = Server::start();
    let cache = server.bounded();
    let mut raw = client(&server);
    let mut rng = fastrand::Rng::with_seed(7);
    let tag = format!("t{}", ["deep"; 400].join(":"));
    for round in 0..200 {
        assert_eq!(compute(&cache, "a", 1), 1);
        let mut told: Vec<u8> = match rng.u8(..5) {
            0 => (0..rng.usize(..50)).map(|_| rng.u8(..)).collect(),
            1 => format!("i {:032x} 0 0 {} 2:ta", rng.u128(..), u64::MAX).into_bytes(),
            2 => format!("i {:032x} 0 0 9007199254740990 {}:{tag}", rng.u128(..), tag.len()).into_bytes(),
            3 => format!("n {:032x}", rng.u128(..)).into_bytes(),
            _ => b"i".to_vec(),
        };
        if rng.bool() {
            told.extend((0..rng.usize(..9)).map(|_| rng.u8(..)));
        }
        let _: i64 = redis::cmd("PUBLISH").arg("{zoocache}:bell").arg(&told).query(&mut raw).expect("tells");
        assert!(matches!(cache.get("a"), Some(1) | None), "round {round}");
    }
    assert_eq!(compute(&cache, "a", 1), 1);
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn with_a_secret_nobody_else_stores_anything_that_is_served() {
    let server = Server::start();
    let open = |secret: Option<&str>| match secret {
        Some(secret) => server.builder().secret(secret),
        None => server.builder(),
    };
    for (made, asked) in [(Some("one"), Some("two")), (Some("one"), None), (None, Some("one"))] {
        server.ask(&["FLUSHALL"]);
        assert_eq!(compute(&open(made).build().expect("answers"), "k", 1), 1);
        let cache = open(asked).build().expect("answers");
        assert_eq!((cache.get("k"), cache.stats().rejected), (None, 1), "{made:?} {asked:?}");
        assert_eq!(compute(&cache, "k", 2), 2);
        assert_eq!(open(asked).build().expect("answers").get("k"), Some(2), "it was stored");
    }
}

#[test]
fn an_entry_moved_under_another_key_is_none() {
    let server = Server::start();
    let cache = server.builder().near_entries(0).build().expect("answers");
    assert_eq!((compute(&cache, "one", 1), compute(&cache, "two", 2)), (1, 2));
    let names: Vec<_> = keys(&server).into_iter().filter(|name| name.contains(":e:")).collect();
    server.ask(&["COPY", &names[0], &names[1], "REPLACE"]);
    let found = [cache.get("one"), cache.get("two")];
    assert!(found.contains(&None) && (found[0] == Some(1) || found[1] == Some(2)), "{found:?}");
}

#[test]
fn a_full_server_still_takes_invalidations() {
    let server = Server::start();
    let (cache, other) = (server.bounded(), server.strong());
    assert_eq!(compute(&cache, "a", 1), 1);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    cache.invalidate(&["t:1"]).expect("gets through");
    assert_eq!(other.get("a"), None);
    assert_eq!(compute(&cache, "a", 2), 2);
    assert!(cache.stats().storage_errors > 0, "it could not be stored");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    until("it is stored again", || {
        compute(&cache, "a", 3);
        other.get("a") == Some(3)
    });
}

#[test]
fn control_keys_that_are_evicted_make_the_cache_cold() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    for round in 0..10 {
        assert_eq!(compute(&one, "a", round), round);
        assert_eq!(two.get("a"), Some(round));
        server.ask(&["DEL", "{zoocache}:V"]);
        // Whichever of them notices first.
        if round % 2 == 0 {
            assert_eq!(two.get("a"), None);
        }
        one.invalidate(&["t:1"]).expect("can be told");
        assert_eq!((one.get("a"), two.get("a")), (None, None));
    }
}
