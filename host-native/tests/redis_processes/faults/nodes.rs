//! Nodes that die or sleep.

use fastrand::Rng;

use super::{Ground, Outcome, long, some_nodes};

pub(super) fn kill_or_stop(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    ground.kill(&some_nodes(rng));
    ground.start_dead();
    ground.wait_ms(rng, 100..300);
    let (asleep, time) = (some_nodes(rng), long(rng));
    ground.while_stopped(&asleep, |_| Ground::wait_alone(time));
    Outcome::Bit
}
