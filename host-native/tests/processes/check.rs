//! Checks a recorded history against the promises.

use std::collections::HashMap;

use super::TAGS;
use super::history::{ABSENT, Kind, Record};

/// What the checker found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) reads: usize,
    pub(crate) hits: usize,
    pub(crate) promises: usize,
    /// Puts and deletes.
    pub(crate) replaced: usize,
    pub(crate) stale: Vec<String>,
    pub(crate) backwards: Vec<String>,
    pub(crate) others: Vec<String>,
}

pub(crate) fn check(history: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    // By tag: when it was promised, and the highest version promised until then.
    let mut promises: Vec<Vec<(u64, u32)>> = vec![Vec::new(); TAGS];
    for record in history.iter().filter(|record| record.kind == Kind::Promised as u64) {
        let version = u32::try_from(record.version).expect("a version");
        promises[usize::try_from(record.about).expect("a tag")].push((record.to_ns, version));
        verdict.promises += 1;
    }
    for promises in &mut promises {
        promises.sort_unstable();
        let mut highest = 0;
        for (_, version) in promises {
            highest = highest.max(*version);
            *version = highest;
        }
    }
    let mut hits: HashMap<u64, Vec<&Record>> = HashMap::new();
    let mut replaced: HashMap<u64, Vec<&Record>> = HashMap::new();
    for record in history {
        if record.kind == Kind::Put as u64 || record.kind == Kind::Deleted as u64 {
            verdict.replaced += 1;
            replaced.entry(record.about).or_default().push(record);
            continue;
        }
        if record.kind > Kind::Computed as u64 {
            if record.kind != Kind::Promised as u64 {
                verdict.others.push(format!("{record:?}"));
            }
            continue;
        }
        verdict.reads += 1;
        if record.kind == Kind::Hit as u64 {
            verdict.hits += 1;
            hits.entry(record.about).or_default().push(record);
        }
        for (tag, version) in
            record.value.versions.iter().enumerate().filter(|(_, version)| **version != ABSENT)
        {
            let before = promises[tag].partition_point(|(at, _)| *at < record.from_ns);
            let need = before.checked_sub(1).map_or(0, |last| promises[tag][last].1);
            if *version < need {
                verdict.stale.push(format!("tag {tag} needs {need}: {record:?}"));
            }
        }
    }
    for (key, mut hits) in hits {
        let mut replaced = replaced.remove(&key).unwrap_or_default();
        check_order(&mut hits, &replaced, &mut verdict);
        check_deleted(&hits, &mut replaced, &mut verdict);
    }
    verdict
}

/// P2: no hit returns what was computed wholly before what an earlier hit returned, or was put.
fn check_order(hits: &mut [&Record], replaced: &[&Record], verdict: &mut Verdict) {
    let puts = replaced.iter().filter(|record| record.kind == Kind::Put as u64);
    let mut ended: Vec<(u64, u64)> =
        hits.iter().chain(puts).map(|record| (record.to_ns, record.value.began_ns)).collect();
    ended.sort_unstable();
    hits.sort_unstable_by_key(|hit| hit.from_ns);
    let (mut next, mut latest) = (0, 0);
    for hit in hits {
        while next < ended.len() && ended[next].0 < hit.from_ns {
            latest = latest.max(ended[next].1);
            next += 1;
        }
        if hit.value.ended_ns < latest {
            verdict.backwards.push(format!("a hit had returned what was computed from {latest} on: {hit:?}"));
        }
    }
}

/// No hit returns what was deleted, or what was being computed then. The hits are in the order of their beginning.
fn check_deleted(hits: &[&Record], replaced: &mut Vec<&Record>, verdict: &mut Verdict) {
    replaced.retain(|record| record.kind == Kind::Deleted as u64);
    replaced.sort_unstable_by_key(|record| record.to_ns);
    let (mut next, mut deleted_ns) = (0, 0);
    for hit in hits {
        while next < replaced.len() && replaced[next].to_ns < hit.from_ns {
            deleted_ns = deleted_ns.max(replaced[next].from_ns);
            next += 1;
        }
        if hit.value.began_ns < deleted_ns {
            verdict.backwards.push(format!("it was deleted at {deleted_ns}: {hit:?}"));
        }
    }
}
