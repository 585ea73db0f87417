//! What the checker found.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// What the nodes of one role did.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) reads: usize,
    pub(crate) hits: usize,
    /// Of what caches counted as hits: all, and those that were read from Redis.
    pub(crate) counted: u64,
    pub(crate) shared: u64,
}

/// What the checker found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) sides: BTreeMap<String, Side>,
    /// Invalidations that returned, and those that were queued.
    pub(crate) promised: usize,
    pub(crate) queued: usize,
    /// Puts and deletes.
    pub(crate) replaced: usize,
    /// Changes that were begun, and settled.
    pub(crate) changes: usize,
    pub(crate) settled: usize,
    /// Lines that say that Redis was away.
    pub(crate) away: usize,
    pub(crate) longest_ns: u64,
    /// P1, P1-delta, P5.
    pub(crate) stale: Vec<String>,
    /// Hits of whoever could not know any more whether they are fresh.
    pub(crate) unheard: Vec<String>,
    /// P2.
    pub(crate) backwards: Vec<String>,
    pub(crate) others: Vec<String>,
}

impl Verdict {
    pub(crate) fn reads(&self) -> usize {
        self.sides.values().map(|side| side.reads).sum()
    }

    pub(crate) fn hits(&self) -> usize {
        self.sides.values().map(|side| side.hits).sum()
    }

    /// What breaks a promise.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &String> {
        self.stale.iter().chain(&self.unheard).chain(&self.backwards).chain(&self.others)
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (name, Side { reads, hits, counted, shared }) in &self.sides {
            writeln!(
                out,
                "{name}: {reads} reads, {hits} hits; of {counted} counted at the end {shared} from Redis"
            )?;
        }
        let Self { promised, queued, replaced, changes, settled, away, longest_ns, .. } = self;
        writeln!(
            out,
            "{promised} invalidations and {queued} queued ones, {changes} changes of which {settled} were settled, \
             {replaced} puts and deletes; {away} times Redis was away, the longest call took {} ms",
            longest_ns / 1_000_000
        )?;
        let (stale, unheard) = (self.stale.len(), self.unheard.len());
        let (backwards, others) = (self.backwards.len(), self.others.len());
        write!(out, "stale reads: {stale}, without news: {unheard}, backwards: {backwards}, other: {others}")
    }
}
