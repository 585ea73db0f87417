//! Simulates whole clusters in one thread, one seed after the other.
//!
//! ```text
//! zoocache-simulation [--seeds N] [--from N] [--ground NAME]
//!                                                runs seeds, prints what they saw, and the seeds that break a promise
//! zoocache-simulation --seed N                   runs one, and tells its story
//! ```

mod cluster;
mod entered;
mod faults;
mod gossip;
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

use setup::Setup;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = value("--seed") {
        let outcome = cluster::run(Setup::of(seed), true);
        outcome.story.iter().for_each(|line| println!("{line}"));
        println!("{:?}\n{:?} trace {:x}", outcome.violations, outcome.counts, outcome.trace);
        return;
    }
    let ground = arguments.iter().position(|argument| argument == "--ground").and_then(|place| arguments.get(place + 1));
    let is_wanted = |setup: &Setup| ground.is_none_or(|name| format!("{:?}", setup.ground).eq_ignore_ascii_case(name));
    let (from, seeds) = (value("--from").unwrap_or(0), value("--seeds").unwrap_or(1_000));
    let mut counts = judge::Counts::default();
    let mut broken = 0;
    let wanted = (from..).map(|seed| (seed, Setup::of(seed))).filter(|(_, setup)| is_wanted(setup));
    for (number, (seed, setup)) in (1..).zip(wanted.take(usize::try_from(seeds).unwrap_or(usize::MAX))) {
        let outcome = cluster::run(setup, false);
        counts.add(&outcome.counts);
        if let Some(violation) = outcome.violations.first() {
            broken += 1;
            println!("seed {seed} ({number} of {seeds}): {} {}", violation.promise, violation.text);
            if broken >= 10 { break }
        }
    }
    println!("{counts:?} broken {broken}");
}
