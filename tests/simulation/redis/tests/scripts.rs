//! What scripts see, what they answer, and how they fail.

mod common;

use common::{ask, error, eval, server, status, text, texts, words, wrong_kind};
use redis::Value::{Array, Int, Nil, Okay};

#[test]
fn values_cross_as_they_do_in_redis() {
    let server = &mut server();
    ask(server, "ZADD z 1 a 0.1 b");
    for (script, reply) in [
        ("return 1.7", Int(1)),
        ("return -1.7", Int(-1)),
        ("return true", Int(1)),
        ("return false", Nil),
        ("return", Nil),
        ("return {1, 2.7, 'a', false, {3}, nil, 4}", {
            Array(vec![Int(1), Int(2), text("a"), Nil, Array(vec![Int(3)])])
        }),
        ("return {ok = 'fine'}", status("fine")),
        ("return {ok = 'OK'}", Okay),
        ("return {err = 'BAD thing'}", error("BAD thing")),
        ("return redis.error_reply('thing')", error("ERR thing")),
        ("return redis.error_reply('-BAD thing')", error("BAD thing")),
        ("return redis.status_reply('fine')", status("fine")),
        ("return redis.call('ZRANGE', 'z', 0, -1, 'WITHSCORES')", {
            texts(&["b", "0.10000000000000001", "a", "1"])
        }),
        ("return redis.call('ZSCORE', 'z', 'x') == false", Int(1)),
        ("return redis.call('ZMSCORE', 'z', 'a', 'x')", Array(vec![text("1"), Nil])),
        ("return redis.call('TYPE', 'z').ok", text("zset")),
        ("return type(redis.call('INFO', 'replication'))", text("string")),
        ("redis.call('SET', 'n', 2^53) return redis.call('GET', 'n')", text("9007199254740992")),
        ("redis.call('SET', 'n', 0.5) return redis.call('GET', 'n')", text("0.5")),
    ] {
        assert_eq!(eval(server, script, &[], &[]), reply, "{script}");
    }
    assert_eq!(eval(server, "return {KEYS[1], ARGV[2], #ARGV}", &["k"], &["a", "b"]), {
        Array(vec![text("k"), text("b"), Int(2)])
    });
}

#[test]
fn scripts_fail_and_leave_what_they_wrote() {
    let server = &mut server();
    ask(server, "ZADD z 1 a");
    let script = "redis.call('SET', 'k', 'v')\nredis.call('GET', 'z')";
    let hash = redis::Script::new(script).get_hash().to_owned();
    let place = format!("script: {hash}, on @user_script:2.");
    let kind = "WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(eval(server, script, &[], &[]), error(&format!("{kind} {place}")));
    assert_eq!(ask(server, "GET k"), text("v"));
    assert_eq!(eval(server, "return redis.pcall('GET', 'z')", &[], &[]), wrong_kind());
    assert_eq!(eval(server, "return redis.pcall('GET', 'z').err", &[], &[]), text(kind));
    for (script, message) in [
        ("return {", "ERR Error compiling script"),
        ("error('hey')", "ERR user_script:1: hey script: "),
        ("x = 1", "ERR user_script:1: Attempt to modify a readonly table"),
        ("return x", "ERR user_script:1: Script attempted to access nonexistent global variable 'x'"),
        ("redis.call()", "ERR Please specify at least one argument"),
        ("redis.call('GET', {})", "ERR Lua redis lib command arguments must be strings or integers"),
        ("redis.call('GET')", "ERR Wrong number of args calling Redis command from script"),
        ("redis.call('NOPE')", "ERR Unknown Redis command called from script"),
        ("redis.call('EVAL', '', 0)", "ERR This Redis command is not allowed from script"),
    ] {
        let redis::Value::ServerError(error) = eval(server, script, &[], &[]) else { panic!("{script}") };
        let said = format!("{} {}", error.code(), error.details().unwrap_or_default());
        assert!(said.starts_with(message), "{script}: {said}");
    }
}

#[test]
fn scripts_are_known_by_their_hash_until_they_are_forgotten() {
    let server = &mut server();
    let unknown = error("NOSCRIPT No matching script. Please use EVAL.");
    let hash = redis::Script::new("return 1").get_hash().to_owned();
    let run = format!("EVALSHA {hash} 0");
    assert_eq!(ask(server, &run), unknown);
    assert_eq!(server.call(0, &words(&["SCRIPT", "LOAD", "return 1"])), text(&hash));
    assert_eq!(ask(server, &run), Int(1));
    assert_eq!(ask(server, &format!("SCRIPT EXISTS {hash} x")), Array(vec![Int(1), Int(0)]));
    ask(server, "SCRIPT FLUSH");
    assert_eq!(ask(server, &run), unknown);
    eval(server, "return 1", &[], &[]);
    assert_eq!(ask(server, &run), Int(1));
    server.restart(server.data(), common::REPLID);
    assert_eq!(ask(server, &run), unknown);
    assert_eq!(ask(server, &format!("EVALSHA {hash} -1")), error("ERR Number of keys can't be negative"));
    let many = error("ERR Number of keys can't be greater than number of args");
    assert_eq!(ask(server, &format!("EVALSHA {hash} 2 k")), many);
}
