//! Checks a recorded history against the promises.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::history::{At, Kind, Record};
use super::truth::ABSENT;
use super::{KEYS, PYTHON, TAGS};

/// Whoever takes longer was waiting for nobody, or for one who is dead.
const TOO_LONG_NS: u64 = 30_000_000_000;

/// What one language did.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) reads: usize,
    pub(crate) hits: usize,
    /// Puts and deletes.
    pub(crate) replaced: usize,
}

/// What the checker found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Of Rust and of Python.
    pub(crate) sides: [Side; 2],
    pub(crate) promises: usize,
    /// Changes that a kill kept from being settled.
    pub(crate) unfinished: usize,
    /// How often workers killed themselves, by [`At`].
    pub(crate) died: [usize; 3],
    /// Of what caches counted as hits: all, and those that were read from the folder.
    pub(crate) counted: (u64, u64),
    pub(crate) stale: Vec<String>,
    pub(crate) backwards: Vec<String>,
    pub(crate) others: Vec<String>,
}

impl Verdict {
    pub(crate) fn reads(&self) -> usize {
        self.sides.iter().map(|side| side.reads).sum()
    }

    /// What breaks a promise.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &String> {
        self.stale.iter().chain(&self.backwards).chain(&self.others)
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (name, side) in ["Rust", "Python"].iter().zip(&self.sides).filter(|(_, side)| side.reads > 0) {
            let Side { reads, hits, replaced } = side;
            writeln!(out, "{name}: {reads} reads, {hits} hits, {replaced} puts and deletes")?;
        }
        let (hits, shared) = self.counted;
        writeln!(
            out,
            "of {hits} hits that workers counted to their end, {shared} were read from the folder"
        )?;
        let Self { promises, unfinished, died, .. } = self;
        writeln!(
            out,
            "{promises} promises, {unfinished} changes cut off; workers killed themselves {} times in a change, {} in \
             a computation, {} before an invalidation",
            died[At::Change as usize],
            died[At::Computation as usize],
            died[At::Invalidation as usize],
        )?;
        let (stale, backwards, others) = (self.stale.len(), self.backwards.len(), self.others.len());
        write!(out, "stale reads: {stale}, backwards: {backwards}, other: {others}")
    }
}

pub(crate) fn check(history: &[Record]) -> Verdict {
    let mut verdict = Verdict::default();
    for record in history {
        note(record, &mut verdict);
    }
    let promises = promises(history);
    let put = puts(history);
    let mut hits: HashMap<u64, Vec<&Record>> = HashMap::new();
    let mut replaced: HashMap<u64, Vec<&Record>> = HashMap::new();
    for record in history {
        if record.is(Kind::Put) || record.is(Kind::Deleted) {
            replaced.entry(record.about).or_default().push(record);
        } else if record.is_read() {
            check_fresh(record, &promises, &put, &mut verdict);
            if record.is(Kind::Hit) {
                hits.entry(record.about).or_default().push(record);
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

/// Counts it.
fn note(record: &Record, verdict: &mut Verdict) {
    if record.to_ns - record.from_ns > TOO_LONG_NS {
        verdict.others.push(format!("this took too long: {record:?}"));
    }
    let about = usize::try_from(record.about).expect("a small number");
    let side = &mut verdict.sides[usize::from(about >= PYTHON)];
    if record.is_read() {
        side.reads += 1;
        side.hits += usize::from(record.is(Kind::Hit));
    } else if record.is(Kind::Put) || record.is(Kind::Deleted) {
        side.replaced += 1;
    } else if record.is(Kind::Promised) {
        verdict.promises += 1;
    } else if record.is(Kind::Changing) {
        verdict.unfinished += 1;
    } else if record.is(Kind::Changed) {
        verdict.unfinished -= 1;
    } else if record.is(Kind::Dying) {
        verdict.died[about] += 1;
    } else if record.is(Kind::Counted) {
        verdict.counted.0 += record.about;
        verdict.counted.1 += record.version;
    } else {
        verdict.others.push(format!("overlapped, failed or refused, by its kind: {record:?}"));
    }
}

/// When it was promised, the highest version promised until then, and when the latest until then began.
type Promise = (u64, u32, u64);

/// By tag, in the order in which they were made.
fn promises(history: &[Record]) -> Vec<Vec<Promise>> {
    let mut promises: Vec<Vec<Promise>> = vec![Vec::new(); TAGS];
    for record in history.iter().filter(|record| record.is(Kind::Promised)) {
        let version = u32::try_from(record.version).expect("a version");
        let tag = usize::try_from(record.about).expect("a tag");
        promises[tag].push((record.to_ns, version, record.from_ns));
    }
    for promises in &mut promises {
        promises.sort_unstable();
        let (mut highest, mut latest) = (0, 0);
        for (_, version, began) in promises {
            highest = highest.max(*version);
            latest = latest.max(*began);
            (*version, *began) = (highest, latest);
        }
    }
    promises
}

/// When what a program made beforehand was put: until then it may have been judged.
fn puts(history: &[Record]) -> HashMap<(u64, u64), Option<u64>> {
    let mut puts = HashMap::new();
    for record in history.iter().filter(|record| record.about >= PYTHON as u64) {
        if record.is(Kind::Put) {
            puts.insert((record.about, record.value.began_ns), Some(record.to_ns));
        } else if record.is(Kind::Hit) && record.about % PYTHON as u64 >= KEYS as u64 {
            puts.entry((record.about, record.value.began_ns)).or_insert(None);
        }
    }
    puts
}

fn tags_of(key: u64) -> Vec<usize> {
    let key = usize::try_from(key).expect("a key") % PYTHON;
    match key {
        _ if key < TAGS => vec![key],
        _ if key < 2 * TAGS => vec![key - TAGS, (key + 1) % TAGS],
        _ if key < KEYS => (0..TAGS).collect(),
        _ => vec![(key - KEYS) % TAGS],
    }
}

/// P1, by what was read, and by when it was computed.
fn check_fresh(
    read: &Record,
    promises: &[Vec<Promise>],
    put: &HashMap<(u64, u64), Option<u64>>,
    verdict: &mut Verdict,
) {
    let began = match put.get(&(read.about, read.value.began_ns)) {
        Some(Some(put)) => *put,
        // Its worker was killed before it said when.
        Some(None) => u64::MAX,
        None => read.value.began_ns,
    };
    for tag in tags_of(read.about) {
        let before = promises[tag].partition_point(|(at, ..)| *at < read.from_ns);
        let Some((_, need, since)) = before.checked_sub(1).map(|last| promises[tag][last]) else { continue };
        let version = read.value.versions[tag];
        if version != ABSENT && version < need {
            verdict.stale.push(format!("tag {tag} needs version {need}: {read:?}"));
        } else if began < since {
            verdict.stale.push(format!("tag {tag} was invalidated at {since}: {read:?}"));
        }
    }
}

/// P2: no hit returns what was computed wholly before what an earlier hit returned, or was put.
fn check_order(hits: &mut [&Record], replaced: &[&Record], verdict: &mut Verdict) {
    let puts = replaced.iter().filter(|record| record.is(Kind::Put));
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
    replaced.retain(|record| record.is(Kind::Deleted));
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
