//! Real processes on one LMDB folder, killed at random, against a small source of truth; then the recorded
//! history is checked against the promises.
//!
//! The source is a file of one version per tag. A value is the versions it was computed from. Every read,
//! invalidation, change, put and delete is recorded with the monotonic time of its beginning and end, which all processes
//! of a machine share. Checked are P1 (and with restarts P4, on the own node P5), P2, P3, P8 and P9; P7 as far as
//! a fresh entry that is refused would show as a miss at the end. What is put is the newer one for all as soon as
//! anybody has seen it, and what was deleted is seen by nobody.
//!
//! `ZOOCACHE_READS` (100 000), `ZOOCACHE_KILLS` (20), `ZOOCACHE_SEED` (random) and `ZOOCACHE_KEEP` (keeps the
//! folder) set the run. The program starts itself again for each worker.

mod check;
mod history;
mod worker;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;

use check::check;
use history::{Kind, Record, now_ns, records};
use worker::{last_look, worker};

const WORKERS: usize = 8;
const THREADS: usize = 2;
const TAGS: usize = 8;
/// Leaves of one tag, sums of two leaves, and one list of all tags. Beyond are those that one worker each puts.
const KEYS: usize = 2 * TAGS + 1;

struct Run {
    folder: PathBuf,
    seed: u64,
    reads: u64,
    kills: u64,
    histories: Mutex<Vec<PathBuf>>,
}

impl Run {
    fn start(&self, quota: u64, place: usize) -> (Child, PathBuf) {
        let mut histories = self.histories.lock().expect("no panic");
        let history = self.folder.join(format!("history-{}", histories.len()));
        let seed = self.seed.wrapping_add(histories.len() as u64) % 1_000_000_007;
        histories.push(history.clone());
        let child = Command::new(std::env::current_exe().expect("a program"))
            .args(["worker", &self.folder.display().to_string(), &history.display().to_string()])
            .args([quota.to_string(), seed.to_string(), place.to_string()])
            .spawn()
            .expect("a worker starts");
        (child, history)
    }

    /// Runs the workers to the end, killing some of them on the way.
    fn drive(&self) -> u64 {
        let mut rng = Rng::with_seed(self.seed);
        let quota = self.reads / WORKERS as u64 + 1;
        let mut workers: Vec<_> =
            (0..WORKERS).map(|place| (quota, place, self.start(quota, place))).collect();
        let (_never, pause) = channel::<()>();
        let mut killed = 0;
        while !workers.is_empty() {
            let _ = pause.recv_timeout(Duration::from_millis(rng.u64(10..80)));
            if killed < self.kills {
                let chosen = rng.usize(..workers.len());
                let (quota, place, (child, history)) = &mut workers[chosen];
                child.kill().expect("it is ours");
                child.wait().expect("it is ours");
                killed += 1;
                let done =
                    records(history).iter().filter(|record| record.kind <= Kind::Computed as u64).count();
                *quota = quota.saturating_sub(done as u64).max(1);
                (*child, *history) = self.start(*quota, *place);
            }
            workers.retain_mut(|(_, _, (child, history))| match child.try_wait().expect("it is ours") {
                None => true,
                Some(status) => {
                    assert!(status.success(), "a worker failed: {status}, {}", history.display());
                    false
                }
            });
        }
        killed
    }
}

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
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    fs::write(folder.join("truth"), [0; TAGS * 4]).expect("can be written");
    let (reads, kills) = (setting("ZOOCACHE_READS", 100_000), setting("ZOOCACHE_KILLS", 20));
    println!("seed {seed}, folder {}", folder.display());
    let run = Run { folder, seed, reads, kills, histories: Mutex::default() };
    let from_ns = now_ns();
    let killed = run.drive();
    let last = run.folder.join("history-last");
    last_look(&run.folder, &last);
    let mut histories = run.histories.lock().expect("no panic").clone();
    histories.push(last);
    let history: Vec<Record> = histories.iter().flat_map(|history| records(history)).collect();
    let verdict = check(&history);
    let seconds = (now_ns() - from_ns) / 1_000_000_000;
    println!(
        "{} reads, {} hits, {} promises, {} replaced, {killed} kills, {seconds} s; stale reads: {}, backwards: {}, other: {}",
        verdict.reads,
        verdict.hits,
        verdict.promises,
        verdict.replaced,
        verdict.stale.len(),
        verdict.backwards.len(),
        verdict.others.len(),
    );
    for line in verdict.stale.iter().chain(&verdict.backwards).chain(&verdict.others).take(20) {
        println!("{line}");
    }
    let failed = verdict.stale.len() + verdict.backwards.len() + verdict.others.len() > 0;
    let vacuous =
        verdict.hits * 10 < verdict.reads * 3 || verdict.replaced * 100 < verdict.reads || killed < kills;
    if failed || std::env::var_os("ZOOCACHE_KEEP").is_some() {
        println!(
            "the histories are kept in {}; ZOOCACHE_SEED={seed} repeats its choices",
            run.folder.display()
        );
    } else {
        fs::remove_dir_all(&run.folder).expect("can be removed");
    }
    assert!(!failed, "a promise was broken");
    assert!(!vacuous, "too few hits or kills to prove anything");
}
