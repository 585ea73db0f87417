//! The scripts of the storage, with arguments as nodes give them, on tables that are whole or damaged.
//!
//! They read the time from two keys, so that it is the same for both servers.

use fastrand::Rng;
use redis::Value;

use crate::twins::{Trouble, Twins, words};

const TABLE: &str = "{p}:V";
const BELL: &str = "{p}:bell";
const ENTRIES: [&str; 3] = ["p:e:{1}", "p:e:{2}", "p:e:{3}"];
const LOCKS: [&str; 2] = ["p:l:{1}", "p:l:{2}"];
const TAGS: [&str; 6] = ["t", "ta", "tb", "tb:c", "td", "t\u{fc}"];
const NEAR_US: u64 = 60_000_000;

macro_rules! script {
    (begin + $file:literal) => {
        concat!(script!("begin.lua"), script!($file))
    };
    ($file:literal) => {
        include_str!(concat!("../../../../../host-native/src/server/scripts/", $file))
    };
}

const CHECK: &str = script!(begin + "check.lua");

/// Without the switches that turn protections off.
fn whole(script: &str) -> String {
    let mut parts = script.split("MUTANT_");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let name =
            part.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(part.len());
        text + "false" + &part[name..]
    })
}

fn with_set_time(script: &str) -> String {
    let time = "{redis.call('GET', 'test:seconds'), redis.call('GET', 'test:micros')}";
    whole(script).replace("redis.call('TIME')", time)
}

/// What a node would know of the table.
struct Known {
    incarnation: String,
    clock: u64,
    latest: u64,
    marks: Vec<String>,
}

impl Known {
    fn of(twins: &mut Twins) -> Self {
        let rows = twins.simulated.call(0, &words(&format!("ZRANGE {TABLE} 0 -1 WITHSCORES")));
        let rows: Vec<(Vec<u8>, f64)> = redis::from_redis_value(rows).unwrap_or_default();
        let text = |row: &Vec<u8>| String::from_utf8_lossy(row).into_owned();
        let marks = rows.iter().map(|(row, _)| text(row)).filter(|row| row.starts_with('m')).collect();
        let last = rows.last().map(|(row, _)| text(row)).unwrap_or_default();
        let mut parts = last.split(':').skip(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole")]
        let clock = rows.last().map_or(0, |(_, at)| *at as u64).min(1 << 53);
        let incarnation = parts.next().filter(|name| name.len() == 32).unwrap_or("0").to_owned();
        let latest = parts.next().and_then(|latest| latest.parse().ok()).unwrap_or(0);
        Self { incarnation, clock, latest, marks }
    }
}

pub(crate) fn step(twins: &mut Twins, rng: &mut Rng) {
    match rng.u32(0..300) {
        0..=2 => {
            let troubles = [Trouble::None, Trouble::Full, Trouble::LacksReplicas, Trouble::ReadOnly];
            twins.set(troubles[rng.usize(0..4)]);
        }
        3..=8 => twins.compare_data(),
        9..=11 => damage(twins, rng),
        12..=60 => by_hand(twins, rng),
        61..=62 => {
            twins.ask(&words("SCRIPT FLUSH"));
        }
        _ => script(twins, rng),
    }
    if rng.u32(0..4) == 0 {
        pass_time(twins, rng);
    }
}

/// Mostly ahead, and sometimes back.
fn pass_time(twins: &mut Twins, rng: &mut Rng) {
    let seconds = twins.simulated.call(0, &words("GET test:seconds"));
    let seconds: u64 = redis::from_redis_value(seconds).unwrap_or(1_800_000_000);
    let seconds = if rng.u32(0..20) == 0 { seconds - rng.u64(0..1_000) } else { seconds + rng.u64(0..3) };
    twins.ask(&words(&format!("SET test:seconds {seconds}")));
    twins.ask(&words(&format!("SET test:micros {}", rng.u32(0..1_000_000))));
}

fn damage(twins: &mut Twins, rng: &mut Rng) {
    let commands = [
        words("FLUSHALL"),
        words(&format!("DEL {TABLE}")),
        words(&format!("SET {TABLE} foreign")),
        words(&format!("ZADD {} 1 foreign", ENTRIES[0])),
        words(&format!("ZADD {TABLE} 9007199254740991 tforeign")),
        words(&format!("ZADD {TABLE} 1800000000000000.5 foreign 1 ~foreign")),
        words(&format!("ZREM {TABLE} !f")),
        words(&format!("SET {} short", ENTRIES[1])),
    ];
    twins.ask(&commands[rng.usize(0..commands.len())]);
    pass_time(twins, rng);
}

/// What is done without scripts.
fn by_hand(twins: &mut Twins, rng: &mut Rng) {
    let known = Known::of(twins);
    let (entry, lock) = (one(rng, &ENTRIES), one(rng, &LOCKS));
    let from = known.clock.saturating_sub(rng.u64(0..5_000_000));
    let commands = [
        format!("GET {entry}"),
        format!("GETRANGE {entry} 0 4095"),
        format!("SET {lock} {} NX PX 90000000", rng.u32(1..4)),
        format!("GET {lock}"),
        format!("UNLINK {entry}"),
        format!("ZRANGEBYSCORE {TABLE} {from} +inf WITHSCORES LIMIT 0 {}", rng.u32(1..50)),
        format!("ZRANGEBYSCORE {TABLE} 0 +inf WITHSCORES LIMIT 0 1000"),
    ];
    twins.ask(&words(&commands[rng.usize(0..commands.len())]));
}

fn script(twins: &mut Twins, rng: &mut Rng) {
    let known = Known::of(twins);
    let entry = one(rng, &ENTRIES);
    let (table, with_entry) = (vec![TABLE, BELL], vec![TABLE, BELL, entry]);
    let (text, keys, arguments) = match rng.u32(0..12) {
        0 => (script!(begin + "hello.lua"), table, hello(rng, &known)),
        1 => (script!(begin + "invalidate.lua"), table, invalidate(rng, &known)),
        2 => (script!(begin + "change.lua"), table, change(rng, &known)),
        3 => (CHECK, table, vec![incarnation(rng, &known), rng.u32(0..3000).to_string()]),
        4 => (script!(begin + "clear.lua"), table, vec![incarnation(rng, &known)]),
        5 => (script!(begin + "due.lua"), table, due(rng, &known)),
        6 => (script!(begin + "tidy.lua"), table, tidy(rng, &known)),
        7 => {
            let arguments = vec![incarnation(rng, &known), format!("k{entry}"), "17".to_owned()];
            (script!(begin + "delete.lua"), with_entry, arguments)
        }
        8 => (script!("unlock.lua"), vec![one(rng, &LOCKS), BELL], vec![rng.u32(1..4).to_string()]),
        9 => {
            // Not a life that was given before: with the same one there is something to write as soon as a
            // millisecond has passed, which may be so for one server only; and where nothing may be written, that
            // one refuses.
            let lives = ENTRIES.iter().map(|_| rng.u32(1..360_000_000).to_string());
            (script!("extend.lua"), ENTRIES.to_vec(), lives.collect())
        }
        10 if rng.bool() => {
            let numbers = ENTRIES.iter().map(|entry| number(twins, entry)).collect();
            (script!("remove.lua"), ENTRIES.to_vec(), numbers)
        }
        _ => {
            let arguments = put(rng, &known, &number(twins, entry), entry);
            (script!(begin + "put.lua"), vec![TABLE, BELL, entry, one(rng, &LOCKS)], arguments)
        }
    };
    let text = with_set_time(text);
    let run = |name: &str, script: &str| {
        let mut command = vec![name.into(), script.as_bytes().to_vec(), keys.len().to_string().into_bytes()];
        command.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
        command.extend(arguments.iter().map(|argument| argument.as_bytes().to_vec()));
        command
    };
    let reply = twins.ask(&run("EVALSHA", redis::Script::new(&text).get_hash()));
    if matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT") {
        twins.ask(&run("EVAL", &text));
    }
}

fn hello(rng: &mut Rng, known: &Known) -> Vec<String> {
    let clock = [0, known.clock, known.clock, known.clock + 1_000][rng.usize(0..4)];
    let latest = [0, known.latest, known.latest, known.latest + 1_000][rng.usize(0..4)];
    let given_up = if rng.u32(0..5) == 0 { known.incarnation.clone() } else { String::new() };
    let new = format!("{:032x}", rng.u128(..));
    let mut arguments = vec![incarnation(rng, known), clock.to_string(), latest.to_string(), new, given_up];
    arguments.extend(some(rng, 3, |rng| mark(rng, known)));
    arguments
}

fn invalidate(rng: &mut Rng, known: &Known) -> Vec<String> {
    let removed = some(rng, 2, |rng| mark(rng, known));
    let mut arguments = vec![incarnation(rng, known), removed.len().to_string()];
    arguments.extend(removed);
    // Sometimes more than are told, and more than are added at once.
    let most = if rng.u32(0..30) == 0 { 2_500 } else { 3 };
    let tag =
        |rng: &mut Rng| if most > 3 { format!("tmany:{}", rng.u32(..)) } else { one(rng, &TAGS).to_owned() };
    arguments.extend(some(rng, most, tag));
    arguments
}

fn change(rng: &mut Rng, known: &Known) -> Vec<String> {
    let id = format!("{:016x}", rng.u64(..));
    let timeout = one(rng, &["0", "1000000", "30000000", "9007199254740992"]).to_owned();
    vec![incarnation(rng, known), id, timeout, one(rng, &["1:a", "1:b3:b:c", ""]).to_owned()]
}

fn due(rng: &mut Rng, known: &Known) -> Vec<String> {
    let mark = mark(rng, known);
    let deadline = mark.get(17..33).unwrap_or("0");
    let deadline = one(rng, &["0", deadline, deadline]).to_owned();
    let settled = format!("s{}", mark.get(1..17).unwrap_or_default());
    vec![incarnation(rng, known), mark, deadline, one(rng, &TAGS).to_owned(), settled]
}

fn tidy(rng: &mut Rng, known: &Known) -> Vec<String> {
    let age = one(rng, &["0", "1000000", "10000000", "100000000"]).to_owned();
    vec![incarnation(rng, known), age, one(rng, &["1", "5", "500"]).to_owned(), rng.u32(0..3).to_string()]
}

fn put(rng: &mut Rng, known: &Known, number: &str, entry: &str) -> Vec<String> {
    let ago = [0, 0, 0, 1_000_000, 5_000_000][rng.usize(0..5)];
    let as_of = known.clock.saturating_sub(ago).to_string();
    let expected = one(rng, &["", number, number, "0000000000000007"]).to_owned();
    let token = one(rng, &["", "1", "2"]).to_owned();
    let live = one(rng, &["90000000", "180000000", "9000000000000000"]).to_owned();
    let flags = one(rng, &["00", "01", "10", "11"]).to_owned();
    let row = format!("k{entry}");
    let bytes = format!("\0{}", rng.u32(..));
    let mut arguments =
        vec![incarnation(rng, known), as_of, expected, live, token, row, bytes, "17".to_owned(), flags];
    let most = if rng.u32(0..50) == 0 { 2_100 } else { 4 };
    arguments.extend(some(rng, most, |rng| one(rng, &TAGS).to_owned()));
    arguments
}

/// What the table says; now and then what it does not.
fn incarnation(rng: &mut Rng, known: &Known) -> String {
    if rng.u32(0..15) == 0 { "0".repeat(32) } else { known.incarnation.clone() }
}

fn mark(rng: &mut Rng, known: &Known) -> String {
    match rng.choice(&known.marks) {
        Some(mark) if rng.u32(0..5) > 0 => mark.clone(),
        _ => format!("m{:016x}{:016}{:016}1:a", rng.u64(0..9), 1_800_000_000_000_000_u64, 30_000_000),
    }
}

fn number(twins: &mut Twins, entry: &str) -> String {
    let number = twins.simulated.call(0, &words(&format!("GETRANGE {entry} 0 15")));
    redis::from_redis_value(number).unwrap_or_default()
}

fn some(rng: &mut Rng, most: usize, make: impl Fn(&mut Rng) -> String) -> Vec<String> {
    (0..rng.usize(0..=most)).map(|_| make(rng)).collect()
}

fn one<'a>(rng: &mut Rng, texts: &[&'a str]) -> &'a str {
    texts[rng.usize(0..texts.len())]
}

/// The scripts as they are, with the time of the server.
pub(crate) fn check_by_the_clock(twins: &mut Twins) {
    let incarnation = "0123456789abcdef0123456789abcdef";
    let eval = |script: &str, arguments: &[&str]| {
        let mut command = vec![b"EVAL".to_vec(), whole(script).into_bytes()];
        command.extend(words(&format!("2 {TABLE} {BELL}")));
        command.extend(arguments.iter().map(|argument| argument.as_bytes().to_vec()));
        command
    };
    let both = [
        twins.ask_both(&eval(script!(begin + "hello.lua"), &["0", "0", "0", incarnation, ""])),
        twins.ask_both(&eval(CHECK, &[incarnation, "0"])),
    ];
    for (real, simulated) in both {
        let [real, simulated]: [Vec<String>; 2] =
            [real, simulated].map(|reply| redis::from_redis_value(reply).expect("texts"));
        assert_eq!(real[0], simulated[0]);
        let [real, simulated]: [u64; 2] = [real, simulated].map(|texts| texts[1].parse().expect("a time"));
        assert!(real.abs_diff(simulated) < NEAR_US, "{real} {simulated}");
    }
}
