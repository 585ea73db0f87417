//! Commands at random: right ones, wrong ones, and the same inside scripts.

use fastrand::Rng;

use crate::twins::{Trouble, Twins, words};

/// A capital letter is one of the words below.
const COMMANDS: &[&str] = &[
    "GET K",
    "SET K V",
    "SET K V NX",
    "SET K V PX T",
    "SET K V NX PX T",
    "SET K V PX T NX",
    "GETRANGE K I I",
    "TYPE K",
    "EXISTS K",
    "EXISTS K K K",
    "DEL K",
    "UNLINK K K",
    "PTTL K",
    "PEXPIRE K T",
    "DBSIZE",
    "PING",
    "PING V",
    "KEYS P",
    "PUBLISH K V",
    "INFO replication",
    "INFO nothing",
    "ZADD K S M",
    "ZADD K S M S M",
    "ZADD K S M S M S M S M",
    "ZREM K M",
    "ZREM K M M M",
    "ZREM K M M M M M M M M M M M M",
    "ZREM K a b ab B ~ 12 ü M M M",
    "ZRANGEBYSCORE K (inf +inf",
    "ZADD K inf M",
    "ZSCORE K M",
    "ZMSCORE K M",
    "ZMSCORE K M M M",
    "ZCARD K",
    "ZRANGE K I I",
    "ZRANGE K I I WITHSCORES",
    "zrange K -1 -1 withscores",
    "ZRANGEBYSCORE K B B",
    "ZRANGEBYSCORE K B B WITHSCORES",
    "ZRANGEBYSCORE K B B LIMIT I I",
    "ZRANGEBYSCORE K B B WITHSCORES LIMIT I I",
    "ZRANGEBYSCORE K B +inf LIMIT 0 2 WITHSCORES",
    "NOPE K V",
];

/// More often than the others: without members there is little to compare.
const FREQUENT: &[&str] = &["ZADD K S M", "ZADD K S M S M", "ZREM K M M M M M M", "SET K V"];

const KEYS: &[&str] = &["a", "b", "c", "z:1", "z:2", "z:3"];
const VALUES: &[&str] = &["v", "hello", "0123456789", "", "12", "\u{fc}\0\r\n"];
const MEMBERS: &[&str] = &["a", "b", "ab", "B", "", "~", "\u{fc}", "12", "a\0"];
const INTEGERS: &[&str] =
    &["0", "1", "2", "5", "99", "-1", "-2", "-5", "-99", "x", "01", "1.0", "9223372036854775807"];
const SCORES: &[&str] = &[
    "0",
    "-0",
    "1",
    "1",
    "2",
    "2.5",
    "0.1",
    "-3e-7",
    "1e17",
    "1e300",
    "1800000000000000",
    "9007199254740993",
    "inf",
    "-inf",
    "+5",
    ".5",
    "nan",
    "x",
    "",
    "1e999",
    " 1",
    "1e-999",
    "Infinity",
];
const BOUNDS: &[&str] = &[
    "0",
    "(0",
    "1",
    "(1",
    "2",
    "(2",
    "2.5",
    "-inf",
    "+inf",
    "(inf",
    "(-inf",
    "inf",
    "1e300",
    "1800000000000000",
    "(1800000000000000",
    "x",
    "nan",
    "",
    "(",
];
const TIMES: &[&str] =
    &["10000000", "90000000", "0", "-1", "x", "9223372036854775807", "9000000000000000000"];
const PATTERNS: &[&str] = &["*", "z:*", "?", "[ab]", "[^a]", "z:[1-2]", "\\a", "", "*:*1", "[", "[a"];

const SCRIPTS: &[&str] = &[
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "local reply = redis.pcall(unpack(ARGV))\nreturn {type(reply), reply, reply, 'end'}",
    "\n\nlocal function inner() return redis.call(unpack(ARGV)) end\nlocal reply = inner()\nreturn {reply}",
    "redis.call('ZREM', 'z:1', '!')\nreturn redis.call(unpack(ARGV))",
    "redis.pcall('ZADD', 'z:2', 1, 'first')\nreturn redis.call(unpack(ARGV))",
    "redis.call('PUBLISH', 'first', 'told')\nreturn redis.call(unpack(ARGV))",
    "local ok, cause = pcall(redis.call, unpack(ARGV))\nreturn {tostring(ok), type(cause)}",
    "local reply = redis.call(unpack(ARGV))\nreturn tostring(reply and type(reply) ~= 'table' and reply)",
    "return {KEYS[1], redis.call('GET', 'a'), redis.call(unpack(ARGV)), KEYS[2]}",
];

/// Of which nothing depends on the data.
const FIXED: &[&str] = &[
    "return {1, 2.7, -2.7, 'a', false, 3, nil, 4}",
    "return 3.99",
    "return -3.99",
    "return true",
    "return false",
    "return",
    "return {}",
    "return {{}, {{1}}}",
    "return {ok = 'OK'}",
    "return {ok = 'fine'}",
    "return {err = 'BAD thing'}",
    "return {err = 'BAD'}",
    "return {1, {err = 'BAD inside'}, 2}",
    "return redis.error_reply('one')",
    "return redis.error_reply('-ERR two')",
    "return redis.error_reply('ERR two')",
    "return redis.status_reply('fine')",
    "error('hey')",
    "error({err = 'BAD thing'})",
    "error('hey', 0)",
    "local function f() error('deep') end\nf()",
    "local x = nil\nreturn x.y",
    "return 1 + {}",
    "return #nil",
    "x = 1",
    "return x",
    "return {",
    "return redis.call()",
    "return redis.call({})",
    "return redis.pcall('GET', true)",
    "return redis.call('EVAL', 'return 1', 0)",
    "return redis.call('SCRIPT', 'FLUSH')",
    "return tostring(tonumber('inf'))",
    "return string.format('%.0f', 2^53)",
    "return string.format('%016.0f%016.0f', 17, 2^53 - 1)",
    "return tostring(1e15 + 0.5)",
    "return tostring(2^53)",
    "return redis.call('PING')",
    "return redis.pcall('GET', 2^53, 3)",
    "return unpack({1, 2})",
    "return #ARGV",
    "return string.match('~c:00ff:17', '^~c:(%x+):(%d+)$')",
    "return {string.match('a=b', '(%w)=(%w)')}",
    "return math.max(3, 2^40)",
    "return table.concat({'a', 1, 2.5}, ' ')",
    "return select('#', nil, nil)",
    "local t = {}\nfor i = 1, 7000 do t[i] = 'x' end\nreturn redis.call('EXISTS', unpack(t))",
    "local t = {}\nfor i = 1, 9000 do t[i] = 'x' end\nreturn redis.call('EXISTS', unpack(t))",
    "return redis.call('SET', 'n', 0.1)",
    "return redis.call('SET', 'n', 2^60)",
    "return redis.call('SET', 'n', -0.5)",
    "return redis.call('SET', 'n', 1e100)",
    "return redis.call('GET', 'n')",
    "return redis.call('PEXPIRE', 'n', 1e7)",
];

pub(crate) fn step(twins: &mut Twins, rng: &mut Rng) {
    match rng.u32(0..200) {
        0 => {
            let troubles = [Trouble::None, Trouble::Full, Trouble::LacksReplicas, Trouble::ReadOnly];
            twins.set(troubles[rng.usize(0..4)]);
        }
        1..=3 => twins.compare_data(),
        4 => drop(twins.walk(PATTERNS[rng.usize(0..3)], rng.u32(1..4))),
        5 if rng.bool() => drop(twins.ask(&words("FLUSHALL"))),
        6..=15 => about_scripts(twins, rng),
        16..=40 => drop(twins.ask(&eval(pick(rng, FIXED), Vec::new()))),
        41..=90 => {
            let inner = command(rng);
            // What it says of itself differs.
            if !inner[0].eq_ignore_ascii_case(b"INFO")
                && !inner[0].eq_ignore_ascii_case(b"PUBLISH")
                && inner[0] != b"KEYS"
            {
                twins.ask(&eval(pick(rng, SCRIPTS), inner));
            }
        }
        _ => drop(twins.ask(&command(rng))),
    }
}

fn about_scripts(twins: &mut Twins, rng: &mut Rng) {
    let text = pick(rng, SCRIPTS);
    let hash = redis::Script::new(text).get_hash().to_owned();
    let run = vec![b"EVALSHA".to_vec(), hash.clone().into_bytes(), b"0".to_vec(), b"PING".to_vec()];
    let other = [
        words(&format!("SCRIPT EXISTS {hash} ffff {}", hash.to_uppercase())),
        words("SCRIPT FLUSH"),
        words(&format!("EVALSHA {hash} 2 k")),
        words(&format!("EVALSHA {hash} -1 k")),
        words(&format!("evalsha {} 1 k PING", hash.to_uppercase())),
        words("EVALSHA ffff 0"),
        words(&format!("EVALSHA {hash}")),
        words(&format!("EVALSHA {hash} x")),
        words("SCRIPT"),
        words("SCRIPT LOAD"),
        words("SCRIPT NOPE"),
        vec![b"SCRIPT".to_vec(), b"LOAD".to_vec(), text.as_bytes().to_vec()],
    ];
    twins.ask(&other[rng.usize(0..other.len())]);
    twins.ask(&run);
}

fn eval(script: &str, arguments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut command = vec![b"EVAL".to_vec(), script.as_bytes().to_vec(), b"1".to_vec(), b"key".to_vec()];
    command.extend(arguments);
    command
}

fn command(rng: &mut Rng) -> Vec<Vec<u8>> {
    let shape = if rng.u32(0..4) == 0 { pick(rng, FREQUENT) } else { pick(rng, COMMANDS) };
    let mut command: Vec<Vec<u8>> =
        shape.split(' ').map(|word| fill(rng, word).as_bytes().to_vec()).collect();
    // Too few words, too many, or in the wrong place.
    match rng.u32(0..60) {
        0 if command.len() > 1 => drop(command.pop()),
        1 => command.push(pick(rng, VALUES).as_bytes().to_vec()),
        2 if command.len() > 3 => {
            let (one, other) = (rng.usize(1..command.len()), rng.usize(1..command.len()));
            command.swap(one, other);
        }
        _ => {}
    }
    command
}

fn fill<'a>(rng: &mut Rng, word: &'a str) -> &'a str {
    match word {
        "K" => pick(rng, KEYS),
        "V" => pick(rng, VALUES),
        "M" => pick(rng, MEMBERS),
        // Right ones stand first, and more often.
        "I" => often_right(rng, INTEGERS, 9),
        "S" => often_right(rng, SCORES, 16),
        "B" => often_right(rng, BOUNDS, 15),
        "T" => often_right(rng, TIMES, 2),
        "P" => pick(rng, PATTERNS),
        word => word,
    }
}

fn often_right(rng: &mut Rng, words: &[&'static str], right: usize) -> &'static str {
    let most = if rng.u32(0..10) == 0 { words.len() } else { right };
    words[rng.usize(0..most)]
}

fn pick(rng: &mut Rng, words: &[&'static str]) -> &'static str {
    words[rng.usize(0..words.len())]
}
