//! The simulated server beside a real one: the same commands and scripts, at random, and the same replies.
//!
//! `ZOOCACHE_SEEDS=100` runs for longer, `ZOOCACHE_SEED=7` runs one seed.

mod commands;
mod expiry;
mod real;
mod scripts;
mod twins;

use twins::Twins;

/// Steps for each seed.
const STEPS: usize = 2_000;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("ZOOCACHE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("ZOOCACHE_SEEDS").unwrap_or(5)).collect(),
    }
}

fn for_each_seed(step: impl Fn(&mut Twins, &mut fastrand::Rng)) {
    let server = real::Server::start();
    for seed in seeds() {
        let mut twins = Twins::new(&server, seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..STEPS {
            step(&mut twins, &mut rng);
        }
        twins.heal();
        twins.compare_data();
    }
}

#[test]
fn commands_answer_the_same() {
    for_each_seed(commands::step);
}

#[test]
fn scripts_answer_the_same() {
    for_each_seed(scripts::step);
}

#[test]
fn keys_expire_in_the_same_millisecond() {
    let server = real::Server::start();
    expiry::compare(&mut Twins::new(&server, 0));
}

#[test]
fn the_time_is_that_of_the_caller() {
    let server = real::Server::start();
    scripts::check_by_the_clock(&mut Twins::new(&server, 0));
}
