//! A server that lives on and loses the table of the domain, or parts of it.

use std::time::Duration;

use fastrand::Rng;

use super::{Ground, Outcome, now_ns, some_nodes, with_blind_nodes};
use crate::PREFIX;
use crate::server::Server;

/// The key of the table.
fn key() -> String {
    format!("{{{PREFIX}}}:V")
}

/// The member that is the clock, and its score.
fn clock_row(server: &Server) -> Option<(String, u64)> {
    let last: Vec<(String, f64)> = server.query(&["ZRANGE", &key(), "0", "0", "REV", "WITHSCORES"]).ok()?;
    let (member, score) = last.into_iter().next()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions are whole and below 2^53"
    )]
    member.starts_with("~c:").then_some((member, score as u64))
}

/// The incarnation of the domain, while there is one.
pub(super) fn domain(server: &Server) -> Option<String> {
    let (member, _) = clock_row(server)?;
    member.split(':').nth(1).map(str::to_owned)
}

/// How far the domain is, while there is one.
pub(super) fn clock(server: &Server) -> Option<u64> {
    clock_row(server).map(|(_, clock)| clock)
}

/// Lets the table get lost while some nodes are blind.
fn lose(ground: &mut Ground, rng: &mut Rng, how: impl FnOnce(&mut Ground)) -> Outcome {
    let from_ns = now_ns();
    let before = domain(&ground.server);
    with_blind_nodes(ground, rng, how);
    ground.lost(from_ns);
    let is_renewed = || domain(&ground.server).is_some_and(|now| Some(now) != before);
    let renewed = crate::wait_until(Duration::from_secs(5), is_renewed);
    Outcome::bit_if(before.is_some() && renewed, "no new domain was begun")
}

pub(super) fn flush(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    lose(ground, rng, |ground| ground.server.ask(&["FLUSHALL"]))
}

/// The entries stay.
pub(super) fn delete(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    lose(ground, rng, |ground| ground.server.ask(&["DEL", &key()]))
}

/// Everything is evicted while it lasts, the table too.
pub(super) fn evict(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let from_ns = now_ns();
    let evicted = |ground: &Ground| ground.server.info("evicted_keys");
    let before = evicted(ground);
    let outcome = lose(ground, rng, |ground| {
        let () = ground.server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let () = ground.server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        let is_gone = || domain(&ground.server).is_none();
        crate::wait_until(Duration::from_secs(5), is_gone);
        let () = ground.server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        let () = ground.server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    });
    ground.journal.evictions.push(crate::journal::Span::since(from_ns));
    if evicted(ground) == before { Outcome::Missed("nothing was evicted") } else { outcome }
}

/// Something else stands where the table stood.
pub(super) fn replace(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    lose(ground, rng, |ground| ground.server.ask(&["SET", &key(), "not yours"]))
}

/// Somebody writes into everything: entries lose bytes or become lists, the table gets rows that say nothing at
/// positions that are none, and what is told makes no sense.
pub(super) fn damage(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let from_ns = now_ns();
    let (mut damaged, bell) = (0, format!("{{{PREFIX}}}:bell"));
    for _ in 0..rng.u32(5..15) {
        let entries: Vec<String> = ground.server.ask(&["KEYS", &format!("{PREFIX}:e:*")]);
        for entry in entries {
            let at = rng.u32(..150).to_string();
            let become_list = "redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], 'a')";
            let words: &[&str] = match rng.u8(..5) {
                0 => &["SETRANGE", &entry, &at, "?"],
                1 => &["SET", &entry, "0000000000000000 not yours"],
                2 => &["EVAL", become_list, "1", &entry],
                _ => continue,
            };
            // What is a list already has no bytes.
            damaged += u32::from(ground.server.query::<redis::Value>(words).is_ok());
        }
        if clock(&ground.server).is_some() {
            let (position, row) = (format!("{}.5", rng.u32(..9_999)), format!("t::{}", rng.u8(..)));
            let () = ground.server.ask(&["ZADD", &key(), &position, &row]);
        }
        for told in ["", "i ", "i 0 0 0 0 ", "i 00000000000000000000000000000000 0 1 2 9:t", "u", "n x"] {
            let () = ground.server.ask(&["PUBLISH", &bell, told]);
        }
        ground.wait_ms(rng, 20..100);
    }
    // So that some have to read the table from its beginning.
    ground.kill(&some_nodes(rng));
    ground.start_dead();
    // What cannot be read is as good as evicted.
    ground.journal.evictions.push(crate::journal::Span::since(from_ns));
    Outcome::bit_if(damaged > 0, "there was nothing to damage")
}

/// Rows that a node has not seen are forgotten while it sleeps.
pub(super) fn raise_floor(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let mut asleep = some_nodes(rng);
    asleep.truncate(3);
    asleep.retain(|place| *place > 0);
    let seed = rng.u64(..);
    let removed = ground.while_stopped(&asleep, |ground| {
        // What is published from here on they will not find when they wake up.
        for place in &asleep {
            ground.proxies[*place].cut();
        }
        let mut rng = Rng::with_seed(seed);
        Ground::wait_alone(Duration::from_millis(rng.u64(200..800)));
        forget(&ground.server)
    });
    Outcome::bit_if(removed > 0 && !asleep.is_empty(), "there was nothing to forget")
}

/// Raises the floor to just below the clock, as the nodes do it with what is too old, and removes the rows below.
fn forget(server: &Server) -> u64 {
    const FORGET: &str = "
        local V = KEYS[1]
        local last, old = 0, {}
        local rows = redis.call('ZRANGE', V, 0, -1, 'WITHSCORES')
        for place = 1, #rows, 2 do
            local kind, at = string.sub(rows[place], 1, 1), tonumber(rows[place + 1])
            if kind == 't' or kind == 'k' or kind == 's' then
                old[#old + 1] = rows[place]
                last = math.max(last, at)
            end
        end
        if #old > 0 then
            redis.call('ZADD', V, string.format('%.0f', last), '!f')
            redis.call('ZREM', V, unpack(old))
        end
        return #old";
    server.query(&["EVAL", FORGET, "1", &key()]).unwrap_or(0)
}
