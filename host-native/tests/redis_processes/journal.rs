//! What was done to the nodes and to Redis, and when: what may be asked of them depends on it.

use std::fmt::{self, Display, Formatter};

use super::truth::now_ns;

/// From when to when, on the clock of the histories.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

impl Span {
    pub(crate) fn since(from_ns: u64) -> Self {
        Self { from_ns, to_ns: now_ns() }
    }

    pub(crate) fn meets(&self, from_ns: u64, to_ns: u64) -> bool {
        self.from_ns <= to_ns && from_ns <= self.to_ns
    }
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Faults, in their order.
    pub(crate) faults: Vec<(&'static str, Span)>,
    /// Nodes were stopped: whoever waited for one, or was one, waited longer.
    pub(crate) stops: Vec<Span>,
    /// Nobody could reach Redis, or only this node could not.
    pub(crate) closed: Vec<(Option<usize>, Span)>,
    /// Redis may have lost what it knew.
    pub(crate) losses: Vec<Span>,
    /// Redis may have evicted entries, or lost their bytes, and kept what it knew of them.
    pub(crate) evictions: Vec<Span>,
    /// Incarnations of the domain that were seen.
    pub(crate) domains: Vec<String>,
    /// What could not be done here.
    pub(crate) skipped: Vec<String>,
}

impl Journal {
    /// How long nodes were stopped meanwhile, at most.
    pub(crate) fn stopped_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let met = self.stops.iter().filter(|stop| stop.meets(from_ns, to_ns));
        met.map(|stop| stop.to_ns - stop.from_ns).sum()
    }

    pub(crate) fn see_domain(&mut self, domain: String) {
        if self.domains.last() != Some(&domain) {
            self.domains.push(domain);
        }
    }
}

impl Display for Journal {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (name, span) in &self.faults {
            writeln!(out, "{} {} {name}", span.from_ns, span.to_ns)?;
        }
        for (node, span) in &self.closed {
            writeln!(out, "{} {} closed {node:?}", span.from_ns, span.to_ns)?;
        }
        for span in &self.losses {
            writeln!(out, "{} {} lost", span.from_ns, span.to_ns)?;
        }
        Ok(())
    }
}
