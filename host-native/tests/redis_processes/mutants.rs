//! Nodes that lack one protection each, under the fault that it protects from: they must break a promise, or the fault
//! is not injected, or not seen.

use std::fs;

use fastrand::Rng;

use super::MAX_STALENESS;
use super::check::check;
use super::faults::Fault;
use super::ground::Ground;
use super::roles::Mix;
use super::run::folder;
use super::truth::now_ns;

/// A protection that is missed, when and by whom.
struct Pair {
    mutant: &'static str,
    fault: &'static str,
    mix: Mix,
    /// In calm weather, in rough, or in both by turns.
    calm: Option<bool>,
    /// So often the fault happens before the protection was not missed.
    tries: usize,
}

const fn pair(mutant: &'static str, fault: &'static str, mix: Mix, calm: Option<bool>) -> Pair {
    Pair { mutant, fault, mix, calm, tries: 30 }
}

/// Every fault is here, but for four. Damage is refused by what reads it (a checksum, the form of a row), which tests of
/// their own hold. After a crash with an AOF nothing is lost but time, and a full server takes invalidations all the same:
/// no single protection of a promise is missed then. Of flushed scripts, sending their text again is not found to be missed
/// any more. Nor was `no_inc_check` where it was tried: what a script of a former incarnation writes into a table is not
/// read, for it bears that name, or makes a second clock in it, and the table counts as lost.
const PAIRS: [Pair; 30] = [
    pair("keep_incarnation", "crash, empty restart", Mix::Calm, Some(true)),
    pair("ignore_binding", "crash, restart from an old RDB, new nodes", Mix::Heavy, Some(false)),
    pair("drop_failed", "crash, restart from an old RDB", Mix::Heavy, Some(false)),
    pair("ignore_binding", "failover that loses writes, new nodes", Mix::Heavy, Some(false)),
    pair("drop_failed", "failover that loses writes", Mix::Heavy, Some(false)),
    pair("no_rollback_check", "old RDB loaded by the same process", Mix::Heavy, Some(false)),
    pair("no_deadline", "server stopped", Mix::All, None),
    pair("no_deadline", "DEBUG SLEEP", Mix::All, None),
    pair("trust_connection", "CLIENT KILL normal", Mix::Calm, None),
    pair("trust_connection", "CLIENT KILL pubsub", Mix::Calm, None),
    pair("clock_back", "server clock set back", Mix::All, Some(false)),
    pair("clock_back", "server clock set forth and back", Mix::All, Some(false)),
    pair("keep_incarnation", "FLUSHALL", Mix::Calm, Some(true)),
    pair("ignore_lost", "table deleted", Mix::Calm, Some(true)),
    pair("keep_incarnation", "table deleted", Mix::Calm, Some(true)),
    pair("keep_incarnation", "memory full, all evicted", Mix::Calm, Some(true)),
    pair("keep_incarnation", "table replaced by something else", Mix::Calm, Some(true)),
    pair("ignore_floor", "floor raised past a sleeping node", Mix::All, None),
    pair("no_deadline", "nothing gets through", Mix::All, None),
    pair("trust_connection", "connections reset", Mix::Calm, None),
    pair("trust_connection", "connections half closed", Mix::Calm, None),
    pair("no_deadline", "replies swallowed", Mix::All, None),
    pair("drop_failed", "connections refused", Mix::All, None),
    pair("put_over_deleted", "growing delays", Mix::Heavy, Some(false)),
    pair("sent_at_reply", "late replies, then none", Mix::All, None),
    pair("ignore_gap", "messages lost", Mix::Calm, Some(true)),
    pair("no_deadline", "network namespace cut off", Mix::All, None),
    // Some die in the middle of a change.
    pair("client_clock", "nodes killed or stopped", Mix::All, Some(false)),
    pair("ignore_marks", "nodes killed or stopped", Mix::Heavy, Some(false)),
    pair("drop_failed", "server stopped", Mix::All, None),
];

pub(crate) fn all_are_found(seed: u64) {
    let only = std::env::var("ZOOCACHE_MUTANT").ok().filter(|name| !name.is_empty());
    let mut survived = Vec::new();
    for (place, pair) in PAIRS.iter().enumerate() {
        if only.as_ref().is_some_and(|only| only != pair.mutant) {
            continue;
        }
        let (is_found, how) = is_found(pair, seed + place as u64);
        println!("{} under {:?}: {how}", pair.mutant, pair.fault);
        if !is_found {
            survived.push(format!("{} under {:?}", pair.mutant, pair.fault));
        }
    }
    assert!(survived.is_empty(), "not missed, with seed {seed}: {survived:?}");
}

fn is_found(pair: &Pair, seed: u64) -> (bool, String) {
    let folder = folder(&format!("-{}-{seed}", pair.mutant));
    let mut rng = Rng::with_seed(seed);
    let from_ns = now_ns();
    let mut ground = Ground::new(folder.clone(), seed, pair.mix, Some(pair.mutant));
    let fault = Fault::named(pair.fault);
    let mut found = 0;
    for turn in 0..pair.tries {
        ground.set_calm(pair.calm.unwrap_or(turn % 2 == 0));
        fault.happen(&mut ground, &mut rng);
        // So that what is served for too long has been.
        ground.wait(MAX_STALENESS);
        // What was queued is not promised yet.
        let verdict = check(&ground.sources(), &ground.journal, u64::MAX);
        found = verdict.broken().count() - verdict.others.len();
        if found > 0 {
            break;
        }
    }
    if found == 0 {
        let healed_ns = ground.end();
        let verdict = check(&ground.sources(), &ground.journal, healed_ns);
        found = verdict.broken().count() - verdict.others.len();
    }
    let (faults, seconds) = (ground.journal.faults.len(), (now_ns() - from_ns) / 1_000_000_000);
    ground.write_journal();
    drop(ground);
    let is_found = found > 0;
    if is_found && std::env::var_os("ZOOCACHE_KEEP").is_none() {
        fs::remove_dir_all(&folder).expect("can be removed");
    }
    (is_found, format!("{found} broken promises after {faults} faults, {seconds} s"))
}
