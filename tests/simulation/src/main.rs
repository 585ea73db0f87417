//! Simulates whole clusters in one thread, one seed after the other, and checks what was promised. `./dev simulation`.
//!
//! ```text
//! zoocache-simulation [seeds=N] [from=N] [ground=NAME]   runs seeds on all cores; says what they saw, and which break a promise
//! zoocache-simulation seed=N [ground=NAME]               runs one, twice, and tells its story
//! zoocache-simulation mutants [seeds=N]                  leaves out one protection after the other: each must be missed
//! ```

mod arguments;
mod cluster;
mod crew;
mod entered;
mod faults;
mod folder;
mod gossip;
mod judge;
mod keys;
mod machine;
mod mutants;
mod net;
mod setup;
mod stack;
mod tasks;
mod truth;
mod value;
mod world;

use std::process::ExitCode;

use arguments::{Arguments, Order};
use setup::Setup;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(cause) => {
            eprintln!("zoocache-simulation: {cause}");
            return ExitCode::from(2);
        }
    };
    let is_well = match arguments.order {
        Order::Seeds => crew::run_seeds(&arguments),
        Order::Story(seed) => tell(seed, &arguments),
        Order::Mutants => crew::run_mutants(&arguments),
        Order::Work => {
            crew::work(&arguments);
            true
        }
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed, and tells its story.
fn tell(seed: u64, arguments: &Arguments) -> bool {
    let setup = || Setup::of(seed, arguments.ground);
    println!("{:#?}\n", setup());
    let outcome = cluster::run(setup(), true);
    outcome.story.iter().for_each(|line| println!("{line}"));
    println!("\n{:?}", outcome.counts);
    let again = cluster::run(setup(), false);
    if again.trace != outcome.trace {
        println!("Another run of this seed went another way: something in it does not follow from the seed.");
        return false;
    }
    outcome.violations.iter().for_each(|violation| println!("{}: {}", violation.promise, violation.text));
    if outcome.violations.is_empty() {
        println!("No promise was broken.");
    }
    outcome.violations.is_empty()
}
