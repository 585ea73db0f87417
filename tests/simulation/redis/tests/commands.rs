//! What single commands answer.

mod common;

use common::{ask, ask_at, error, pairs, server, status, text, texts, wrong_kind};
use redis::Value::{Array, Double, Int, Nil, Okay};

#[test]
fn texts_are_set_and_read() {
    let server = &mut server();
    assert_eq!(ask(server, "GET k"), Nil);
    assert_eq!(ask(server, "SET k hello"), Okay);
    assert_eq!(ask(server, "SET k other NX"), Nil);
    assert_eq!(ask(server, "GET k"), text("hello"));
    for (range, part) in [("0 1", "he"), ("-3 -1", "llo"), ("2 99", "llo"), ("9 10", ""), ("-1 -2", "")] {
        assert_eq!(ask(server, &format!("GETRANGE k {range}")), text(part), "{range}");
    }
    assert_eq!(ask(server, "GETRANGE absent 0 -1"), text(""));
    assert_eq!(ask(server, "SET k v PX 0"), error("ERR invalid expire time in 'set' command"));
    assert_eq!(ask(server, "SET k v PX x"), error("ERR value is not an integer or out of range"));
    assert_eq!(ask(server, "SET k v EX 1"), error("ERR not simulated"));
}

#[test]
fn keys_live_through_the_millisecond_in_which_they_expire() {
    let server = &mut server();
    assert_eq!(ask(server, "SET k v PX 100"), Okay);
    assert_eq!(ask_at(server, 40, "PTTL k"), Int(60));
    assert_eq!(ask_at(server, 100, "GET k"), text("v"));
    assert_eq!(ask_at(server, 101, "GET k"), Nil);
    assert_eq!(ask_at(server, 101, "PTTL k"), Int(-2));
    assert_eq!(ask_at(server, 101, "DBSIZE"), Int(0));
    assert_eq!(ask_at(server, 101, "DEL k"), Int(0));
    assert_eq!(ask(server, "SET k v PX 100"), Okay);
    assert_eq!(ask(server, "PEXPIRE k 500"), Int(1));
    assert_eq!(ask_at(server, 300, "EXISTS k k absent"), Int(2));
    assert_eq!(ask(server, "SET k v"), Okay);
    assert_eq!(ask_at(server, 900, "PTTL k"), Int(-1));
    assert_eq!(ask(server, "PEXPIRE k -1"), Int(1));
    assert_eq!(ask(server, "TYPE k"), status("none"));
    assert_eq!(ask(server, "PEXPIRE k 5"), Int(0));
}

#[test]
fn members_are_in_the_order_of_scores_and_bytes() {
    let server = &mut server();
    assert_eq!(ask(server, "ZADD z 2 b 1 c 2 a inf d"), Int(4));
    assert_eq!(ask(server, "ZADD z 3 c 2 a"), Int(0));
    assert_eq!(ask(server, "ZRANGE z 0 -1"), texts(&["a", "b", "c", "d"]));
    assert_eq!(ask(server, "ZRANGE z -1 -1 WITHSCORES"), pairs(&[("d", f64::INFINITY)]));
    assert_eq!(ask(server, "ZRANGE z -3 2"), texts(&["b", "c"]));
    assert_eq!(ask(server, "ZRANGE z 3 2"), texts(&[]));
    assert_eq!(ask(server, "ZSCORE z c"), Double(3.0));
    assert_eq!(ask(server, "ZSCORE z x"), Nil);
    assert_eq!(ask(server, "ZMSCORE z a x"), Array(vec![Double(2.0), Nil]));
    assert_eq!(ask(server, "ZMSCORE absent a x"), Array(vec![Nil, Nil]));
    assert_eq!(ask(server, "ZCARD z"), Int(4));
    assert_eq!(ask(server, "ZREM z a x b"), Int(2));
    assert_eq!(ask(server, "ZREM z c d"), Int(2));
    assert_eq!(ask(server, "EXISTS z"), Int(0));
}

#[test]
fn ranges_of_scores_have_bounds_and_limits() {
    let server = &mut server();
    ask(server, "ZADD z -inf a 1 b 2 c 2 d inf e");
    for (range, members) in [
        ("-inf +inf", &["a", "b", "c", "d", "e"][..]),
        ("(1 2", &["c", "d"]),
        ("1 (2", &["b"]),
        ("(-inf (inf", &["b", "c", "d"]),
        ("(inf inf", &[]),
        ("2 1", &[]),
        ("-inf inf LIMIT 1 2", &["b", "c"]),
        ("-inf inf LIMIT 3 -1", &["d", "e"]),
        ("-inf inf LIMIT -1 2", &[]),
    ] {
        assert_eq!(ask(server, &format!("ZRANGEBYSCORE z {range}")), texts(members), "{range}");
    }
    assert_eq!(ask(server, "ZRANGEBYSCORE z 1 2 WITHSCORES LIMIT 0 1"), pairs(&[("b", 1.0)]));
    assert_eq!(ask(server, "ZRANGEBYSCORE z x 2"), error("ERR min or max is not a float"));
    assert_eq!(ask(server, "ZRANGEBYSCORE z 1 2 LIMIT 0"), error("ERR syntax error"));
}

#[test]
fn what_is_of_another_kind_is_refused_and_stays() {
    let server = &mut server();
    ask(server, "SET k v");
    ask(server, "ZADD z 1 a");
    for command in
        ["GET z", "GETRANGE z 0 1", "ZADD k 1 a", "ZREM k a", "ZSCORE k a", "ZMSCORE k a", "ZRANGE k 0 1"]
    {
        assert_eq!(ask(server, command), wrong_kind(), "{command}");
    }
    assert_eq!([ask(server, "TYPE k"), ask(server, "TYPE z")], [status("string"), status("zset")]);
    assert_eq!(ask(server, "ZADD z x a"), error("ERR value is not a valid float"));
    assert_eq!(ask(server, "ZADD z 5 a x b"), error("ERR value is not a valid float"));
    assert_eq!(ask(server, "ZSCORE z a"), Double(1.0));
    assert_eq!(ask(server, "GET"), error("ERR wrong number of arguments for 'get' command"));
    assert_eq!(ask(server, "NOPE a"), error("ERR unknown command 'NOPE', with args beginning with: 'a' "));
    assert_eq!(ask(server, "SET z v"), Okay);
    assert_eq!(ask(server, "FLUSHALL"), Okay);
    assert_eq!(ask(server, "DBSIZE"), Int(0));
}

#[test]
fn a_walk_comes_by_all_keys_that_stay() {
    let server = &mut server();
    for number in 0..100 {
        ask(server, &format!("SET stays:{number} v"));
        ask(server, &format!("SET goes:{number} v"));
    }
    let (mut from, mut found, mut steps) = (String::from("0"), Vec::new(), 0);
    loop {
        let step = ask(server, &format!("SCAN {from} MATCH stays:* COUNT 7"));
        let Array(step) = step else { panic!("{step:?}") };
        let [redis::Value::BulkString(next), Array(names)] = &step[..] else { panic!("{step:?}") };
        found.extend(names.iter().cloned());
        from = String::from_utf8(next.clone()).expect("digits");
        if from == "0" {
            break;
        }
        ask(server, &format!("DEL goes:{steps}"));
        ask(server, &format!("SET new:{steps} v"));
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert_eq!(found.len(), 100);
    assert!((0..100).all(|number| found.contains(&text(&format!("stays:{number}")))));
    assert_eq!(ask(server, "SCAN x"), error("ERR invalid cursor"));
    assert_eq!(ask(server, "SCAN 0 COUNT 0"), error("ERR syntax error"));
}

#[test]
fn the_server_says_who_it_is_and_what_was_published() {
    let server = &mut server();
    assert_eq!(ask_at(server, 7, "TIME"), texts(&["1800000000", "7000"]));
    assert_eq!([ask(server, "PING"), ask(server, "ping x")], [status("PONG"), text("x")]);
    let redis::Value::VerbatimString { text, .. } = ask(server, "INFO replication") else {
        panic!("no text")
    };
    assert!(text.contains(&format!("master_replid:{}\r\n", common::REPLID)), "{text}");
    ask(server, "PUBLISH bell one");
    ask(server, "PUBLISH bell two");
    let published = |message: &str| (b"bell".to_vec(), message.as_bytes().to_vec());
    assert_eq!(server.take_published(), [published("one"), published("two")]);
    assert_eq!(server.take_published(), []);
}
