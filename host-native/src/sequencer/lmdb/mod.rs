//! The sequencer of the processes of one machine: LMDB's single write transaction gives out the positions.
//!
//! ```text
//! meta    format, domain, clock, floor, device and inode, last mark, changes of marks
//! log     position, number in its batch → kind, number of a change, tag or key: one row for each tag, its latest
//! tags    hash of kind and tag → its key in `log`
//! marks   number → deadline, tags: announced changes
//! ```
//! So the log is compacted, what came after a position is one range of it, and a process that opens the folder
//! reads the same range from the beginning. Rows of the kind "key" tell that what is remembered of one key will
//! be replaced or deleted, by the change of the entries that has the number; for tags it is the process that invalidated
//! them, which nobody relies on. All rows are sealed.
//!
//! Invariant (`docs/design/0007-lmdb.md`, `tests/lmdb_model.rs`): the engine is current while the number of the
//! latest commit is that of the transaction *it was read in*; what is read is applied before that number is
//! remembered; rows go in the transaction that raises the floor over them.

mod history;
mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use heed::RwTxn;
use zoocache_core::{ClockError, DomainId, MarkId, SettleError, Tag, Timestamp};

use super::{Change, Forget, Invalidated, Sequencer, Wanted};
use crate::clock::WallClock;
use crate::engine::Engine;
use crate::error::Error;
use crate::folder::{Folder, FolderError, Rooms, seal};
use crate::lock::Mutex;

use tables::{
    BY_DEADLINE, LOG, MARKS, META, News, OF_KEY, Row, TAGS, count_mark, domain_in, mark_bytes, marks_in,
    mint, position_of, put_row, put_tags, read_mark, read_news, remove_mark,
};

/// The format of the folder. A later one is refused; there is no earlier one.
const FORMAT: u64 = 2;
/// Rows that one transaction deletes: a writer waits no longer than that takes.
const TIDY_STEP: usize = 1_000;
/// Tags remembered while they cannot be written; of more, everything is invalidated.
const MAX_OWED: usize = 256;
/// Catch-ups that may find less than the latest commit before somebody looks after its writer.
const PATIENCE: u32 = 16;
/// Remembered of no transaction: the log has to be read.
const NOTHING: u64 = u64::MAX;

/// Orders invalidations among the processes that open one folder.
pub(crate) struct LmdbSequencer {
    folder: Arc<Folder>,
    clock: Arc<dyn WallClock>,
    max_age_us: u64,
    /// The number of the transaction the engine is as of.
    remembered: AtomicU64,
    /// When the next mark is due.
    deadline_us: AtomicU64,
    state: Mutex<State>,
    /// Invalidations that could not be written yet.
    owed: Mutex<Owed>,
    /// Of the marks this process set: a late `settle` must still know them.
    own_marks: Mutex<HashMap<u64, Vec<Tag>>>,
    forget: OnceLock<Forget>,
    domain_changes: AtomicU64,
}

/// Invalidations that are to be written, and the marks under which they are pending in this process.
#[derive(Default)]
struct Owed {
    tags: Vec<Tag>,
    marks: Vec<MarkId>,
}

#[derive(Default)]
struct State {
    applied_us: u64,
    marks_changes: u64,
    /// The engine's names of the marks in the table.
    marks: BTreeMap<u64, MarkId>,
    /// Rows of the kind "key" that this process wrote and has not read yet.
    own_rows: HashSet<u64>,
    /// Marks of what was owed, is written, and has not been read yet.
    paid: Vec<MarkId>,
    behind: u32,
}

impl LmdbSequencer {
    /// Enters the domain of the folder, and starts a new one where history may have been lost: after a restart
    /// of the machine, and in a copy of a folder.
    pub(crate) fn open(
        folder: Arc<Folder>,
        clock: Arc<dyn WallClock>,
        max_age_us: u64,
        new_domain: DomainId,
    ) -> Result<(Self, DomainId), FolderError> {
        let rooms = folder.rooms()?;
        let identity = rooms.identity()?;
        let now_us = clock.now_us();
        let meta = rooms.tags.table(META);
        let found = rooms.tags.write(|txn| {
            let format = seal::number(meta, txn, b"format")?;
            if format.is_some_and(|format| format != FORMAT) {
                return Ok(Err(format.unwrap_or_default()));
            }
            let same = seal::get(meta, txn, b"identity")? == Some(&identity[..]);
            if let (true, Some(domain)) = (same, domain_in(meta, txn)?) {
                return Ok(Ok(domain));
            }
            let at = now_us.max(seal::number(meta, txn, b"clock")?.unwrap_or(0) + 1);
            for (name, number) in [(&b"format"[..], FORMAT), (b"clock", at), (b"floor", at)] {
                seal::put(meta, txn, name, &number.to_be_bytes())?;
            }
            seal::put(meta, txn, b"domain", &new_domain.0.to_be_bytes())?;
            seal::put(meta, txn, b"identity", &identity)?;
            // Marks stay: who announced them may live.
            rooms.tags.table(LOG).clear(txn)?;
            rooms.tags.table(TAGS).clear(txn)?;
            Ok(Ok(new_domain))
        })?;
        let path = || folder.path().display().to_string();
        let domain = found.map_err(|found| FolderError::Newer { path: path(), found, readable: FORMAT })?;
        let sequencer = Self {
            folder,
            clock,
            max_age_us,
            remembered: AtomicU64::new(NOTHING),
            deadline_us: AtomicU64::new(u64::MAX),
            state: Mutex::default(),
            owed: Mutex::default(),
            own_marks: Mutex::default(),
            forget: OnceLock::new(),
            domain_changes: AtomicU64::new(0),
        };
        Ok((sequencer, domain))
    }

    /// Appends rows, and what else `also` does, in one transaction.
    fn append(
        &self,
        tags: &[Tag],
        now_us: u64,
        mut also: impl FnMut(&Rooms, &mut RwTxn<'_>) -> heed::Result<()>,
    ) -> Result<Timestamp, Error> {
        let rooms = self.folder.rooms()?;
        let at = rooms.tags.write(|txn| {
            also(&rooms, txn)?;
            let Some(at) = mint(&rooms, txn, now_us)? else { return Ok(None) };
            put_tags(&rooms, txn, at, tags, here())?;
            Ok(Some(at))
        })?;
        at.ok_or(Error::Clock(ClockError::Exhausted))
    }

    /// Lets what cannot be written be pending here, to be written as soon as that is possible. Not stale: that is for the
    /// log to say, as what is stale here is removed or replaced without a word to others, for whom it is fresh.
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
        self.remembered.store(NOTHING, Ordering::Release);
    }

    /// Writes what could not be written before; its marks end when that is read.
    fn pay(&self, state: &mut State, now_us: u64) -> Result<(), Error> {
        let mut owed = self.owed.lock();
        if !owed.tags.is_empty() {
            self.append(&owed.tags, now_us, |_, _| Ok(()))?;
            state.paid.append(&mut std::mem::take(&mut *owed).marks);
        }
        Ok(())
    }

    /// Turns the marks that are due into invalidations.
    fn settle_due(&self, now_us: u64) -> Result<(), Error> {
        let rooms = self.folder.rooms()?;
        rooms.tags.write(|txn| {
            let due = marks_in(rooms.tags.table(MARKS), txn)?;
            for (id, mark) in due.into_iter().filter(|(_, mark)| mark.deadline_us <= now_us) {
                // Without a position left the mark holds.
                let Some(at) = mint(&rooms, txn, now_us)? else { break };
                put_tags(&rooms, txn, at, &mark.tags, BY_DEADLINE)?;
                remove_mark(&rooms, txn, id)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Invalidates the tags of a mark and removes it.
    fn write_settled(
        &self,
        mark: MarkId,
        own: Option<&[Tag]>,
        now_us: u64,
    ) -> Result<Result<Timestamp, SettleError>, Error> {
        let rooms = self.folder.rooms()?;
        let settled = rooms.tags.write(|txn| {
            let row = seal::get(rooms.tags.table(MARKS), txn, &mark.0.to_be_bytes())?;
            let tags = row.and_then(read_mark).map(|mark| mark.tags);
            // One that expired invalidates again: the change may have been made after its deadline.
            let Some(tags) = tags.or_else(|| own.map(<[Tag]>::to_vec)) else {
                return Ok(Err(SettleError::Unknown(mark)));
            };
            let Some(at) = mint(&rooms, txn, now_us)? else {
                return Ok(Err(SettleError::Clock(ClockError::Exhausted)));
            };
            put_tags(&rooms, txn, at, &tags, here())?;
            remove_mark(&rooms, txn, mark.0)?;
            Ok(Ok(at))
        })?;
        Ok(settled)
    }

    /// Applies what was read, marks before rows and the floor before both, and remembers its number last.
    fn apply(&self, engine: &dyn Engine, state: &mut State, news: News) -> Vec<(Vec<u8>, u64)> {
        let to = Timestamp::from_micros(news.clock_us);
        if news.domain != engine.domain() {
            engine.reset_domain(news.domain, Timestamp::from_micros(news.floor_us));
            self.domain_changes.fetch_add(1, Ordering::Relaxed);
        }
        engine.raise_floor(Timestamp::from_micros(news.floor_us));
        let mut ended = std::mem::take(&mut state.paid);
        if let Some(marks) = news.marks {
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
        (state.applied_us, state.marks_changes) = (news.clock_us, news.marks_changes);
        let State { own_rows, .. } = state;
        let others = news.keys.into_iter().filter(|(at, _)| !own_rows.contains(at));
        let others = others.map(|(_, key)| key).collect();
        own_rows.retain(|at| *at > news.clock_us);
        others
    }
}

impl Sequencer for LmdbSequencer {
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error> {
        if tags.is_empty() {
            return Ok(engine.signals().applied());
        }
        match self.append(tags, now_us, |_, _| Ok(())) {
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
        let rooms = self.folder.rooms()?;
        let (meta, marks) = (rooms.tags.table(META), rooms.tags.table(MARKS));
        let row = mark_bytes(change);
        let id = rooms.tags.write(|txn| {
            let id = seal::number(meta, txn, b"last mark")?.unwrap_or(0) + 1;
            seal::put(meta, txn, b"last mark", &id.to_be_bytes())?;
            seal::put(marks, txn, &id.to_be_bytes(), &row)?;
            count_mark(meta, txn)?;
            Ok(id)
        })?;
        self.own_marks.lock().insert(id, change.tags.to_vec());
        let _ = self.catch_up(engine);
        Ok(MarkId(id))
    }

    fn settle(&self, engine: &dyn Engine, mark: MarkId, now_us: u64) -> Result<Timestamp, Error> {
        let own = self.own_marks.lock().get(&mark.0).cloned();
        match self.write_settled(mark, own.as_deref(), now_us) {
            Ok(at) => {
                let at = at?;
                self.own_marks.lock().remove(&mark.0);
                let _ = self.catch_up(engine);
                Ok(at)
            }
            Err(error) => {
                // The mark may have ended by itself before the change was made: then nothing else invalidates it.
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

    #[inline]
    fn is_current(&self) -> bool {
        let deadline_us = self.deadline_us.load(Ordering::Acquire);
        self.folder.number() == self.remembered.load(Ordering::Acquire)
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
        let rooms = self.folder.rooms()?;
        let news = read_news(&rooms, engine, &state)?;
        let number = news.number;
        state.behind = if number < rooms.tags.number() { state.behind + 1 } else { 0 };
        if state.behind > PATIENCE {
            state.behind = 0;
            rooms.tags.heal()?;
        }
        let keys = self.apply(engine, &mut state, news);
        let gone = self.forget.get().filter(|_| !keys.is_empty()).map(|forget| forget(&keys));
        self.remembered.store(number, Ordering::Release); // LAST
        drop(state);
        // Values: dropping them may run foreign code.
        drop(gone);
        Ok(())
    }

    fn would_wait(&self) -> bool {
        let is_quiet = self.state.try_lock().is_some_and(|state| state.behind < PATIENCE)
            && self.owed.try_lock().is_some_and(|owed| owed.tags.is_empty());
        !is_quiet || self.clock.now_us() >= self.deadline_us.load(Ordering::Acquire)
    }

    fn replaced(&self, key: &[u8], number: u64) -> Result<(), Error> {
        let now_us = self.clock.now_us();
        // Held until the row is known to be our own: reading it must not make us forget what replaced it.
        let mut state = self.state.lock();
        let rooms = self.folder.rooms()?;
        let at = rooms.tags.write(|txn| {
            let at = mint(&rooms, txn, now_us)?;
            if let Some(at) = at {
                put_row(&rooms, txn, (at, 0), &Row { kind: OF_KEY, number, content: key })?;
            }
            Ok(at)
        })?;
        state.own_rows.insert(at.ok_or(Error::Clock(ClockError::Exhausted))?.as_micros());
        Ok(())
    }

    fn when_replaced(&self, forget: Forget) {
        let _ = self.forget.set(forget);
    }

    fn history(&self, wanted: &Wanted) -> Result<Vec<Invalidated>, Error> {
        history::history(&*self.folder.rooms()?, wanted)
    }

    fn domain_changes(&self) -> u64 {
        self.domain_changes.load(Ordering::Relaxed)
    }

    fn tidy(&self, engine: &dyn Engine, now_us: u64) -> Result<(), Error> {
        let horizon_us = now_us.saturating_sub(self.max_age_us);
        let rooms = self.folder.rooms()?;
        rooms.tags.forget_the_dead();
        let (meta, log, tags) = (rooms.tags.table(META), rooms.tags.table(LOG), rooms.tags.table(TAGS));
        loop {
            let old = rooms.tags.read(|txn| {
                let rows = log.iter(txn)?.take(TIDY_STEP);
                let old = rows.map(|row| row.map(|(place, _)| position_of(place)));
                old.filter(|at| at.as_ref().map_or(true, |at| *at < horizon_us))
                    .collect::<heed::Result<Vec<_>>>()
            })?;
            let Some(last) = old.last().copied() else { break };
            rooms.tags.write(|txn| {
                let rows = log.iter(txn)?.take(TIDY_STEP).map(|row| {
                    row.map(|(place, row)| {
                        (place.to_vec(), seal::open(place, row).map(|row| Row::read(row).hash()))
                    })
                });
                let rows = rows.collect::<heed::Result<Vec<_>>>()?;
                for (place, hash) in rows.into_iter().filter(|(place, _)| position_of(place) <= last) {
                    log.delete(txn, &place)?;
                    if let Some(hash) = hash {
                        tags.delete(txn, &hash)?;
                    }
                }
                let floor = seal::number(meta, txn, b"floor")?.unwrap_or(0).max(last);
                seal::put(meta, txn, b"floor", &floor.to_be_bytes())
            })?;
        }
        engine.set_horizon(Timestamp::from_micros(horizon_us));
        Ok(())
    }
}

/// What stands for this process in the log.
fn here() -> u64 {
    u64::from(std::process::id())
}
