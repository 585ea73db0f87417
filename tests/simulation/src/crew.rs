//! Many seeds on all cores, each worker in a process of its own: what a run leaves behind ends with it.
//!
//! Workers tell what they saw in lines: `seed N PROMISE TEXT` for each seed that breaks a promise, and in the end `saw` and
//! the counts.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::arguments::Arguments;
use crate::cluster;
use crate::judge::{Counts, Violation};
use crate::mutants::{MUTANTS, Mutant};
use crate::setup::Setup;

/// Seeds that are shown, of those that break a promise.
const SHOWN: usize = 20;
/// One in so many seeds is run twice.
const REPEATED: u64 = 64;

/// Runs the seeds of one worker.
pub(crate) fn work(arguments: &Arguments) {
    let (mut counts, mut runs) = (Counts::default(), 0);
    let last = arguments.from + arguments.seeds;
    for seed in (arguments.from..last).step_by(usize::try_from(arguments.every).unwrap_or(1)) {
        let setup = || Setup::of(seed, arguments.ground);
        let run = std::panic::AssertUnwindSafe(|| {
            let outcome = cluster::run(setup(), false);
            let is_repeated = seed.is_multiple_of(REPEATED) || !outcome.violations.is_empty();
            // As for somebody who wants to know how it came about.
            let is_same = !is_repeated || cluster::run(setup(), true).trace == outcome.trace;
            (outcome, is_same)
        });
        let violations = match std::panic::catch_unwind(run) {
            Ok((outcome, is_same)) => {
                counts.add(&outcome.counts);
                if is_same { outcome.violations } else { vec![unrepeatable(&outcome.violations)] }
            }
            Err(_) => vec![Violation { promise: "panic", text: "see above".to_owned() }],
        };
        runs += 1;
        if let Some(Violation { promise, text }) = violations.first() {
            println!("seed {seed} {promise} {text}");
            if arguments.first {
                break;
            }
        }
    }
    println!("saw {runs} {counts}");
}

/// Of a seed whose second run went another way than the first, which broke these promises.
fn unrepeatable(broken: &[Violation]) -> Violation {
    let broken: Vec<_> = broken.iter().map(|violation| format!(", {}", violation.promise)).collect();
    Violation { promise: "repeat", text: format!("another run goes another way{}", broken.concat()) }
}

/// What the workers said.
#[derive(Default)]
struct Said {
    runs: u64,
    counts: Counts,
    /// Seeds that break a promise, and how.
    broken: Vec<(u64, String)>,
    /// Workers that ended without a word.
    failed: usize,
}

impl Said {
    fn take(&mut self, worker: &mut Child) {
        let mut has_ended = false;
        let lines = worker.stdout.take().map(|output| BufReader::new(output).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if let Some((seed, what)) = line.strip_prefix("seed ").and_then(|rest| rest.split_once(' ')) {
                self.broken.push((seed.parse().unwrap_or(0), what.to_owned()));
            } else if let Some((runs, counts)) =
                line.strip_prefix("saw ").and_then(|rest| rest.split_once(' '))
            {
                self.runs += runs.parse::<u64>().unwrap_or(0);
                self.counts.add(&Counts::read(counts));
                has_ended = true;
            }
        }
        self.failed += usize::from(!has_ended);
        let _ = worker.wait();
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

fn worker(words: &[String]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("work").args(words).stdout(Stdio::piped());
    Ok(command)
}

/// Runs seeds on all cores. Says whether all is well.
pub(crate) fn run_seeds(arguments: &Arguments) -> bool {
    #[expect(clippy::disallowed_methods, reason = "how long it takes on this machine, for whoever waits")]
    let began = Instant::now();
    let cores = cores();
    let start = |core: u64| {
        let mut words = vec![
            format!("from={}", arguments.from + core),
            format!("seeds={}", arguments.seeds.saturating_sub(core)),
            format!("every={cores}"),
        ];
        words.extend(arguments.ground.map(|ground| format!("ground={}", ground.name())));
        worker(&words)?.spawn()
    };
    let mut said = Said::default();
    let workers: Vec<_> = (0..cores).map(start).collect();
    for worker in workers {
        match worker {
            Ok(mut worker) => said.take(&mut worker),
            Err(error) => {
                eprintln!("a worker cannot be started: {error}");
                said.failed += 1;
            }
        }
    }
    said.broken.sort();
    for (seed, what) in said.broken.iter().take(SHOWN) {
        println!("seed {seed}: {what}");
    }
    println!("{} seeds in {} s: {}", said.runs, began.elapsed().as_secs(), said.counts.in_words());
    println!("seeds that break a promise: {}", said.broken.len());
    if let Some((seed, _)) = said.broken.first() {
        println!("to see how:  ./dev simulation seed={seed}");
    }
    if !said.counts.are_telling(said.runs) {
        println!("That shows too little: hits, computations, waits and faults must all occur.");
    }
    said.broken.is_empty() && said.failed == 0 && said.counts.are_telling(said.runs)
}

/// Leaves out one protection after the other. Says whether each is missed.
pub(crate) fn run_mutants(arguments: &Arguments) -> bool {
    println!("| left out | what is done wrong | on | seeds it took | broken |\n|---|---|---|---:|---|");
    let mut survived = Vec::new();
    let mut waiting = MUTANTS.iter();
    let mut running: std::collections::VecDeque<(&Mutant, Child)> = std::collections::VecDeque::new();
    loop {
        while running.len() < usize::try_from(cores()).unwrap_or(1)
            && let Some(mutant) = waiting.next()
        {
            let words = [
                format!("seeds={}", arguments.seeds),
                format!("ground={}", mutant.ground),
                "first".to_owned(),
            ];
            let started = worker(&words).and_then(|mut command| {
                command.env("ZOOCACHE_MUTANT", mutant.name).stderr(Stdio::null()).spawn()
            });
            match started {
                Ok(child) => running.push_back((mutant, child)),
                Err(error) => {
                    eprintln!("{}: cannot be started: {error}", mutant.name);
                    survived.push(mutant.name);
                }
            }
        }
        let Some((mutant, mut child)) = running.pop_front() else { break };
        let mut said = Said::default();
        said.take(&mut child);
        let Mutant { name, ground, mistake } = mutant;
        match said.broken.first() {
            Some((seed, what)) => {
                let promise = what.split(' ').next().unwrap_or_default();
                println!("| `{name}` | {mistake} | {ground} | {} | {promise} |", seed + 1);
            }
            None if said.failed > 0 => println!("| `{name}` | {mistake} | {ground} | ? | the process died |"),
            None => {
                println!("| `{name}` | {mistake} | {ground} | more than {} | SURVIVES |", said.runs);
                survived.push(name);
            }
        }
    }
    println!("\n{} of {} are missed.", MUTANTS.len() - survived.len(), MUTANTS.len());
    survived.is_empty()
}
