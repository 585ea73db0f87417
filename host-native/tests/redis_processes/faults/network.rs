//! Connections that break, stall, lose or delay.

use std::time::Duration;

use fastrand::Rng;

use super::{Ground, Outcome, long, now_ns, some_nodes};
use crate::ground::APART;
use crate::proxy::{Done, Weather};

/// What went on when the weather was already bad may take so long to end.
const IN_FLIGHT_NS: u64 = 30_000_000;

/// Lets `weather` rule at some nodes for a while, and says whether `met` counts more than before.
fn rule(
    ground: &mut Ground,
    rng: &mut Rng,
    time: Duration,
    weather: impl Fn(&mut Weather),
    met: impl Fn(Done) -> u64,
) -> (Vec<usize>, u64) {
    let places = some_nodes(rng);
    let count =
        |ground: &Ground| -> u64 { places.iter().map(|place| met(ground.proxies[*place].done())).sum() };
    let before = count(ground);
    for place in &places {
        ground.proxies[*place].change(&weather);
    }
    ground.wait(time);
    let met = count(ground) - before;
    (places, met)
}

pub(super) fn hold(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let (from_ns, time) = (now_ns() + IN_FLIGHT_NS, long(rng));
    let (places, met) = rule(ground, rng, time, |weather| weather.holds = true, |done| done.held);
    for place in places {
        ground.was_closed(Some(place), from_ns);
        if rng.bool() {
            ground.proxies[place].cut();
        }
    }
    Outcome::bit_if(met > 0, "nobody sent anything")
}

pub(super) fn cut(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let mut met = 0;
    for _ in 0..rng.u32(5..15) {
        met += some_nodes(rng).iter().map(|place| ground.proxies[*place].cut()).sum::<usize>();
        ground.wait_ms(rng, 5..100);
    }
    Outcome::bit_if(met > 0, "nobody was connected")
}

pub(super) fn half_close(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let mut met = 0;
    for _ in 0..rng.u32(6..14) {
        let replies = rng.bool();
        met += some_nodes(rng).iter().map(|place| ground.proxies[*place].half_close(replies)).sum::<usize>();
        ground.wait_ms(rng, 20..120);
    }
    Outcome::bit_if(met > 0, "nobody was connected")
}

/// What was asked is done, and nobody is told.
pub(super) fn swallow(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    // Shorter than anybody waits for a reply, or longer than anybody may do without one.
    let time = if rng.bool() { Duration::from_millis(rng.u64(100..500)) } else { long(rng) };
    let (_, met) = rule(ground, rng, time, |weather| weather.swallows = true, |done| done.swallowed);
    Outcome::bit_if(met > 0, "nobody asked anything")
}

pub(super) fn refuse(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let time = long(rng);
    let from_ns = now_ns() + IN_FLIGHT_NS;
    let places = some_nodes(rng);
    for place in &places {
        ground.proxies[*place].change(|weather| weather.refuses = true);
    }
    // Whoever was just accepted is connected by now.
    Ground::wait_alone(Duration::from_millis(15));
    let mut met = 0;
    for place in &places {
        met += ground.proxies[*place].cut();
    }
    ground.wait(time);
    for place in places {
        ground.was_closed(Some(place), from_ns);
    }
    Outcome::bit_if(met > 0, "nobody was connected")
}

pub(super) fn delay(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let time = Duration::from_millis(rng.u64(800..1_800));
    let (request, reply) = (rng.u64(..60), rng.u64(10..450));
    let weather = |weather: &mut Weather| {
        weather.request_delay = Duration::from_millis(request);
        weather.reply_delay = Duration::from_millis(reply);
        weather.growth = Duration::from_millis(30);
    };
    let (_, met) = rule(ground, rng, time, weather, |done| done.delayed);
    Outcome::bit_if(met > 0, "nobody sent anything")
}

/// The last replies are old when they come, and nothing comes after them.
pub(super) fn delay_then_hold(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let places = some_nodes(rng);
    let delay = Duration::from_millis(rng.u64(300..480));
    for place in &places {
        ground.proxies[*place].change(|weather| {
            (weather.reply_delay, weather.mutes) = (delay, true);
        });
    }
    ground.wait_ms(rng, 500..900);
    let delayed: u64 = places.iter().map(|place| ground.proxies[*place].done().delayed).sum();
    for place in &places {
        ground.proxies[*place].change(|weather| weather.holds = true);
    }
    ground.wait(long(rng));
    for place in places {
        ground.proxies[place].cut();
    }
    Outcome::bit_if(delayed > 0, "nothing was delayed")
}

/// What is published gets lost, and the next that is published gets through: there is a gap.
pub(super) fn mute(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let mut met = 0;
    for _ in 0..rng.u32(4..8) {
        let time = Duration::from_millis(rng.u64(20..200));
        met += rule(ground, rng, time, |weather| weather.mutes = true, |done| done.muted).1;
        ground.clear_up();
        ground.wait_ms(rng, 50..150);
    }
    Outcome::bit_if(met > 0, "nothing was published")
}

pub(super) fn cut_namespace(ground: &mut Ground, rng: &mut Rng) -> Outcome {
    let Some(namespace) = &ground.namespace else {
        return Outcome::Impossible("it needs root and `ip netns`");
    };
    let cut = namespace.cut(true);
    let from_ns = now_ns() + IN_FLIGHT_NS;
    ground.wait(long(rng));
    ground.was_closed(Some(APART), from_ns);
    let healed = ground.namespace.as_ref().is_some_and(|namespace| namespace.cut(false));
    Outcome::bit_if(cut && healed, "the link did not go down and up")
}
