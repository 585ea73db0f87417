//! What goes wrong.

use std::rc::Rc;

use crate::cluster::Cluster;

/// Lets something go wrong.
pub(crate) fn happen(cluster: &Rc<Cluster>) {
    let world = &cluster.world;
    cluster.judge.count(|counts| counts.faults += 1);
    let machine = usize::try_from(world.below(cluster.setup.processes as u64)).unwrap_or(0);
    match world.below(3) {
        0 => {
            if cluster.kill(machine) {
                world.pause(world.below(1_000_000));
                cluster.start(machine);
            }
        }
        1 => {
            let place = cluster.processes.borrow()[machine].as_ref().map(|process| process.place);
            if let Some(place) = place {
                let for_ns = world.below(200_000_000);
                cluster.judge.tell(|| format!("process {place} stands still for {} ms", for_ns / 1_000_000));
                world.stop(place, for_ns);
            }
        }
        _ => {
            let by_us = i64::try_from(world.below(240_000_001)).unwrap_or(0) - 120_000_000;
            cluster.judge.tell(|| format!("the clock of machine {machine} is set by {} ms", by_us / 1_000));
            cluster.jump(machine, by_us);
        }
    }
}
