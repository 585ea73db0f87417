//! Two servers, one real and one simulated, that are to answer the same.

use redis::{ConnectionLike, Value, pack_command};
use zoocache_simulated_redis::Server;

use crate::real;

/// Lives that differ by no more are the same: the real server's time goes on.
const NEAR_MS: u64 = 60_000;

pub(crate) struct Twins {
    connection: redis::Connection,
    ear: redis::Connection,
    pub(crate) simulated: Server,
    seed: u64,
    steps: usize,
    is_promoted: bool,
}

/// What can be wrong with a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    None,
    Full,
    LacksReplicas,
    ReadOnly,
}

impl Twins {
    pub(crate) fn new(server: &real::Server, seed: u64) -> Self {
        let mut ear = server.ear();
        let heard = redis::cmd("PSUBSCRIBE").arg("*").query::<Value>(&mut ear);
        heard.expect("everybody may listen");
        let mut twins = Self {
            connection: server.connect(),
            ear,
            simulated: Server::new(""),
            seed,
            steps: 0,
            is_promoted: false,
        };
        twins.real(&words("FLUSHALL"));
        twins.begin_again();
        twins
    }

    pub(crate) fn real(&mut self, command: &[Vec<u8>]) -> Value {
        self.connection.req_packed_command(&pack_command(command)).expect("the server answers")
    }

    pub(crate) fn now_us(&mut self) -> u64 {
        let time: (u64, u64) = redis::from_redis_value(self.real(&words("TIME"))).expect("a time");
        time.0 * 1_000_000 + time.1
    }

    /// What both answer to a command; fails if that differs.
    pub(crate) fn ask(&mut self, command: &[Vec<u8>]) -> Value {
        let (real, simulated) = self.ask_both(command);
        self.compare(command, &real, &simulated);
        simulated
    }

    /// What each of them answers.
    pub(crate) fn ask_both(&mut self, command: &[Vec<u8>]) -> (Value, Value) {
        self.steps += 1;
        let now_us = self.now_us();
        (self.real(command), self.simulated.call(now_us, command))
    }

    fn compare(&self, command: &[Vec<u8>], real: &Value, simulated: &Value) {
        let shown: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let (seed, step) = (self.seed, self.steps);
        let (real, simulated) = (comparable(command, real), comparable(command, simulated));
        // That of the real server goes on meanwhile.
        let tells_life = command.iter().any(|word| word.eq_ignore_ascii_case(b"PTTL"));
        let is_same =
            format!("{real:?}") == format!("{simulated:?}") || tells_life && is_near(&real, &simulated);
        assert!(is_same, "seed {seed}, step {step}: {shown:?}\nreal      {real:?}\nsimulated {simulated:?}");
    }

    /// The keys that a walk comes by, in any order.
    pub(crate) fn walk(&mut self, pattern: &str, count: u32) -> Vec<Vec<u8>> {
        let mut found = [Vec::new(), Vec::new()];
        let now_us = self.now_us();
        for (place, found) in found.iter_mut().enumerate() {
            let mut from = String::from("0");
            loop {
                let step = words(&format!("SCAN {from} MATCH {pattern} COUNT {count}"));
                let reply = if place == 0 { self.real(&step) } else { self.simulated.call(now_us, &step) };
                let (next, names): (String, Vec<Vec<u8>>) = redis::from_redis_value(reply).expect("keys");
                found.extend(names);
                from = next;
                if from == "0" {
                    break;
                }
            }
            found.sort();
            // A real server may come by a key twice.
            found.dedup();
        }
        let [real, simulated] = found;
        assert_eq!(real, simulated, "seed {}, step {}", self.seed, self.steps);
        real
    }

    /// Everything that is stored, and everything that was published.
    pub(crate) fn compare_data(&mut self) {
        for key in self.walk("*", 3) {
            for command in [&["TYPE"][..], &["PTTL"], &["GET"], &["ZCARD"]] {
                self.ask(&[command[0].as_bytes().to_vec(), key.clone()]);
            }
            let mut range = words("ZRANGE k 0 -1 WITHSCORES");
            range[1] = key;
            self.ask(&range);
        }
        self.ask(&words("DBSIZE"));
        self.ask(&words("PUBLISH end end"));
        let mut heard = Vec::new();
        while heard.last() != Some(&(b"end".to_vec(), b"end".to_vec())) {
            let message = self.ear.recv_response().expect("what was published");
            let message: (String, String, Vec<u8>, Vec<u8>) =
                redis::from_redis_value(message).expect("a message");
            heard.push((message.2, message.3));
        }
        assert_eq!(heard, self.simulated.take_published(), "seed {}, step {}", self.seed, self.steps);
    }

    pub(crate) fn heal(&mut self) {
        self.set(Trouble::None);
    }

    pub(crate) fn set(&mut self, trouble: Trouble) {
        let is = |wanted: &str| format!("{trouble:?}") == wanted;
        let one_if = |is| if is { '1' } else { '0' };
        self.real(&words(&format!("CONFIG SET maxmemory {}", one_if(is("Full")))));
        self.real(&words(&format!("CONFIG SET min-replicas-to-write {}", one_if(is("LacksReplicas")))));
        self.simulated.set_full(is("Full"));
        self.simulated.set_lacks_replicas(is("LacksReplicas"));
        if is("ReadOnly") {
            // Of a server that is not there.
            self.real(&words("REPLICAOF localhost 1"));
            self.simulated.set_read_only(true);
            self.is_promoted = true;
        } else if self.is_promoted {
            self.real(&words("REPLICAOF NO ONE"));
            self.simulated.set_read_only(false);
            self.is_promoted = false;
            self.begin_again();
        }
    }

    /// As a new process, with the data there is.
    fn begin_again(&mut self) {
        self.real(&words("SCRIPT FLUSH"));
        let info: String = redis::from_redis_value(self.real(&words("INFO replication"))).expect("a text");
        let replid = info.lines().find_map(|line| line.strip_prefix("master_replid:")).expect("an id");
        let data = self.simulated.data();
        self.simulated.restart(data, replid);
    }
}

fn is_near(real: &Value, simulated: &Value) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    match (real, simulated) {
        (Value::Int(real), Value::Int(simulated)) => real.abs_diff(*simulated) <= NEAR_MS,
        (Value::BulkString(real), Value::BulkString(simulated)) => match (number(real), number(simulated)) {
            (Some(real), Some(simulated)) => is_near(&Value::Int(real), &Value::Int(simulated)),
            _ => real == simulated,
        },
        (Value::Array(real), Value::Array(simulated)) => {
            real.len() == simulated.len()
                && real.iter().zip(simulated).all(|(one, other)| is_near(one, other))
        }
        (real, simulated) => real == simulated,
    }
}

/// A reply without what may differ: who hears, the order of keys, and most of what the server says of itself.
fn comparable(command: &[Vec<u8>], reply: &Value) -> Value {
    let is = |name: &str| command[0].eq_ignore_ascii_case(name.as_bytes());
    match reply {
        Value::Int(_) if is("PUBLISH") => Value::Nil,
        Value::Array(names) if is("KEYS") => {
            let mut names = names.clone();
            names.sort_by_key(|name| format!("{name:?}"));
            Value::Array(names)
        }
        Value::VerbatimString { text, format } => {
            let is_told = |line: &&str| ["role:", "master_replid:"].iter().any(|what| line.starts_with(what));
            let text = text.lines().filter(is_told).collect::<Vec<_>>().join("\n");
            Value::VerbatimString { text, format: format.clone() }
        }
        reply => reply.clone(),
    }
}

pub(crate) fn words(command: &str) -> Vec<Vec<u8>> {
    command.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}
