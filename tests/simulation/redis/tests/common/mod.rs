//! What the tests of the simulated server share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use redis::Value;
use zoocache_simulated_redis::Server;

/// Noon of some day, in microseconds.
pub(crate) const NOON_US: u64 = 1_800_000_000_000_000;
pub(crate) const REPLID: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn server() -> Server {
    Server::new(REPLID)
}

pub(crate) fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Runs a command, given as words between blanks, at noon.
pub(crate) fn ask(server: &mut Server, command: &str) -> Value {
    ask_at(server, 0, command)
}

/// Some milliseconds after noon.
pub(crate) fn ask_at(server: &mut Server, after_ms: u64, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    server.call(NOON_US + after_ms * 1_000, &self::words(&words))
}

pub(crate) fn eval(server: &mut Server, script: &str, keys: &[&str], arguments: &[&str]) -> Value {
    let count = keys.len().to_string();
    let command = [&["EVAL", script, &count], keys, arguments].concat();
    server.call(NOON_US, &words(&command))
}

pub(crate) fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

pub(crate) fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| self::text(text)).collect())
}

pub(crate) fn status(text: &str) -> Value {
    Value::SimpleString(text.to_owned())
}

pub(crate) fn pairs(pairs: &[(&str, f64)]) -> Value {
    let pair = |(member, score): &(&str, f64)| Value::Array(vec![text(member), Value::Double(*score)]);
    Value::Array(pairs.iter().map(pair).collect())
}

/// An error as it stands on the wire.
pub(crate) fn error(line: &str) -> Value {
    redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error")
}

pub(crate) fn wrong_kind() -> Value {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}
