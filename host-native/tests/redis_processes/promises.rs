//! What was promised to whom, from when on.

use super::check::Source;
use super::history::{Kind, Record};
use super::journal::Journal;
use super::{CHANGE, TAGS, nanos};

/// All that was promised of a tag until an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Promise {
    /// When the last of it was made.
    pub(crate) at_ns: u64,
    /// The highest version.
    pub(crate) version: u64,
    /// When the latest invalidation of it began: what was computed from before on is not to be read.
    pub(crate) began_ns: u64,
}

/// Of each tag, in the order in which they were made.
#[derive(Debug, Clone, Default)]
struct Line(Vec<Promise>);

impl Line {
    fn add(&mut self, record: &Record, at_ns: u64) {
        self.0.push(Promise { at_ns, version: record.version, began_ns: record.from_ns });
    }

    fn sum(&mut self) {
        self.0.sort_unstable();
        let (mut highest, mut latest) = (0, 0);
        for promise in &mut self.0 {
            highest = highest.max(promise.version);
            latest = latest.max(promise.began_ns);
            (promise.version, promise.began_ns) = (highest, latest);
        }
    }

    fn before(&self, ns: u64) -> Option<Promise> {
        let before = self.0.partition_point(|promise| promise.at_ns < ns);
        before.checked_sub(1).map(|last| self.0[last])
    }
}

type Lines = [Line; TAGS];

pub(crate) struct Promises {
    /// To everybody.
    all: Lines,
    /// To each process, of itself.
    own: Vec<Lines>,
}

impl Promises {
    pub(crate) fn new(sources: &[Source], journal: &Journal, healed_ns: u64) -> Self {
        let mut promises = Self { all: Lines::default(), own: Vec::new() };
        for source in sources {
            let mut own = Lines::default();
            let is_replayed = source.lived_until(healed_ns);
            for record in &source.records {
                let tag = record.place();
                if record.is(Kind::Promised) {
                    promises.all[tag].add(record, record.to_ns);
                    own[tag].add(record, record.to_ns);
                } else if record.is(Kind::Queued) {
                    own[tag].add(record, record.to_ns);
                    // The others are told when Redis is back, if its node lives.
                    if is_replayed {
                        promises.all[tag].add(record, record.to_ns.max(healed_ns));
                    }
                } else if record.is(Kind::Announced) && keeps_marks(journal, record.from_ns) {
                    promises.all[tag].add(record, record.to_ns);
                }
            }
            own.iter_mut().for_each(Line::sum);
            promises.own.push(own);
        }
        promises.all.iter_mut().for_each(Line::sum);
        promises
    }

    /// What a read of `tag` that began then must know, and whose promise that is.
    pub(crate) fn before(
        &self,
        (at, source): (usize, &Source),
        tag: usize,
        from_ns: u64,
    ) -> Option<(Promise, &'static str)> {
        let all = self.all[tag].before(from_ns.saturating_sub(source.lag_ns())).map(|all| (all, "to all"));
        let own = self.own[at][tag].before(from_ns).map(|own| (own, "its own"));
        match (all, own) {
            (Some((all, _)), Some((own, whose)))
                if own.version > all.version || own.began_ns > all.began_ns =>
            {
                let version = own.version.max(all.version);
                Some((Promise { version, began_ns: own.began_ns.max(all.began_ns), ..own }, whose))
            }
            (None, own) => own,
            (all, _) => all,
        }
    }
}

/// A mark that was lost with the history of Redis protects no change that its node never settled.
fn keeps_marks(journal: &Journal, from_ns: u64) -> bool {
    let deadline_ns = from_ns + 2 * nanos(CHANGE);
    !journal.losses.iter().any(|loss| loss.meets(from_ns, deadline_ns))
}
