//! The sequencer of a folder: what `host-native/src/sequencer/lmdb/mod.rs` does, in the same steps.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use zoocache::engine::Engine;
use zoocache::sequencer::{Change, Forget, Sequencer};
use zoocache::simulation::step;
use zoocache::{ClockError, Error, MarkId, SettleError, Tag, Timestamp, WallClock};
use zoocache_core::DomainId;
use zoocache_core::mutant::is_on;

use super::env::{Access, Draft};
use super::lock::Lock;
use super::news::{News, State, read_news};
use super::tables::{Mark, Row, Tags, mint, put_row, put_tags, raise_floor, remove_mark, remove_rows};
use super::{Handle, hold};
use crate::cluster::running;
use crate::machine::Machine;

/// Rows that one transaction deletes.
const TIDY_STEP: usize = 2;
/// Tags remembered while they cannot be written; of more, everything is invalidated.
const MAX_OWED: usize = 2;
/// Catch-ups that may find less than the latest commit before somebody looks after its writer.
const PATIENCE: u32 = 16;
/// Remembered of no transaction: the log has to be read.
const NOTHING: u64 = u64::MAX;

pub(crate) struct FolderSequencer {
    handle: Handle,
    clock: Arc<Machine>,
    max_age_us: u64,
    /// The number of the transaction the engine is as of.
    remembered: AtomicU64,
    /// When the next mark is due.
    deadline_us: AtomicU64,
    state: Lock<State>,
    /// Invalidations that could not be written yet.
    owed: Lock<Owed>,
    own_marks: Mutex<HashMap<u64, Vec<Tag>>>,
    forget: OnceLock<Forget>,
}

/// Invalidations that are to be written, and the marks under which they are pending in this process.
#[derive(Default)]
struct Owed {
    tags: Vec<Tag>,
    marks: Vec<MarkId>,
}

impl FolderSequencer {
    /// Enters the domain of the folder, and starts a new one where history may have been lost.
    pub(crate) fn open(
        handle: Handle,
        clock: Arc<Machine>,
        max_age_us: u64,
        new_domain: DomainId,
    ) -> Result<(Self, DomainId), Error> {
        let (identity, now_us) = (handle.rooms.identity, clock.now_us());
        let domain = handle.tags().write(|draft| {
            if let (true, Some(domain)) = (draft.identity == identity, draft.domain) {
                return Ok(domain);
            }
            let at = now_us.max(draft.clock_us + 1);
            (draft.clock_us, draft.floor_us) = (at, at);
            (draft.domain, draft.identity) = (Some(new_domain), identity);
            // Marks stay: who announced them may live.
            draft.clear_log();
            Ok(new_domain)
        })?;
        let sequencer = Self {
            handle,
            clock,
            max_age_us,
            remembered: AtomicU64::new(NOTHING),
            deadline_us: AtomicU64::new(u64::MAX),
            state: Lock::default(),
            owed: Lock::default(),
            own_marks: Mutex::default(),
            forget: OnceLock::new(),
        };
        Ok((sequencer, domain))
    }

    fn tags(&self) -> Access<'_, Tags> {
        self.handle.tags()
    }

    fn append(&self, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error> {
        let at = self.tags().write(|draft| {
            let Some(at) = mint(draft, now_us) else { return Ok(None) };
            put_tags(draft, at, tags);
            Ok(Some(at))
        })?;
        at.ok_or(Error::Clock(ClockError::Exhausted))
    }

    /// Lets what cannot be written be pending here, to be written as soon as that is possible.
    fn owe(&self, engine: &dyn Engine, tags: &[Tag]) {
        // Held, so that nobody who is catching up counts as current afterwards.
        let _state = self.state.lock();
        let mut owed = self.owed.lock();
        let more: Vec<Tag> = tags.iter().filter(|tag| !owed.tags.contains(tag)).cloned().collect();
        if !more.is_empty() {
            owed.marks.push(engine.change(&more, u64::MAX, 0));
            owed.tags.extend(more);
        }
        if owed.tags.len() > MAX_OWED {
            let all =
                Owed { tags: vec![Tag::root()], marks: vec![engine.change(&[Tag::root()], u64::MAX, 0)] };
            for mark in std::mem::replace(&mut *owed, all).marks {
                let _ = engine.settle_at(mark, Timestamp::ZERO);
            }
        }
        step();
        self.remembered.store(NOTHING, Ordering::Release);
    }

    /// Writes what could not be written before; its marks end when that is read.
    fn pay(&self, state: &mut State, now_us: u64) -> Result<(), Error> {
        let mut owed = self.owed.lock();
        if !owed.tags.is_empty() {
            self.append(&owed.tags, now_us)?;
            state.paid.append(&mut std::mem::take(&mut *owed).marks);
        }
        Ok(())
    }

    /// Turns the marks that are due into invalidations.
    fn settle_due(&self, now_us: u64) -> Result<(), Error> {
        self.tags().write(|draft| {
            let due = draft.marks.iter().filter(|(_, mark)| mark.deadline_us <= now_us);
            let due: Vec<_> = due.map(|(id, mark)| (*id, mark.tags.clone())).collect();
            for (id, tags) in due {
                // Without a position left the mark holds.
                let Some(at) = mint(draft, now_us) else { break };
                put_tags(draft, at, &tags);
                remove_mark(draft, id);
            }
            Ok(())
        })
    }

    /// Applies what was read, marks before rows and the floor before both.
    fn apply(&self, engine: &dyn Engine, state: &mut State, news: News) -> Vec<(Vec<u8>, u64)> {
        let to = Timestamp::from_micros(news.clock_us);
        if news.domain != engine.domain() {
            engine.reset_domain(news.domain, Timestamp::from_micros(news.floor_us));
        }
        let floor = Timestamp::from_micros(news.floor_us);
        if state.has_read
            && floor > engine.signals().floor()
            && let Some(cluster) = running()
        {
            cluster.judge.floor_has_risen();
        }
        engine.raise_floor(floor);
        let mut ended = std::mem::take(&mut state.paid);
        if let Some(marks) = news.marks.filter(|_| !is_on("ignore_marks_folder")) {
            for (id, mark) in &marks {
                // The deadline is the table's business: the log decides at which position the mark ends.
                state.marks.entry(*id).or_insert_with(|| engine.change(&mark.tags, u64::MAX, 0));
            }
            let earliest = marks.values().map(|mark| mark.deadline_us).min();
            self.deadline_us.store(earliest.unwrap_or(u64::MAX), Ordering::Release);
            state.marks.retain(|id, mark| {
                let stays = marks.contains_key(id);
                if !stays {
                    ended.push(*mark);
                }
                stays
            });
        }
        engine.apply_log(&news.rows, to);
        for mark in ended {
            // Its tags' rows, or a floor above them, came with the same snapshot.
            let _ = engine.settle_at(mark, Timestamp::ZERO);
        }
        (state.applied_us, state.marks_changes, state.has_read) = (news.clock_us, news.marks_changes, true);
        let State { own_rows, .. } = state;
        let others = news.keys.into_iter().filter(|(at, _)| !own_rows.contains(at));
        let others = others.map(|(_, key)| key).collect();
        own_rows.retain(|at| *at > news.clock_us);
        others
    }
}

impl Sequencer for FolderSequencer {
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error> {
        if tags.is_empty() {
            return Ok(engine.signals().applied());
        }
        match self.append(tags, now_us) {
            Ok(at) => {
                // If it cannot be read, nothing is served until it can.
                let _ = self.catch_up(engine);
                Ok(at)
            }
            Err(error) => {
                self.owe(engine, tags);
                Err(error)
            }
        }
    }

    fn change(&self, engine: &dyn Engine, change: &Change<'_>) -> Result<MarkId, Error> {
        let mark = Mark { deadline_us: change.deadline_us, tags: change.tags.to_vec() };
        let id = self.tags().write(|draft| {
            draft.last_mark += 1;
            draft.marks_changes += 1;
            let id = draft.last_mark;
            draft.marks.insert(id, mark);
            Ok(id)
        })?;
        hold(&self.own_marks).insert(id, change.tags.to_vec());
        let _ = self.catch_up(engine);
        Ok(MarkId(id))
    }

    fn settle(&self, engine: &dyn Engine, mark: MarkId, now_us: u64) -> Result<Timestamp, Error> {
        let own = hold(&self.own_marks).get(&mark.0).cloned();
        let settled = self.tags().write(|draft| {
            let tags = draft.marks.get(&mark.0).map(|mark| mark.tags.clone());
            // One that expired invalidates again: the change may have been made after its deadline.
            let Some(tags) = tags.or_else(|| own.clone()) else { return Ok(Err(SettleError::Unknown(mark))) };
            let Some(at) = mint(draft, now_us) else {
                return Ok(Err(SettleError::Clock(ClockError::Exhausted)));
            };
            put_tags(draft, at, &tags);
            remove_mark(draft, mark.0);
            Ok(Ok(at))
        });
        match settled {
            Ok(at) => {
                let at = at?;
                hold(&self.own_marks).remove(&mark.0);
                let _ = self.catch_up(engine);
                Ok(at)
            }
            Err(error) => {
                // The mark may have ended by itself before the change was made.
                if let Some(tags) = own {
                    self.owe(engine, &tags);
                }
                Err(error)
            }
        }
    }

    fn follows_log(&self) -> bool {
        true
    }

    fn is_current(&self) -> bool {
        let deadline_us = self.deadline_us.load(Ordering::Acquire);
        self.tags().number() == self.remembered.load(Ordering::Acquire)
            && (deadline_us == u64::MAX || self.clock.now_us() < deadline_us)
    }

    fn catch_up(&self, engine: &dyn Engine) -> Result<(), Error> {
        let mut state = self.state.lock();
        if self.is_current() {
            return Ok(());
        }
        let now_us = self.clock.now_us();
        self.pay(&mut state, now_us)?;
        if now_us >= self.deadline_us.load(Ordering::Acquire) {
            self.settle_due(now_us)?;
        }
        let saw = self.tags().number();
        let news = read_news(&self.handle, engine, &state)?;
        let number = if is_on("saw_number") { saw } else { news.number };
        state.behind = if news.number < self.tags().number() { state.behind + 1 } else { 0 };
        if state.behind > PATIENCE {
            state.behind = 0;
            self.tags().heal()?;
        }
        let keys = self.apply(engine, &mut state, news);
        let gone = self.forget.get().filter(|_| !keys.is_empty()).map(|forget| forget(&keys));
        step();
        self.remembered.store(number, Ordering::Release); // LAST
        drop(state);
        drop(gone);
        Ok(())
    }

    fn would_wait(&self) -> bool {
        let is_quiet = self.state.try_lock().is_some_and(|state| state.behind < PATIENCE)
            && self.owed.try_lock().is_some_and(|owed| owed.tags.is_empty());
        !is_quiet || self.clock.now_us() >= self.deadline_us.load(Ordering::Acquire)
    }

    fn replaced(&self, key: &[u8], number: u64) -> Result<(), Error> {
        if is_on("no_replaced") {
            return Ok(());
        }
        let now_us = self.clock.now_us();
        // Held until the row is known to be our own: reading it must not make us forget what replaced it.
        let mut state = self.state.lock();
        let at = self.tags().write(|draft: &mut Draft<Tags>| {
            let at = mint(draft, now_us);
            if let Some(at) = at {
                put_row(draft, (at.as_micros(), 0), Row::Key(key.to_vec(), number));
            }
            Ok(at)
        })?;
        state.own_rows.insert(at.ok_or(Error::Clock(ClockError::Exhausted))?.as_micros());
        Ok(())
    }

    fn when_replaced(&self, forget: Forget) {
        let _ = self.forget.set(forget);
    }

    fn tidy(&self, engine: &dyn Engine, now_us: u64) -> Result<(), Error> {
        let horizon_us = now_us.saturating_sub(self.max_age_us);
        loop {
            let old = self.tags().read()?.oldest(TIDY_STEP).filter(|at| *at < horizon_us).last();
            let Some(last_us) = old else { break };
            let is_split = is_on("floor_after_rows");
            self.tags().write(|draft| {
                remove_rows(draft, TIDY_STEP, last_us);
                if !is_split {
                    raise_floor(draft, last_us);
                }
                Ok(())
            })?;
            if is_split {
                self.tags().write(|draft| {
                    raise_floor(draft, last_us);
                    Ok(())
                })?;
            }
        }
        engine.set_horizon(Timestamp::from_micros(horizon_us));
        Ok(())
    }
}
