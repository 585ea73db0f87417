//! What can happen to a server and its data.

mod common;

use common::{NOON_US, ask, ask_at, error, eval, server, text};
use redis::Value::{Double, Int, Nil, Okay, ServerError};
use zoocache_simulated_redis::Server;

#[test]
fn data_stays_as_it_was_taken() {
    let server = &mut server();
    ask(server, "SET k old");
    ask(server, "ZADD z 1 a");
    let old = server.data();
    ask(server, "SET k new");
    ask(server, "ZADD z 2 a 3 b");
    let new = server.data();
    server.replace(old.clone());
    assert_eq!([ask(server, "GET k"), ask(server, "ZSCORE z a")], [text("old"), Double(1.0)]);
    ask(server, "FLUSHALL");
    server.restart(new, "ffffffffffffffffffffffffffffffffffffffff");
    assert_eq!([ask(server, "GET k"), ask(server, "ZSCORE z a")], [text("new"), Double(2.0)]);
    let replid = "return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')";
    assert_eq!(eval(server, replid, &[], &[]), text(&"f".repeat(40)));
    server.replace(old.clone());
    assert_eq!(server.data(), old);
}

#[test]
fn what_cannot_write_refuses_it_and_reads_on() {
    let server = &mut server();
    ask(server, "SET k v");
    let readonly = "READONLY You can't write against a read only replica.";
    let alone = "NOREPLICAS Not enough good replicas to write.";
    for (message, set) in
        [(readonly, Server::set_read_only as fn(&mut Server, bool)), (alone, Server::set_lacks_replicas)]
    {
        set(server, true);
        for command in ["SET k w", "ZADD z 1 a", "ZREM z a", "UNLINK absent", "PEXPIRE k 1", "FLUSHALL"] {
            assert_eq!(ask(server, command), error(message), "{command}");
        }
        assert_eq!([ask(server, "GET k"), ask(server, "PUBLISH a b")], [text("v"), Int(0)]);
        assert_eq!(eval(server, "return redis.pcall('ZREM', 'z', '!').err", &[], &[]), text(message));
        assert_eq!(eval(server, "return redis.call('GET', 'k')", &[], &[]), text("v"));
        set(server, false);
        assert_eq!(ask(server, "SET k v"), Okay);
    }
}

#[test]
fn a_full_server_lets_a_script_grow_that_began_with_less() {
    let server = &mut server();
    ask(server, "ZADD z 1 a");
    server.set_full(true);
    let full = error("OOM command not allowed when used memory > 'maxmemory'.");
    assert_eq!([ask(server, "SET k v"), ask(server, "ZADD z 1 b")], [full.clone(), full.clone()]);
    assert_eq!([ask(server, "ZREM z x"), ask(server, "PEXPIRE k 1")], [Int(0), Int(0)]);
    let grow = "return redis.call('ZADD', 'z', 1, 'b')";
    let is_refused = |reply| matches!(reply, ServerError(error) if error.code() == "OOM");
    assert!(is_refused(eval(server, grow, &[], &[])));
    // That is no write.
    assert!(is_refused(eval(server, &format!("redis.call('PUBLISH', 'b', 'm') {grow}"), &[], &[])));
    assert_eq!(eval(server, &format!("redis.call('ZREM', 'z', '!') {grow}"), &[], &[]), Int(1));
    assert_eq!(eval(server, "return redis.pcall('SET', 'k', 'v')", &[], &[]), full);
    server.set_full(false);
    assert_eq!(ask(server, "SET k v"), Okay);
}

#[test]
fn keys_are_evicted_and_expired_ones_are_none() {
    let server = &mut server();
    ask(server, "SET k v PX 10");
    ask(server, "ZADD z 1 a");
    assert_eq!(server.keys(NOON_US).len(), 2);
    assert_eq!(server.keys(NOON_US + 11_000), [b"z".to_vec()]);
    server.evict(b"z");
    assert_eq!(ask(server, "ZSCORE z a"), Nil);
    assert_eq!(ask_at(server, 11, "DBSIZE"), Int(0));
}
