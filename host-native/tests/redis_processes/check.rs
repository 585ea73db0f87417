//! Checks recorded histories against the promises.

use std::collections::HashMap;

use super::history::{Kind, Record};
use super::journal::Journal;
use super::order::check_order;
use super::promises::Promises;
use super::roles::Role;
use super::truth::ABSENT;
use super::verdict::Verdict;
use super::{CLOCK_ERROR, KEYS, MAX_STALENESS, NODES, TAGS, TOO_LONG, nanos};

/// What one process wrote.
pub(crate) struct Source {
    pub(crate) place: usize,
    pub(crate) role: Role,
    pub(crate) records: Vec<Record>,
}

impl Source {
    /// By how much what it serves may be out of date, with the error of measuring it.
    pub(crate) fn lag_ns(&self) -> u64 {
        if self.role.is_strong() { 0 } else { nanos(MAX_STALENESS + CLOCK_ERROR) }
    }

    /// Did it live until then?
    pub(crate) fn lived_until(&self, ns: u64) -> bool {
        self.records.iter().any(|record| record.is(Kind::Counted) || record.to_ns >= ns)
    }
}

/// Checks everything. What was queued is promised to all from `healed_ns` on.
pub(crate) fn check(sources: &[Source], journal: &Journal, healed_ns: u64) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        source.records.iter().for_each(|record| note(source, record, journal, &mut verdict));
    }
    let promises = Promises::new(sources, journal, healed_ns);
    let put = puts(sources);
    for (at, source) in sources.iter().enumerate() {
        for record in source.records.iter().filter(|record| record.is_read()) {
            check_fresh((at, source), record, &promises, &put, &mut verdict);
            if record.is(Kind::Hit) {
                check_closed(source, record, journal, &mut verdict);
            }
        }
    }
    check_order(sources, journal, &mut verdict);
    verdict
}

/// Counts it.
fn note(source: &Source, record: &Record, journal: &Journal, verdict: &mut Verdict) {
    let took = record.to_ns - record.from_ns;
    if took > nanos(TOO_LONG) + journal.stopped_ns(record.from_ns, record.to_ns) {
        verdict.others.push(format!("this took {} ms, {:?}: {record:?}", took / 1_000_000, source.role));
    }
    verdict.longest_ns = verdict.longest_ns.max(took);
    let side = verdict.sides.entry(source.role.name()).or_default();
    if record.is_read() {
        side.reads += 1;
        side.hits += usize::from(record.is(Kind::Hit));
    } else if record.is(Kind::Put) || record.is(Kind::Deleted) {
        verdict.replaced += 1;
    } else if record.is(Kind::Promised) {
        verdict.promised += 1;
    } else if record.is(Kind::Queued) {
        verdict.queued += 1;
    } else if record.is(Kind::Changing) {
        verdict.changes += 1;
    } else if record.is(Kind::Changed) {
        verdict.settled += 1;
    } else if record.is(Kind::Away) {
        verdict.away += 1;
    } else if record.is(Kind::Counted) {
        side.counted += record.about;
        side.shared += record.version;
    } else if !record.is(Kind::Announced) && !record.is(Kind::Dying) {
        let what = format!("overlapped, failed or refused, by its kind: {:?}, {record:?}", source.role);
        verdict.others.push(what);
    }
}

/// When what a program made beforehand was put: until then it may have been judged.
fn puts(sources: &[Source]) -> HashMap<(u64, u64), u64> {
    let records = || sources.iter().flat_map(|source| &source.records);
    let of = |record: &Record| (record.about, record.value.began_ns);
    let mut puts: HashMap<_, _> =
        records().filter(|record| record.is(Kind::Put)).map(|record| (of(record), record.to_ns)).collect();
    for hit in records().filter(|record| record.is(Kind::Hit) && record.place() >= KEYS) {
        // Its node was killed, or told that Redis was away, before it said when.
        puts.entry(of(hit)).or_insert(u64::MAX);
    }
    puts
}

fn tags_of(key: usize) -> Vec<usize> {
    match key {
        _ if key < TAGS => vec![key],
        _ if key < 2 * TAGS => vec![key - TAGS, (key + 1) % TAGS],
        _ if key < KEYS => (0..TAGS).collect(),
        _ => vec![(key - KEYS) % NODES % TAGS],
    }
}

/// P1, P1-delta and P5, by what was read, and by when it was computed.
fn check_fresh(
    (at, source): (usize, &Source),
    read: &Record,
    promises: &Promises,
    put: &HashMap<(u64, u64), u64>,
    verdict: &mut Verdict,
) {
    let began = put.get(&(read.about, read.value.began_ns)).copied().unwrap_or(read.value.began_ns);
    for tag in tags_of(read.place()) {
        let Some((need, whose)) = promises.before((at, source), tag, read.from_ns) else { continue };
        let version = read.value.versions[tag];
        if version != ABSENT && u64::from(version) < need.version || began < need.began_ns {
            let late_ms = read.from_ns.saturating_sub(need.at_ns) / 1_000_000;
            let what = format!(
                "tag {tag} needs version {} ({whose}), promised {late_ms} ms before to {:?} at {}: {read:?}",
                need.version, source.role, source.place
            );
            verdict.stale.push(what);
        }
    }
}

/// Nobody serves what it could not have asked Redis for, beyond what it may hold.
fn check_closed(source: &Source, hit: &Record, journal: &Journal, verdict: &mut Verdict) {
    for (who, span) in &journal.closed {
        let is_meant = who.is_none_or(|place| place == source.place);
        if is_meant && hit.from_ns > span.from_ns + source.lag_ns() && hit.to_ns < span.to_ns {
            let after_ms = (hit.from_ns - span.from_ns) / 1_000_000;
            let what = format!("a hit {after_ms} ms after Redis was gone for {:?}: {hit:?}", source.role);
            verdict.unheard.push(what);
        }
    }
}
