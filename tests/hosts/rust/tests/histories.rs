//! The component against the native engine: the same calls, at random, give the same answers, headers and snapshots, byte
//! for byte. `ZOOCACHE_HISTORIES` says how many (10 000), `ZOOCACHE_SEED` repeats one run.

mod pair;

use fastrand::Rng;
use pair::{Pair, TAGS, TIMES};
use wasmtime::Result;
use zoocache_core::Order;
use zoocache_hosts_rust::{Built, setting};

const CALLS: usize = 100;

#[test]
fn the_component_and_the_native_engine_answer_alike() -> Result<()> {
    let built = Built::read()?;
    let (mut store, api) = built.start()?;
    let seed = setting("ZOOCACHE_SEED", fastrand::u64(..1_000_000_007));
    let (mut headers, mut fresh) = (0, 0);
    let histories = setting("ZOOCACHE_HISTORIES", 10_000);
    for history in 0..histories {
        let mut rng = Rng::with_seed(seed + history);
        let told = format!("ZOOCACHE_SEED={} ZOOCACHE_HISTORIES=1 repeats it", seed + history);
        let order = [Order::Own, Order::Log, Order::Gossip][rng.usize(..3)];
        let mut pair = Pair::begin(&mut store, &api, order, rng.bool(), &told)?;
        for _ in 0..CALLS {
            step(&mut pair, &mut rng)?;
        }
        pair.compare_snapshots()?;
        headers += pair.headers();
        fresh += pair.fresh();
        pair.end()?;
    }
    println!(
        "{histories} histories of {CALLS} calls are alike: {headers} headers, {fresh} times an entry was fresh"
    );
    assert!(headers as u64 > 4 * histories && fresh > headers / 2, "too little happens in them");
    Ok(())
}

fn step(pair: &mut Pair<'_>, rng: &mut Rng) -> Result<()> {
    let now = pair.clock(rng);
    let tags = |rng: &mut Rng| {
        let count = [0, 1, 1, 1, 2, 3, 5][rng.usize(..7)];
        // The first is everything.
        let mut tag = || if rng.u8(..30) == 0 { TAGS[0] } else { TAGS[rng.usize(1..TAGS.len())] };
        (0..count).map(|_| tag()).collect::<Vec<_>>()
    };
    match rng.u8(..29) {
        0..4 | 24..26 => pair.start_fill(now),
        4..8 | 26..28 => {
            let bound = (rng.u8(..12) == 0).then(|| TIMES[rng.usize(..TIMES.len())]);
            let tags = tags(rng);
            pair.seal(rng, &tags, bound, now)
        }
        8..11 => pair.invalidate(&tags(rng), now),
        11 => {
            let tags = tags(rng);
            pair.change(&tags, now.saturating_add(rng.u64(..3_000_000)), now)
        }
        12 => pair.settle(rng, now),
        13..16 => pair.judge(rng, now),
        16 | 28 => pair.judge_entries(),
        17 => {
            let tags = tags(rng);
            pair.apply(rng, &tags, now)
        }
        18 => pair.tail(rng),
        19 => {
            let tags = tags(rng);
            pair.apply_log(rng, &tags)
        }
        20 => pair.prune(rng),
        21 => pair.latest(TAGS[rng.usize(..TAGS.len())]),
        22 if rng.u8(..3) == 0 => pair.unsettle(rng),
        _ => pair.compare_snapshots().and_then(|()| if rng.u8(..3) == 0 { pair.restore() } else { Ok(()) }),
    }
}
