//! P2, and that what was put or deleted stays so.

use std::collections::HashMap;

use super::check::Source;
use super::history::{Kind, Record};
use super::journal::Journal;
use super::verdict::Verdict;
use super::{CLOCK_ERROR, MAX_STALENESS, nanos};

/// A line of history, and who wrote it.
type Line<'a> = (usize, &'a Source, &'a Record);

/// Among all processes that share entries, and in each for itself.
pub(crate) fn check_order(sources: &[Source], journal: &Journal, verdict: &mut Verdict) {
    let mut by_key: HashMap<u64, Vec<Line<'_>>> = HashMap::new();
    for (at, source) in sources.iter().enumerate() {
        for record in &source.records {
            if record.is(Kind::Hit) || record.is(Kind::Put) || record.is(Kind::Deleted) {
                by_key.entry(record.about).or_default().push((at, source, record));
            }
        }
    }
    for lines in by_key.into_values() {
        let shared: Vec<_> =
            lines.iter().filter(|(_, source, _)| source.role.shares_entries()).copied().collect();
        let (strong, lagging): (Vec<_>, Vec<_>) = shared
            .iter()
            .filter(|line| line.2.is(Kind::Hit))
            .copied()
            .partition(|line| line.1.role.is_strong());
        // A near cache may not have heard yet of what others saw.
        for (hits, lag_ns) in [(strong, 0), (lagging, nanos(MAX_STALENESS + CLOCK_ERROR))] {
            check_seen(&hits, &shared, (lag_ns, "others"), journal, verdict);
            check_deleted(&hits, &shared, lag_ns, journal, verdict);
        }
        let mut by_process: HashMap<usize, Vec<Line<'_>>> = HashMap::new();
        for line in &lines {
            by_process.entry(line.0).or_default().push(*line);
        }
        for own in by_process.into_values() {
            let hits: Vec<_> = own.iter().filter(|line| line.2.is(Kind::Hit)).copied().collect();
            check_seen(&hits, &own, (0, "itself"), journal, verdict);
            check_deleted(&hits, &own, 0, journal, verdict);
        }
    }
}

/// What was deleted or evicted leaves no trace of what it was, except that nothing of before may come back.
fn is_excused(journal: &Journal, hit: &Record) -> bool {
    journal.evictions.iter().any(|span| span.meets(hit.value.ended_ns, hit.from_ns))
}

/// No hit returns what was computed wholly before what an earlier hit returned, or was put.
fn check_seen(
    hits: &[Line<'_>],
    seen: &[Line<'_>],
    (lag_ns, by): (u64, &str),
    journal: &Journal,
    verdict: &mut Verdict,
) {
    let seen = seen.iter().filter(|line| !line.2.is(Kind::Deleted));
    let mut ended: Vec<_> = seen.map(|line| (line.2.to_ns, line.2.value.began_ns)).collect();
    ended.sort_unstable();
    let mut hits: Vec<_> = hits.to_vec();
    hits.sort_unstable_by_key(|line| line.2.from_ns);
    let (mut next, mut latest) = (0, 0);
    for (_, source, hit) in hits {
        while next < ended.len() && ended[next].0 + lag_ns < hit.from_ns {
            latest = latest.max(ended[next].1);
            next += 1;
        }
        if hit.value.ended_ns < latest && !is_excused(journal, hit) {
            let what =
                format!("{by} had seen what was computed from {latest} on, {:?}: {hit:?}", source.role);
            verdict.backwards.push(what);
        }
    }
}

/// No hit returns what was deleted, or what was being computed then.
fn check_deleted(
    hits: &[Line<'_>],
    lines: &[Line<'_>],
    lag_ns: u64,
    journal: &Journal,
    verdict: &mut Verdict,
) {
    let mut deleted: Vec<_> =
        lines.iter().filter(|line| line.2.is(Kind::Deleted)).map(|line| line.2).collect();
    deleted.sort_unstable_by_key(|record| record.to_ns);
    let mut hits: Vec<_> = hits.to_vec();
    hits.sort_unstable_by_key(|line| line.2.from_ns);
    let (mut next, mut deleted_ns) = (0, 0);
    for (_, source, hit) in hits {
        while next < deleted.len() && deleted[next].to_ns + lag_ns < hit.from_ns {
            deleted_ns = deleted_ns.max(deleted[next].from_ns);
            next += 1;
        }
        if hit.value.began_ns < deleted_ns && !is_excused(journal, hit) {
            verdict.backwards.push(format!("it was deleted at {deleted_ns}, {:?}: {hit:?}", source.role));
        }
    }
}
