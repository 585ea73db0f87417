//! Every order in which up to three callers of one key can join, compute, wait, be cancelled or give up waiting, while
//! others write, store, delete and evict: single flight (P9), and what a caller may be given (P1, P2).
//!
//! It drives the real cache, one step at a time: a step holds a lock of the cache, or is one of the caller's. As a
//! cache cannot be copied, each order is run from its beginning. `./dev test-models` also runs it without one
//! protection after the other, which must be missed.

#[path = "../common/mod.rs"]
mod common;

mod world;

use std::sync::Arc;

use common::runs::every_run;
use common::{NOON_US, on};
use world::{Found, World};
use zoocache::{Cache, ManualClock};

/// Runs every order of what so many callers do, with so many disturbances at most.
fn explore(callers: usize, disturbances: usize) -> Found {
    let clock = Arc::new(ManualClock::at(NOON_US));
    let cache = Cache::builder().clock(clock).max_entries(1).build().expect("valid settings");
    let mut found = Found::default();
    every_run(|choices| {
        found.runs += 1;
        // Of its own for each run, so that none sees what another has left.
        let key = format!("run:{}", found.runs);
        let policy = on(&[&key]);
        let mut world = World::new(&cache, &policy, key, (callers, disturbances), &mut found);
        loop {
            let steps = world.steps();
            if steps.is_empty() {
                return world.end();
            }
            let step = steps[choices.choose(steps.len())];
            world.run(step, choices);
        }
    });
    println!("{callers} callers, {disturbances} disturbances: {found:?}");
    found
}

/// With debug assertions the same takes long, and finds the same.
const DISTURBANCES: [usize; 2] = if cfg!(debug_assertions) { [2, 1] } else { [4, 3] };

#[test]
fn two_callers() {
    explore(2, DISTURBANCES[0]);
}

#[test]
fn three_callers() {
    let found = explore(3, DISTURBANCES[1]);
    let least = [found.hits, found.shared, found.failures, found.refused, found.handed_over, found.gave_up];
    assert!(least.iter().all(|times| *times > 5), "vacuous: {found:?}");
}

/// What is left out, and what is said about it.
#[cfg(feature = "mutants")]
const MUTANTS: [(&str, &str); 7] = [
    ("trust_leader", "invalidated before it was asked for"),
    ("no_second_round", "two computations were not enough"),
    ("abandon_silently", "somebody waits for ever"),
    ("last_commit_wins", "older than what could be known"),
    ("join_overtaken", "older than what could be known"),
    ("store_over_deleted", "older than what could be known"),
    ("join_deleted", "older than what could be known"),
];

#[cfg(feature = "mutants")]
#[test]
fn each_mutant_is_found() {
    let program = std::env::current_exe().expect("a test is a program");
    for (mutant, says) in MUTANTS {
        let mut run = std::process::Command::new(&program);
        let run =
            run.args(["--exact", "three_callers"]).env("ZOOCACHE_MUTANT", mutant).output().expect("it runs");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(!run.status.success(), "{mutant} survives: {said}");
        assert!(said.contains(says), "{mutant}: {said}");
        let way = said.lines().find(|line| line.starts_with("after ")).unwrap_or_default();
        println!("{mutant}: {says} {way}");
    }
}
