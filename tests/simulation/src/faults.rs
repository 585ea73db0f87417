//! What goes wrong.

use std::rc::Rc;

use crate::cluster::Cluster;
use crate::folder::{Doom, Point, Room, Trouble};
use crate::net::From;
use crate::setup::Ground;

/// Lets something go wrong, for a while or for ever.
pub(crate) fn happen(cluster: &Rc<Cluster>) {
    let (world, judge) = (&cluster.world, &cluster.judge);
    judge.count(|counts| counts.faults += 1);
    let machine = usize::try_from(world.below(cluster.setup.processes as u64)).unwrap_or(0);
    match cluster.setup.ground {
        Ground::Redis | Ground::Bus if !world.one_in(3) => return on_the_way(cluster, machine),
        Ground::Folder if !world.one_in(3) => return in_the_folder(cluster, machine),
        _ => {}
    }
    match world.below(3) {
        0 => {
            if cluster.kill(machine) {
                world.pause(world.below(1_000_000));
                cluster.start(machine);
            }
        }
        1 => {
            if let Some(place) = place(cluster, machine) {
                let for_ns = world.below(200_000_000);
                judge.tell(|| format!("process {place} stands still for {} ms", for_ns / 1_000_000));
                world.stop(place, for_ns);
            }
        }
        _ => {
            let by_us = some_time(cluster);
            judge.tell(|| format!("the clock of machine {machine} is set by {} ms", by_us / 1_000));
            cluster.jump(machine, by_us);
        }
    }
}

fn place(cluster: &Cluster, machine: usize) -> Option<usize> {
    cluster.processes.borrow()[machine].as_ref().map(|process| process.place)
}

fn some_time(cluster: &Cluster) -> i64 {
    i64::try_from(cluster.world.below(240_000_001)).unwrap_or(0) - 120_000_000
}

/// Something goes wrong with the network, or with the server.
fn on_the_way(cluster: &Rc<Cluster>, machine: usize) {
    let (world, judge, net) = (&cluster.world, &cluster.judge, &cluster.net);
    let for_ns = if world.one_in(3) { world.below(4_000_000_000) } else { world.below(100_000_000) };
    let ms = for_ns / 1_000_000;
    let from =
        [From::Now, From::Past, From::Past, From::Nothing][usize::try_from(world.below(4)).unwrap_or(0)];
    match world.below(15) {
        0 => {
            judge.tell(|| "all connections are closed".to_owned());
            net.cut_all(world, None);
        }
        1 | 2 => {
            let Some(place) = place(cluster, machine) else { return };
            judge.tell(|| format!("process {place} is cut off for {ms} ms"));
            net.cut_off(world, place, for_ns);
        }
        3 => {
            judge.tell(|| format!("the server stands still for {ms} ms"));
            net.stop(world, for_ns);
        }
        4..7 => {
            judge.tell(|| format!("the server is killed; in {ms} ms it begins again from {from:?}"));
            net.go_down(world);
            world.pause(for_ns);
            net.restart(world, from);
            judge.entries_may_be_lost();
            judge.tell(|| "the server begins again".to_owned());
        }
        7 => {
            judge.tell(|| format!("a replica takes over, with data from {from:?}"));
            net.restart(world, from);
            judge.entries_may_be_lost();
        }
        8 | 9 => {
            // With a clock that is behind, the positions that are lost are given once more, each of them: nobody who
            // slept meanwhile can tell.
            let from = if net.is_behind_itself() { From::Now } else { from };
            judge.tell(|| format!("the server has other data, from {from:?}"));
            net.replace(world, from);
            if from == From::Past {
                judge.told_may_be_lost();
            }
            judge.entries_may_be_lost();
        }
        10 => {
            let is_table = world.one_in(2);
            judge.tell(|| format!("the server evicts {}", if is_table { "the table" } else { "a key" }));
            net.evict(world, is_table);
            judge.entries_may_be_lost();
        }
        14 => {
            judge.tell(|| {
                "everything ends; the server's clock is set back, its table is lost, and all begin again"
                    .to_owned()
            });
            let up: Vec<_> = (0..cluster.setup.processes).filter(|machine| cluster.kill(*machine)).collect();
            net.machine.jump(-120_000_000);
            net.evict(world, true);
            judge.entries_may_be_lost();
            world.pause(world.below(1_000_000));
            for machine in up {
                cluster.start(machine);
            }
        }
        11 => {
            let by_us = some_time(cluster);
            judge.tell(|| format!("the server's clock is set by {} ms", by_us / 1_000));
            net.machine.jump(by_us);
            if by_us > 0 {
                judge.marks_may_have_ended(|_| true);
            }
        }
        12 => {
            judge.tell(|| format!("the server is full for {ms} ms"));
            net.set_full(true);
            world.pause(for_ns);
            net.set_full(false);
        }
        _ => {
            judge.tell(|| format!("the server takes no writes for {ms} ms"));
            let is_replica = world.one_in(2);
            if is_replica {
                net.set_read_only(true);
            } else {
                net.set_lacks_replicas(true);
            }
            world.pause(for_ns);
            net.set_read_only(false);
            net.set_lacks_replicas(false);
        }
    }
}

/// Something goes wrong with the folder, or with who writes to it.
fn in_the_folder(cluster: &Rc<Cluster>, machine: usize) {
    let (world, judge, folder) = (&cluster.world, &cluster.judge, &cluster.folder);
    let for_ns = world.below(20 * cluster.setup.think_ns.max(50_000));
    let room = if world.one_in(2) { Room::Tags } else { Room::Entries };
    match world.below(10) {
        0..5 => {
            let points = [Point::Begun, Point::Written, Point::Published, Point::Published, Point::Readable];
            let point = points[usize::try_from(world.below(5)).unwrap_or(0)];
            let doom = Doom { room, point, after: world.below(6) };
            judge.tell(|| format!("somebody will die: {doom:?}"));
            folder.set_doom(Some(doom));
        }
        5 => {
            judge.tell(|| "the machine is started anew".to_owned());
            all_again(cluster, |cluster| cluster.folder.boot(world));
        }
        6 => {
            judge.tell(|| "an earlier copy takes the folder's place".to_owned());
            all_again(cluster, |cluster| cluster.folder.restore(world));
        }
        kind => {
            let of = if world.one_in(2) { place(cluster, machine) } else { None };
            let room = if world.one_in(2) { Some(room) } else { None };
            let (fails_writes, one_in_reads) =
                if kind == 9 { (false, 1 + world.below(3)) } else { (true, 0) };
            let trouble = Trouble { of, room, fails_writes, one_in_reads };
            judge.stores_may_fail();
            judge.tell(|| format!("for {} us there is {trouble:?}", for_ns / 1_000));
            folder.set_trouble(trouble);
            world.pause(for_ns);
            folder.set_trouble(Trouble::default());
            judge.tell(|| "that is over".to_owned());
        }
    }
}

/// All processes end; then something happens; then they begin again.
fn all_again(cluster: &Rc<Cluster>, happens: impl FnOnce(&Rc<Cluster>)) {
    let all = 0..cluster.setup.processes;
    let killed: Vec<_> = all.filter(|machine| cluster.kill(*machine)).collect();
    happens(cluster);
    cluster.judge.entries_may_be_lost();
    cluster.world.pause(cluster.world.below(1_000_000));
    for machine in killed {
        cluster.start(machine);
    }
}
