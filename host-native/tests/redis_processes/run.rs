//! One run with all kinds of faults in random order.

use std::fs;
use std::path::PathBuf;

use fastrand::Rng;

use super::check::check;
use super::faults::{FAULTS, Fault};
use super::ground::Ground;
use super::roles::Mix;
use super::setting;
use super::truth::now_ns;
use super::verdict::Verdict;

pub(crate) fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("zoocache-redis-{}{name}", std::process::id()))
}

/// The faults of a run, in their order.
struct Plan {
    faults: Vec<Fault>,
    least: usize,
    happened: usize,
    bit: Vec<bool>,
}

impl Plan {
    fn new(rng: &mut Rng) -> Self {
        let only = std::env::var("ZOOCACHE_FAULT").ok().filter(|name| !name.is_empty());
        let mut faults = only.map_or_else(|| FAULTS.to_vec(), |name| vec![Fault::named(&name)]);
        rng.shuffle(&mut faults);
        let least = usize::try_from(setting("ZOOCACHE_FAULTS", faults.len() as u64)).expect("not so many");
        let bit = vec![false; faults.len()];
        Self { faults, least, happened: 0, bit }
    }

    fn next(&mut self, ground: &mut Ground, rng: &mut Rng) {
        let place = self.happened % self.faults.len();
        ground.set_calm(rng.bool());
        self.bit[place] |= self.faults[place].happen(ground, rng);
        self.happened += 1;
    }

    /// How often at most, so that chance alone fails no run.
    fn has_more(&self, is_enough: bool) -> bool {
        let has_missed = self.bit.iter().any(|bit| !bit) && self.happened < 3 * self.least;
        self.happened < self.least || has_missed || !is_enough && self.happened < 20 * self.least
    }
}

pub(crate) fn run(seed: u64) {
    let wanted = setting("ZOOCACHE_READS", 300_000);
    let folder = folder("");
    println!("seed {seed}, folder {}", folder.display());
    let mut rng = Rng::with_seed(seed);
    let mix = std::env::var("ZOOCACHE_MIX").map_or(Mix::All, |name| Mix::named(&name));
    let mut ground = Ground::new(folder.clone(), seed, mix, None);
    let from_ns = now_ns();
    let mut plan = Plan::new(&mut rng);
    // A tenth of the lines are no reads.
    while plan.has_more(ground.lines() * 9 / 10 >= wanted) {
        plan.next(&mut ground, &mut rng);
    }
    let healed_ns = ground.end();
    ground.write_journal();
    let verdict = check(&ground.sources(), &ground.journal, healed_ns);
    let seconds = (now_ns() - from_ns) / 1_000_000_000;
    let (killed, died) = ground.killed;
    println!("{verdict}");
    println!(
        "{} faults, {} domains; {killed} nodes were killed, {died} killed themselves; {seconds} s",
        plan.happened,
        ground.journal.domains.len()
    );
    for skipped in &ground.journal.skipped {
        println!("{skipped}");
    }
    for line in verdict.broken().take(30) {
        println!("{line}");
    }
    let missing = missing(&plan, &ground, &verdict, wanted);
    for missing in &missing {
        println!("too little: {missing}");
    }
    let is_proof = missing.is_empty() && verdict.broken().next().is_none();
    drop(ground);
    if std::env::var_os("ZOOCACHE_KEEP").is_some() || !is_proof {
        println!("the histories are kept in {}; ZOOCACHE_SEED={seed} repeats the choices", folder.display());
    } else {
        fs::remove_dir_all(&folder).expect("can be removed");
    }
    assert!(verdict.broken().next().is_none(), "a promise was broken");
    assert!(is_proof, "too little was met to prove anything");
}

/// What would have to be met for the run to prove something.
fn missing(plan: &Plan, ground: &Ground, verdict: &Verdict, wanted: u64) -> Vec<String> {
    let mut missing = Vec::new();
    let mut need = |is_met: bool, what: String| {
        if !is_met {
            missing.push(what);
        }
    };
    for (fault, bit) in plan.faults.iter().zip(&plan.bit) {
        need(*bit, format!("{} hurt nobody", fault.name));
    }
    let (reads, hits) = (verdict.reads(), verdict.hits());
    need(reads as u64 >= wanted, format!("{reads} reads"));
    need(hits * 2 >= reads, format!("{hits} hits of {reads} reads"));
    for (name, side) in &verdict.sides {
        need(side.reads * 50 >= reads, format!("{} reads by {name}", side.reads));
        need(side.hits * 10 >= side.reads, format!("{} hits of {} reads by {name}", side.hits, side.reads));
    }
    if plan.faults.len() == FAULTS.len() {
        let domains = ground.journal.domains.len();
        need(domains * 4 >= plan.happened, format!("{domains} domains in {} faults", plan.happened));
        need(verdict.promised * 500 >= reads, format!("{} invalidations", verdict.promised));
        need(verdict.queued >= 10, format!("{} invalidations were queued", verdict.queued));
        need(verdict.away >= 50, format!("{} times Redis was away", verdict.away));
        need(verdict.replaced * 2_000 >= reads, format!("{} puts and deletes", verdict.replaced));
        let cut_off = verdict.changes.saturating_sub(verdict.settled);
        need(cut_off > 0, format!("{cut_off} changes cut off"));
    }
    missing
}
