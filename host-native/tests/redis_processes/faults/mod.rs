//! What happens to Redis, to the network and to nodes.

mod disks;
mod network;
mod nodes;
mod servers;
mod table;

use std::time::Duration;

use fastrand::Rng;

use super::ground::Ground;
use super::journal::Span;
use super::server::Server;
use super::truth::now_ns;
use super::{MAX_STALENESS, NODES};

/// Whether it met what it was to hurt. Only then was it injected.
pub(crate) enum Outcome {
    Bit,
    /// By chance there was nothing to hurt.
    Missed(&'static str),
    /// It cannot be done on this machine.
    Impossible(&'static str),
}

impl Outcome {
    fn bit_if(bit: bool, otherwise: &'static str) -> Self {
        if bit { Self::Bit } else { Self::Missed(otherwise) }
    }
}

/// One kind of fault.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    inject: fn(&mut Ground, &mut Rng) -> Outcome,
}

/// All kinds.
pub(crate) const FAULTS: [Fault; 31] = [
    Fault { name: "crash, empty restart", inject: disks::crash_empty },
    Fault { name: "crash, restart from AOF", inject: disks::crash_with_aof },
    Fault { name: "crash, restart from an old RDB", inject: disks::crash_with_old_rdb },
    Fault {
        name: "crash, restart from an old RDB, new nodes",
        inject: disks::crash_with_old_rdb_and_new_nodes,
    },
    Fault { name: "failover that loses writes", inject: disks::fail_over },
    Fault { name: "failover that loses writes, new nodes", inject: disks::fail_over_with_new_nodes },
    Fault { name: "old RDB loaded by the same process", inject: disks::reload_old },
    Fault { name: "server stopped", inject: servers::stopped },
    Fault { name: "DEBUG SLEEP", inject: servers::sleeping },
    Fault { name: "CLIENT KILL normal", inject: servers::kill_normal },
    Fault { name: "CLIENT KILL pubsub", inject: servers::kill_pubsub },
    Fault { name: "scripts flushed", inject: servers::flush_scripts },
    Fault { name: "server clock set back", inject: servers::clock_back },
    Fault { name: "server clock set forth and back", inject: servers::clock_forth },
    Fault { name: "memory full, nothing evicted", inject: servers::out_of_memory },
    Fault { name: "FLUSHALL", inject: table::flush },
    Fault { name: "table deleted", inject: table::delete },
    Fault { name: "memory full, all evicted", inject: table::evict },
    Fault { name: "table replaced by something else", inject: table::replace },
    Fault { name: "entries, rows and messages damaged", inject: table::damage },
    Fault { name: "floor raised past a sleeping node", inject: table::raise_floor },
    Fault { name: "nothing gets through", inject: network::hold },
    Fault { name: "connections reset", inject: network::cut },
    Fault { name: "connections half closed", inject: network::half_close },
    Fault { name: "replies swallowed", inject: network::swallow },
    Fault { name: "connections refused", inject: network::refuse },
    Fault { name: "growing delays", inject: network::delay },
    Fault { name: "late replies, then none", inject: network::delay_then_hold },
    Fault { name: "messages lost", inject: network::mute },
    Fault { name: "network namespace cut off", inject: network::cut_namespace },
    Fault { name: "nodes killed or stopped", inject: nodes::kill_or_stop },
];

impl Fault {
    pub(crate) fn named(name: &str) -> Self {
        let fault = FAULTS.into_iter().find(|fault| fault.name == name);
        fault.unwrap_or_else(|| panic!("no fault has the name {name:?}"))
    }

    /// Injects it, ends it, and lets everybody come to. Says whether it bit.
    pub(crate) fn happen(&self, ground: &mut Ground, rng: &mut Rng) -> bool {
        ground.wait_ms(rng, 150..500);
        let from_ns = now_ns();
        let outcome = (self.inject)(ground, rng);
        ground.clear_up();
        ground.start_dead();
        ground.journal.faults.push((self.name, Span::since(from_ns)));
        ground.wait_ms(rng, 300..700);
        if let Some(domain) = table::domain(&ground.server) {
            ground.journal.see_domain(domain);
        }
        match outcome {
            Outcome::Bit => true,
            Outcome::Missed(why) => {
                println!("{}: {why}", self.name);
                false
            }
            Outcome::Impossible(why) => {
                let skipped = format!("{}: not run, {why}", self.name);
                if !ground.journal.skipped.contains(&skipped) {
                    ground.journal.skipped.push(skipped);
                }
                true
            }
        }
    }
}

/// One node, some, or all.
fn some_nodes(rng: &mut Rng) -> Vec<usize> {
    let mut places: Vec<usize> = (0..NODES).collect();
    rng.shuffle(&mut places);
    places.truncate([1, 2, NODES][rng.usize(..3)]);
    places
}

/// Longer than near caches may do without news.
fn long(rng: &mut Rng) -> Duration {
    MAX_STALENESS + Duration::from_millis(rng.u64(300..900))
}

/// How nodes are kept from hearing of what others invalidate.
#[derive(Debug, Clone, Copy)]
enum Blindness {
    /// Messages are lost; the rest gets through.
    Mute,
    /// Nothing gets through, and then all that was asked meanwhile, but no message. Nor does anything of the others
    /// for a moment: what was lost has not been noticed when they are all back.
    Held,
    /// Nothing gets through, and then they are cut off.
    Lost,
}

/// Does `meanwhile` while some nodes have not heard of the latest invalidations.
fn with_blind_nodes<T>(ground: &mut Ground, rng: &mut Rng, meanwhile: impl FnOnce(&mut Ground) -> T) -> T {
    let mut blind: Vec<usize> = (0..NODES).collect();
    rng.shuffle(&mut blind);
    blind.truncate(rng.usize(1..4));
    let how = [Blindness::Mute, Blindness::Held, Blindness::Held, Blindness::Lost][rng.usize(..4)];
    for place in &blind {
        ground.proxies[*place].change(|weather| {
            weather.mutes = true;
            weather.holds = !matches!(how, Blindness::Mute);
        });
    }
    // Whatever the weather: they are to miss something.
    let is_calm = ground.is_calm;
    ground.set_calm(false);
    ground.wait_ms(rng, 60..220);
    ground.set_calm(is_calm);
    if is_calm {
        // Then nobody writes or computes for a while, or they would soon notice: only what they ask tells them.
        ground.set_still();
        ground.wait_ms(rng, 60..140);
    }
    if matches!(how, Blindness::Held) {
        for proxy in &ground.proxies {
            proxy.change(|weather| weather.holds = true);
        }
        Ground::wait_alone(Duration::from_millis(15));
    }
    let done = meanwhile(ground);
    if matches!(how, Blindness::Lost) {
        for place in &blind {
            ground.proxies[*place].cut();
        }
    }
    for proxy in &ground.proxies {
        proxy.change(|weather| weather.holds = false);
    }
    ground.wait_ms(rng, 30..60);
    ground.clear_up();
    if is_calm {
        ground.wait(MAX_STALENESS + Duration::from_millis(200));
        ground.set_calm(true);
    }
    done
}

/// Which process a server is.
fn run_id(server: &Server) -> String {
    server.info("run_id")
}
