//! Real nodes on a real Redis, both hurt in every way we know, against a small source of truth; then the recorded
//! history is checked against the promises.
//!
//! The source is a file of one version per tag. A value is the versions it was computed from. Every read,
//! invalidation, change, put and delete is recorded with the monotonic time of its beginning and end, which all
//! processes of a machine share. Six nodes of different kinds (`roles`) reach a redis-server of their own (`server`)
//! each through a proxy of its own (`proxy`), while one fault after another happens (`faults`). Checked are:
//!
//! - **P1** in nodes that ask Redis at every read, and **P5** in all: no read returns what an invalidation covers that
//!   had returned before the read began, to all or (also if it was queued) on the same node.
//! - **P1-delta** in near caches and on the bus: the same of invalidations that had returned `MAX_STALENESS` and the
//!   error of the measurement (`CLOCK_ERROR`) before the read began; and no hit once a node had not reached Redis
//!   for that long, whether anything was invalidated or not.
//! - **P2** among nodes that share entries, in near caches with the same delay, and without it in each process. Who
//!   deleted something is believed likewise. Excused is what was in memory when Redis evicted it or lost
//!   its bytes, since nothing is left then that a late put could be compared with.
//! - **P3** and **P8** after all faults: what was queued is applied everywhere, without a restart and within
//!   `RECOVERY`; and what is read twice is a hit.
//! - **P4** as P1 after restarts of servers and nodes. A change that its node never settled is promised only while its
//!   mark was not lost with the history of Redis: nobody can tell then that there was one.
//! - **P9**, and that no call takes longer than `TOO_LONG`: computations go on while Redis is away.
//!
//! A run is no proof when too little was met: every kind of fault must have hurt something.
//!
//! `ZOOCACHE_READS` (300 000), `ZOOCACHE_FAULTS` (one of each kind), `ZOOCACHE_SEED` (random) and `ZOOCACHE_KEEP`
//! (keeps the folder) set the run, `ZOOCACHE_FAULT` the only fault that happens in it, `ZOOCACHE_MIX` which
//! nodes take part. With `ZOOCACHE_MUTANTS=1` the
//! nodes do without one protection after the other (`mutants`), and each must be missed. The program starts itself
//! again for each node.

mod check;
mod control;
mod faults;
mod frames;
mod ground;
mod history;
mod journal;
mod mutants;
mod netns;
mod order;
mod promises;
mod proxy;
mod roles;
mod run;
mod server;
#[path = "../processes/truth.rs"]
mod truth;
mod verdict;
mod worker;

use std::sync::mpsc::channel;
use std::time::Duration;

use truth::now_ns;

const NODES: usize = 6;
const THREADS: usize = 2;
const TAGS: usize = 8;
/// Of these little is heard.
const QUIET: std::ops::Range<usize> = 4..TAGS;
/// Leaves of one tag, sums of two leaves, and one list of all tags. Beyond are those that one node each puts.
const KEYS: usize = 2 * TAGS + 1;
const PREFIX: &str = "zoo";
/// After which a change counts as made.
const CHANGE: Duration = Duration::from_millis(300);
const MAX_STALENESS: Duration = Duration::from_millis(500);
/// A cache may read a clock of the kernel's ticks, which are 10 ms apart at most and read in whole milliseconds. The
/// clock of the history is exact, and all that is compared was read before and after what it is to bound.
const CLOCK_ERROR: Duration = Duration::from_millis(12);
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever takes longer was waiting for nobody, or for one who is dead.
const TOO_LONG: Duration = Duration::from_secs(8);
/// Within which all is as before once Redis is back.
const RECOVERY: Duration = Duration::from_secs(3);

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("not so long")
}

fn pause(time: Duration) {
    let (_never, pause) = channel::<()>();
    let _ = pause.recv_timeout(time);
}

/// Whether it is so before the time is over.
fn wait_until(time: Duration, is_so: impl Fn() -> bool) -> bool {
    let until = now_ns() + nanos(time);
    loop {
        if is_so() {
            return true;
        }
        if now_ns() > until {
            return false;
        }
        pause(Duration::from_millis(2));
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "worker") {
        return worker::worker(&arguments[1..]);
    }
    server::Server::must_be_there();
    let seed = setting("ZOOCACHE_SEED", fastrand::u64(..1_000_000_007));
    if setting("ZOOCACHE_MUTANTS", 0) == 0 {
        run::run(seed);
    } else {
        mutants::all_are_found(seed);
    }
}
