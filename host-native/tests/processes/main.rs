//! Real processes on one LMDB folder, killed at random, against a small source of truth; then the recorded
//! history is checked against the promises.
//!
//! The source is a file of one version per tag. A value is the versions it was computed from. Every read,
//! invalidation, change, put and delete is recorded with the monotonic time of its beginning and end, which all
//! processes of a machine share. Checked are P1 (and with restarts P4, on the own node P5), P2, P3, P8 and P9; P7
//! as far as a fresh entry that is refused would show as a miss at the end. What is put is the newer one for all as
//! soon as anybody has seen it, and what was deleted is seen by nobody. Workers also kill themselves where it hurts.
//! The folder is never found damaged.
//!
//! `ZOOCACHE_READS` (100 000), `ZOOCACHE_KILLS` (20), `ZOOCACHE_SEED` (random) and `ZOOCACHE_KEEP` (keeps the
//! folder) set the run. `ZOOCACHE_PYTHON` names an interpreter that has the wheel: then every other worker runs
//! `tests/processes/worker.py` in it, on the same folder, source and tags. The program starts itself again for each
//! other worker.

mod check;
mod history;
mod run;
mod truth;
mod worker;

use std::fs;
use std::time::Duration;

use check::{Verdict, check};
use history::{Record, records};
use run::Run;
use truth::now_ns;
use worker::{last_look, worker};

const WORKERS: usize = 8;
const THREADS: usize = 2;
const TAGS: usize = 8;
/// Leaves of one tag, sums of two leaves, and one list of all tags. Beyond are those that one worker each puts.
const KEYS: usize = 2 * TAGS + 1;
/// From here on are the same keys of plain Python functions, and from twice this on those of async ones: a key has
/// the values of one language.
const PYTHON: usize = 100;
/// After which a change counts as made.
const CHANGE: Duration = Duration::from_millis(300);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "worker") {
        return worker(&arguments[1..]);
    }
    let seed = setting("ZOOCACHE_SEED", fastrand::u64(..1_000_000_007));
    let folder = std::env::temp_dir().join(format!("zoocache-processes-{}", std::process::id()));
    let wanted = (setting("ZOOCACHE_READS", 100_000), setting("ZOOCACHE_KILLS", 20));
    let python = std::env::var("ZOOCACHE_PYTHON").ok().filter(|python| !python.is_empty());
    println!("seed {seed}, folder {}", folder.display());
    let mut run = Run::new(folder, seed, wanted, python);
    let from_ns = now_ns();
    let (killed, died) = run.drive();
    last_look(&run.folder, &run.folder.join("history-last"));
    run.last_look_of_python();
    let history: Vec<Record> = run.histories().iter().flat_map(|history| records(history)).collect();
    let seconds = (now_ns() - from_ns) / 1_000_000_000;
    let verdict = check(&history);
    let forked = run.forked();
    println!(
        "{verdict}\n{killed} workers were killed, {died} killed themselves, {forked} were forked, {seconds} s"
    );
    for line in verdict.broken().take(20) {
        println!("{line}");
    }
    let is_proof = is_proof(&run, &verdict, killed);
    if std::env::var_os("ZOOCACHE_KEEP").is_some() || !is_proof {
        println!(
            "the histories are kept in {}; ZOOCACHE_SEED={seed} repeats the choices",
            run.folder.display()
        );
    } else {
        fs::remove_dir_all(&run.folder).expect("can be removed");
    }
    assert!(verdict.broken().next().is_none(), "a promise was broken");
    assert!(is_proof, "too little was met to prove anything");
}

/// Whether no promise was broken, and enough was met that could have broken one.
fn is_proof(run: &Run, verdict: &Verdict, killed: u64) -> bool {
    let reads = verdict.reads();
    let languages = if run.python.is_some() { 2 } else { 1 };
    let is_long = run.reads >= 100_000;
    verdict.broken().next().is_none()
        && killed == run.kills
        && reads as u64 >= run.reads
        && verdict.promises * 100 >= reads
        && verdict.sides[..languages].iter().all(|side| {
            side.reads * 4 >= reads && side.hits * 2 >= side.reads && side.replaced * 100 >= side.reads
        })
        && (!is_long || verdict.unfinished > 0)
        && (!is_long || run.python.is_none() || run.forked() > 0)
}
