//! Servers that die, and come back with less than they knew.

use std::time::Duration;

use fastrand::Rng;

use super::{Ground, Outcome, now_ns, run_id, some_nodes, with_blind_nodes};
use crate::NODES;
use crate::server::{Persistence, replicate};
use crate::wait_until;

/// Kills the server, and notes that nobody reached it for a while.
fn crash(ground: &mut Ground, rng: &mut Rng) {
    ground.server.kill();
    let from_ns = now_ns();
    Ground::wait_alone(Duration::from_millis(rng.u64(30..900)));
    ground.was_closed(None, from_ns);
}

pub(super) fn crash_empty(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let (from_ns, before) = (now_ns(), run_id(&ground.server));
    let seed = rng.u64(..);
    with_blind_nodes(ground, rng, |ground| crash(ground, &mut Rng::with_seed(seed)));
    ground.server.lose_disk();
    ground.server.start_again(Persistence::Nothing);
    ground.lost(from_ns);
    Outcome::bit_if(run_id(&ground.server) != before, "the server is the same one")
}

pub(super) fn crash_with_aof(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let (from_ns, before) = (now_ns(), run_id(&ground.server));
    let () = ground.server.ask(&["CONFIG", "SET", "appendfsync", "always"]);
    let () = ground.server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    let is_written = || {
        let server = &ground.server;
        server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0"
    };
    assert!(wait_until(Duration::from_secs(20), is_written), "the AOF is not written");
    ground.wait_ms(rng, 100..400);
    let had: u64 = ground.server.ask(&["DBSIZE"]);
    crash(ground, rng);
    ground.server.start_again(Persistence::Aof);
    let has: u64 = ground.server.ask(&["DBSIZE"]);
    ground.lost(from_ns);
    let () = ground.server.ask(&["CONFIG", "SET", "appendonly", "no"]);
    ground.server.lose_disk();
    let bit = run_id(&ground.server) != before && had > 0 && has > 0;
    Outcome::bit_if(bit, "nothing came back with the server")
}

/// Loads what is `saved` after more has been written and some nodes have died.
fn roll_back(ground: &mut Ground, rng: &mut Rng, all_nodes_are_new: bool) -> Outcome {
    let from_ns = now_ns();
    let () = ground.server.ask(&["SAVE"]);
    let before = super::table::clock(&ground.server);
    ground.wait_ms(rng, 200..600);
    let since = super::table::clock(&ground.server);
    if all_nodes_are_new {
        // Nobody is left who has seen more than was saved.
        ground.kill(&(0..NODES).collect::<Vec<_>>());
        crash(ground, rng);
    } else {
        let seed = rng.u64(..);
        with_blind_nodes(ground, rng, |ground| crash(ground, &mut Rng::with_seed(seed)));
    }
    ground.server.start_again(Persistence::Rdb);
    ground.lost(from_ns);
    ground.server.lose_disk();
    Outcome::bit_if(before.is_some() && since > before, "nothing was written after it was saved")
}

pub(super) fn crash_with_old_rdb(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    roll_back(ground, rng, false)
}

pub(super) fn crash_with_old_rdb_and_new_nodes(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    roll_back(ground, rng, true)
}

/// A replica that stopped following takes over.
fn promote(ground: &mut Ground, rng: &mut Rng, new_nodes: &[usize]) -> Outcome {
    let from_ns = now_ns();
    let second = ground.another_server();
    replicate(&ground.server, &second);
    let () = second.ask(&["REPLICAOF", "NO", "ONE"]);
    let before = super::table::clock(&second);
    ground.wait_ms(rng, 150..500);
    let since = super::table::clock(&ground.server);
    ground.kill(new_nodes);
    crash(ground, rng);
    ground.fail_over_to(second);
    ground.lost(from_ns);
    Outcome::bit_if(before.is_some() && since > before, "no writes were lost")
}

pub(super) fn fail_over(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let new_nodes = if rng.bool() { some_nodes(rng) } else { Vec::new() };
    promote(ground, rng, &new_nodes)
}

pub(super) fn fail_over_with_new_nodes(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    promote(ground, rng, &(0..NODES).collect::<Vec<_>>())
}

/// The same process, with the same id and the same connections, knows less than before. Nobody but those who knew
/// more can see that; they must tell the others.
pub(super) fn reload_old(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let from_ns = now_ns();
    let () = ground.server.ask(&["SAVE"]);
    let before = super::table::clock(&ground.server);
    ground.wait_ms(rng, 200..500);
    // One that asks at every read stays and sees it; some of the others come anew, and know nothing.
    let mut new = some_nodes(rng);
    new.retain(|place| *place > 1);
    ground.kill(&new);
    let since = super::table::clock(&ground.server);
    let () = ground.server.ask(&["DEBUG", "RELOAD", "NOSAVE"]);
    Ground::wait_alone(Duration::from_millis(150));
    ground.lost(from_ns);
    ground.server.lose_disk();
    Outcome::bit_if(before.is_some() && since > before, "nothing was written after it was saved")
}
