//! How the engine learns of what was told and what was asked for: the only place that moves `applied`.
//!
//! Order, as everywhere: the floor and the marks first, then the rows, then `applied`; a mark that ended is lifted
//! last. What is of another incarnation than the engine's moves nothing.

use std::any::Any;
use std::sync::atomic::Ordering;

use zoocache_core::{DomainId, LogRow, MarkId, Tag, Timestamp};

use super::chain::Chain;
use super::inbox::{Item, Minted};
use super::range::Range;
use super::row::{Mark, Row, Rows};
use super::{Announced, Feed, State, mutant, with};
use crate::clock::boot_ns;

/// What is told of a position so far ahead is not believed.
const FAR_AHEAD_US: u64 = 24 * 3_600 * 1_000_000;

/// What has to be dropped once no lock is held.
type Gone = Vec<Box<dyn Any + Send>>;

/// Whether a look at the table was of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The engine knows everything up to when it was asked for.
    Known,
    /// The table was lost.
    Lost,
    /// It was of another incarnation than what the engine has entered since.
    Other,
}

/// What rows say, sorted.
#[derive(Default)]
struct Said {
    log: Vec<LogRow>,
    keys: Vec<(Vec<u8>, u64)>,
    marks: Vec<(Mark, Timestamp)>,
    settled: Vec<u64>,
    floor: Timestamp,
    /// The position of the latest of them.
    latest: Timestamp,
}

impl Said {
    fn add(&mut self, row: Row, at: Timestamp) {
        match row {
            Row::Tag(tag) => self.log.push(LogRow { tag, below_only: false, at }),
            Row::Key(key) => self.keys.push((key, 0)),
            Row::Mark(mark) => self.marks.push((mark, at)),
            Row::Settled(id) => self.settled.push(id),
            Row::Floor => self.floor = self.floor.max(at),
            Row::Clock(..) | Row::Other => return,
        }
        self.latest = self.latest.max(at);
    }

    fn is_news(&self) -> bool {
        !(self.log.is_empty() && self.keys.is_empty() && self.marks.is_empty() && self.settled.is_empty())
    }
}

impl Feed {
    /// Takes in what arrived.
    pub(super) fn take_in(&self) {
        let line = self.line.load_full();
        if line.inbox.is_empty() {
            return;
        }
        let mut gone = Gone::new();
        {
            let mut state = self.state.lock();
            // Under the lock: in the order of arrival, whoever takes them in.
            let contents = line.inbox.take();
            if contents.unsure_since_ns != 0 {
                self.set_unsure_since(contents.unsure_since_ns);
            }
            for item in contents.items {
                match item {
                    Item::Rows(rows) => self.take_rows(&mut state, rows, &mut gone),
                    Item::Range(range) => {
                        if self.take_range(&mut state, range, &mut gone) != Taken::Known {
                            self.set_unsure();
                        }
                    }
                    Item::Minted(minted) => self.take_minted(&mut state, minted),
                    Item::Gone(id, at_ns) => state.gone.push((id, at_ns)),
                }
            }
            if !self.is_unsure() {
                line.inbox.settle();
            }
        }
        // Values: dropping them may run foreign code.
        drop(gone);
    }

    /// Takes in a look at the table by whoever reads now.
    pub(super) fn take(&self, range: Range) -> Taken {
        let mut gone = Gone::new();
        let taken = {
            let mut state = self.state.lock();
            let applied = self.engine.signals().applied();
            let is_news = range
                .rows
                .iter()
                .any(|(row, at)| *at > applied && !matches!(row, Row::Clock(..) | Row::Other | Row::Floor));
            let taken = self.take_range(&mut state, range, &mut gone);
            if taken == Taken::Known && is_news && applied > Timestamp::ZERO {
                self.catch_ups.fetch_add(1, Ordering::Relaxed);
            }
            taken
        };
        drop(gone);
        taken
    }

    fn take_range(&self, state: &mut State, range: Range, gone: &mut Gone) -> Taken {
        let present = self.line.load().present().map(|connection| connection.incarnation);
        let is_own = self.engine.domain() == DomainId(range.incarnation);
        // A whole table of the present incarnation is a way into it; an earlier one is never entered again, and a
        // connection that was given up says nothing.
        if present != Some(range.incarnation) || (!is_own && range.from > Timestamp::ZERO) || range.is_cut_off
        {
            return Taken::Other;
        }
        let Some(clock) = range.clock else { return Taken::Lost };
        if is_own && !follows(state, range.latest, clock) {
            return Taken::Lost;
        }
        let asked_ns = if mutant::is_on("sent_at_reply") { boot_ns() } else { range.asked_ns };
        // What was applied already, also since this was asked for, is no news: a change that was settled meanwhile would
        // be announced again.
        let known = if is_own { range.from.max(self.engine.signals().applied()) } else { Timestamp::ZERO };
        let mut said = Said::default();
        for (row, at) in range.rows {
            if at > known || !is_own || row == Row::Floor {
                said.add(row, at);
            }
        }
        if mutant::is_on("ignore_floor") {
            said.floor = Timestamp::ZERO;
        }
        if !is_own && mutant::is_on("trust_empty") {
            (said.log, said.floor) = (Vec::new(), Timestamp::ZERO);
        }
        if !is_own {
            // Until its rows are applied, nothing of the new domain can be judged.
            self.engine.doubt();
            self.engine.reset_domain(DomainId(range.incarnation), said.floor);
            state.chain = Chain::default();
            if self.seen().incarnation != 0 {
                self.domain_changes.fetch_add(1, Ordering::Relaxed);
            }
        }
        said.latest = said.latest.max(range.latest);
        state.chain.add(said.latest);
        self.engine.raise_floor(said.floor);
        self.apply(state, said, true, gone);
        self.note_clock(clock);
        // A range that was asked for before something was missed may not show it.
        if range.asked_ns >= self.unsure_since_ns.load(Ordering::Acquire) {
            self.unsure_since_ns.store(0, Ordering::Release);
        }
        self.asked_ns.fetch_max(asked_ns, Ordering::AcqRel); // LAST
        if !self.is_unsure() {
            self.line.load().inbox.settle();
        }
        for minted in std::mem::take(&mut state.waiting) {
            if minted.incarnation == range.incarnation {
                self.take_minted(state, minted);
            } else {
                // Of an incarnation that is gone: everything that it covered is gone with it.
                self.lift(&minted.marks);
            }
        }
        let ended: Vec<_> = state.gone.extract_if(.., |(_, at_ns)| *at_ns <= range.asked_ns).collect();
        for (id, _) in ended {
            self.end_mark(state, id);
        }
        Taken::Known
    }

    fn take_rows(&self, state: &mut State, rows: Rows, gone: &mut Gone) {
        let Rows { incarnation, origin, before, at, told, heard_ns } = rows;
        let applied = self.engine.signals().applied();
        if self.engine.domain() != DomainId(incarnation) {
            self.set_unsure();
            return;
        }
        if !follows(state, before, at) {
            self.set_unsure();
            return;
        }
        if at <= applied {
            return;
        }
        if at.as_micros() > self.server_us().saturating_add(FAR_AHEAD_US) {
            // The clock may run ahead of the time, but hardly so far. Whether it does the table says.
            self.set_unsure();
            return;
        }
        if origin != self.node() {
            self.note_lag(at, heard_ns);
        }
        let Some(rows) = told else {
            self.set_unsure();
            return;
        };
        let mut said = Said::default();
        // What this process replaced it has replaced in its own memory, too.
        let others = rows.into_iter().filter(|row| origin != self.node() || !matches!(row, Row::Key(_)));
        others.for_each(|row| said.add(row, at));
        let is_deaf = mutant::is_on("ignore_gap") || mutant::is_on("trust_connection");
        let has_gap = before > applied && !is_deaf;
        if has_gap {
            self.set_unsure();
        }
        said.latest = at;
        state.chain.add(at);
        self.apply(state, said, !has_gap, gone);
        if !has_gap {
            self.note_clock(at);
        }
    }

    /// Ends the marks of what this process has invalidated itself.
    fn take_minted(&self, state: &mut State, minted: Minted) {
        if self.engine.domain() != DomainId(minted.incarnation) {
            self.set_unsure();
            state.waiting.push(minted);
            return;
        }
        let Minted { at, before, marks, owed, is_row, .. } = minted;
        let rows = owed.tags.iter().map(|tag| LogRow { tag: tag.clone(), below_only: false, at });
        // First: a mark may have ended at its deadline.
        self.engine.apply_rows(&rows.collect::<Vec<_>>());
        self.lift(&marks);
        for id in owed.settled() {
            self.end_mark(state, id);
        }
        if !follows(state, before, at) || before > self.engine.signals().applied() {
            self.set_unsure();
            return;
        }
        if is_row {
            state.chain.add(at);
            self.engine.apply_log(&[], at);
        }
        self.note_clock(at);
    }

    /// Ends marks whose tags are stamped, or need no stamp any more.
    fn lift(&self, marks: &[MarkId]) {
        for mark in marks {
            let _ = self.engine.settle_at(*mark, Timestamp::ZERO);
        }
        self.paid(marks);
    }

    /// Whether everything is known up to the latest row.
    fn apply(&self, state: &mut State, said: Said, is_all: bool, gone: &mut Gone) {
        let signals = self.engine.signals();
        let moves = is_all && (said.latest > signals.applied() || signals.in_doubt());
        if !said.is_news() && !moves {
            return;
        }
        for (mark, at) in said.marks {
            self.announce(state, &mark, at);
        }
        if is_all {
            self.engine.apply_log(&said.log, said.latest);
        } else {
            self.engine.apply_rows(&said.log);
        }
        for id in said.settled {
            // Its tags' rows came with it.
            self.end_mark(state, id);
        }
        if let Some(forget) = self.forget.get().filter(|_| !said.keys.is_empty()) {
            gone.push(forget(&said.keys));
        }
    }

    fn announce(&self, state: &mut State, mark: &Mark, at: Timestamp) {
        if mutant::is_on("ignore_marks") {
            return;
        }
        let Mark { id, tags, .. } = mark;
        let tags: &[Tag] = tags;
        // The deadline is the server's business: the log decides at which position the mark ends.
        state.marks.entry(*id).or_insert_with(|| self.engine.change(tags, u64::MAX, 0));
        self.note_mark(mark, at);
    }

    /// The change that this process is about to announce has this mark of the engine's.
    pub(super) fn announce_own(&self, id: u64, mark: MarkId) {
        self.state.lock().marks.insert(id, mark);
    }

    /// It could not be announced.
    pub(super) fn forget_own(&self, id: u64, mark: MarkId) {
        let mut state = self.state.lock();
        // A table that went back may have ended it and announced it anew: that mark ends as others do.
        if state.marks.get(&id) == Some(&mark) {
            state.marks.remove(&id);
        }
    }

    /// Remembers an announced change for a domain that loses it, and when it may be overdue.
    pub(super) fn note_mark(&self, mark: &Mark, at: Timestamp) {
        let left_us = mark.deadline_us.saturating_sub(at.as_micros()).min(mark.timeout_us);
        let in_us = |micros: u64| boot_ns().saturating_add(micros.saturating_mul(1_000));
        let announced =
            Announced { mark: mark.clone(), due_ns: in_us(left_us), end_ns: in_us(mark.timeout_us) };
        self.announced.rcu(|known| {
            with(known, |known| {
                known.entry(mark.id).or_insert_with(|| announced.clone());
            })
        });
    }

    /// An announced change has ended, and the rows that it left are known.
    fn end_mark(&self, state: &mut State, id: u64) {
        self.announced.rcu(|announced| with(announced, |announced| drop(announced.remove(&id))));
        if let Some(mark) = state.marks.remove(&id) {
            let _ = self.engine.settle_at(mark, Timestamp::ZERO);
        }
    }
}

/// Is what was seen still there, now that no row lies between these positions?
fn follows(state: &mut State, before: Timestamp, at: Timestamp) -> bool {
    state.chain.agrees(before, at) || mutant::is_on("no_rollback_check")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zoocache_core::{DependencySet, Rejected};

    use super::*;
    use crate::engine::{Engine, NativeEngine, Sealing};
    use crate::server::{Address, Consistency, Settings};

    /// A feed whose server is away, and its engine.
    fn alone() -> (Arc<Feed>, Arc<dyn Engine>) {
        let engine: Arc<dyn Engine> = Arc::new(NativeEngine::new(DomainId(1), 1));
        let settings = Settings {
            // Nothing listens on the first port.
            address: Address::parse("storage_url", "redis://127.0.0.1:1/0").expect("an address"),
            prefix: "test".to_owned(),
            node: None,
            consistency: Consistency::Strong,
            timings: None,
        };
        let (feed, away) = Feed::open(settings, Arc::clone(&engine)).expect("a server may be away");
        assert!(away.is_some());
        (feed, engine)
    }

    /// Is a change announced that keeps what depends on a tag from being stored?
    fn is_pending(engine: &dyn Engine, tag: &Tag) -> bool {
        let mut dependencies = DependencySet::default();
        dependencies.insert(engine.intern(tag));
        let sealing = Sealing { dependencies: &dependencies, as_of_bound: Timestamp::MAX, now_us: 0 };
        matches!(engine.seal(engine.begin(0), &sealing), Err(Rejected::Pending(_)))
    }

    #[test]
    fn a_change_that_was_announced_anew_before_its_own_call_failed_ends() {
        let (feed, engine) = alone();
        let tag = Tag::parse("a").expect("a tag");
        let own = engine.change(std::slice::from_ref(&tag), u64::MAX, 0);
        feed.announce_own(7, own);
        // It was settled by its deadline; then the table went back to where it was not.
        feed.end_mark(&mut feed.state.lock(), 7);
        let (timeout_us, row) = (1_000, b"m".to_vec());
        let mark = Mark { id: 7, deadline_us: 1_000, timeout_us, tags: vec![tag.clone()], row };
        feed.announce(&mut feed.state.lock(), &mark, Timestamp::ZERO);
        feed.forget_own(7, own);
        assert!(is_pending(&*engine, &tag));
        feed.end_mark(&mut feed.state.lock(), 7);
        assert!(!is_pending(&*engine, &tag), "it ends like that of anybody else");
    }

    #[test]
    fn a_change_that_could_not_be_announced_stands_until_its_caller_ends_it() {
        let (feed, engine) = alone();
        let tag = Tag::parse("a").expect("a tag");
        let own = engine.change(std::slice::from_ref(&tag), u64::MAX, 0);
        feed.announce_own(7, own);
        feed.forget_own(7, own);
        feed.end_mark(&mut feed.state.lock(), 7);
        assert!(is_pending(&*engine, &tag));
        engine.settle_at(own, Timestamp::ZERO).expect("it stands");
        assert!(!is_pending(&*engine, &tag));
    }
}
