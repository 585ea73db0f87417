//! Servers that are slow, forgetful of their clients, or wrong about the time, and keep what they store.

use fastrand::Rng;

use super::{Ground, Outcome, long, now_ns};
use crate::journal::Span;

pub(super) fn stopped(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    ground.server.stop();
    let from_ns = now_ns();
    Ground::wait_alone(long(rng));
    ground.was_closed(None, from_ns);
    ground.server.go_on();
    Outcome::Bit
}

pub(super) fn sleeping(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let time = long(rng);
    let from_ns = now_ns();
    let () = ground.server.ask(&["DEBUG", "SLEEP", &format!("{:.3}", time.as_secs_f64())]);
    // It began after we said so, and ended before it said so.
    let (ended_ns, time_ns) = (now_ns(), crate::nanos(time));
    let span = Span { from_ns: ended_ns - time_ns, to_ns: from_ns + time_ns };
    ground.journal.closed.push((None, span));
    Outcome::Bit
}

fn kill_clients(ground: &mut Ground, rng: &mut Rng, whom: [&str; 2]) -> Outcome {
    let mut killed = 0;
    for _ in 0..rng.u32(8..20) {
        killed += ground.server.ask::<u64>(&["CLIENT", "KILL", whom[0], whom[1]]);
        ground.wait_ms(rng, 5..80);
    }
    Outcome::bit_if(killed > 0, "there were no such clients")
}

/// All but those that listen, and then those, too: who does both on one connection is no `normal` client.
pub(super) fn kill_normal(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let _: u64 = ground.server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    kill_clients(ground, rng, ["USER", "default"])
}

pub(super) fn kill_pubsub(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    kill_clients(ground, rng, ["TYPE", "pubsub"])
}

pub(super) fn flush_scripts(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    for _ in 0..rng.u32(2..6) {
        let () = ground.server.ask(&["SCRIPT", "FLUSH", "SYNC"]);
        let () = ground.server.ask(&["FUNCTION", "FLUSH", "SYNC"]);
        ground.wait_ms(rng, 20..150);
    }
    Outcome::Bit
}

/// Shifts the clock to each of `shifts` in turn, in milliseconds.
fn shift_clock(ground: &mut Ground, rng: &mut Rng, shifts: &[i64]) -> Outcome {
    let time = |ground: &Ground| ground.server.ask::<(i64, i64)>(&["TIME"]).0;
    let (mut before, mut jumps) = (time(ground), 0);
    for shift in shifts {
        if !ground.server.shift_clock(shift * 1_000) {
            return Outcome::Impossible("it needs a C compiler");
        }
        let after = time(ground);
        jumps += usize::from((after - before).abs() > 5);
        before = after;
        ground.wait_ms(rng, 200..500);
    }
    Outcome::bit_if(jumps > 0, "the clock did not move")
}

pub(super) fn clock_back(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let back = -rng.i64(10_000..600_000);
    shift_clock(ground, rng, &[back, back / 2, back, 0])
}

pub(super) fn clock_forth(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let forth = rng.i64(10_000..120_000);
    shift_clock(ground, rng, &[forth, forth - 6_000, 0])
}

/// Nothing is evicted, and nothing can be written.
pub(super) fn out_of_memory(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let before: u64 = ground.server.info("total_error_replies").parse().unwrap_or(0);
    let () = ground.server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let () = ground.server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    ground.wait_ms(rng, 200..900);
    let () = ground.server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let after: u64 = ground.server.info("total_error_replies").parse().unwrap_or(0);
    Outcome::bit_if(after > before, "nobody wrote")
}
