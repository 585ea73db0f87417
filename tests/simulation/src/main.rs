//! Simulates whole clusters in one thread, one seed after the other.
//!
//! ```text
//! zoocache-simulation [--seeds N] [--from N]     runs seeds, prints what they saw, and the seeds that break a promise
//! zoocache-simulation --seed N                   runs one, and tells its story
//! ```
//! With `--ground NAME` all of them run there: `memory`, `redis`, `bus` or `folder`.

mod cluster;
mod entered;
mod faults;
mod folder;
mod judge;
mod keys;
mod machine;
mod net;
mod setup;
mod stack;
mod tasks;
mod truth;
mod value;
mod world;

use setup::{Ground, Setup};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let ground = arguments.iter().position(|argument| argument == "--ground");
    let ground = ground.and_then(|place| Ground::named(arguments.get(place + 1)?));
    if let Some(seed) = value("--seed") {
        let outcome = cluster::run(Setup::of(seed, ground), true);
        outcome.story.iter().for_each(|line| println!("{line}"));
        println!("{:?}\n{:?} trace {:x}", outcome.violations, outcome.counts, outcome.trace);
        return;
    }
    let (from, seeds) = (value("--from").unwrap_or(0), value("--seeds").unwrap_or(1_000));
    let mut counts = judge::Counts::default();
    let mut broken = 0;
    for seed in from..from + seeds {
        let outcome = cluster::run(Setup::of(seed, ground), false);
        counts.add(&outcome.counts);
        if let Some(violation) = outcome.violations.first() {
            broken += 1;
            println!("seed {seed}: {} {}", violation.promise, violation.text);
            if broken >= 10 { break }
        }
    }
    println!("{counts:?} broken {broken}");
}
