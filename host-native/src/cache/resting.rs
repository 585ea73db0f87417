//! Entries that rest outside of the process, below the near cache: found, taken in, stored, replaced.
//!
//! The near cache is the memory storage: decoded values, valid while the sequencer is current. What is found
//! below is judged by its header after the log has been read, *entry first, tags second*, and taken into the
//! near cache. What is stored goes below first: there the first valid commit among the overlapping
//! computations of all processes wins. Whoever replaces what others may hold, or deletes it, tells them first
//! (`replaced.rs`).
//!
//! Lock order: `order`, then the rows' write transaction, then the sequencer's own lock, then a flight stripe.
//! No value is dropped, and no observer told, under `order`. No error of the storage breaks a computation: it is
//! counted, told, and taken for a miss.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::sync::Mutex;
use zoocache_core::{Header, Rejected, Verdict};

use super::replaced::Replaced;
use super::uses::{Uses, lives_until_ms};
use super::{Cache, Lookup, Now, Status};
use crate::codec::ValueCodec;
use crate::counters::Count;
use crate::entry::{Entry, Lifetime, NEVER, Placement, Retention};
use crate::error::Error;
use crate::event::Event;
use crate::flight::Since;
use crate::gate;
use crate::mutant;
use crate::storage::{Admission, Found, NewRow, Row, Rows, Storage};
use crate::timings::Trip;

/// Format of what a payload begins with.
const FORMAT: u8 = 1;
const PREFIX_BYTES: usize = 10;
/// How often a computation is offered while others go on invalidating.
const ATTEMPTS: usize = 16;
/// Stripes of keys whose rows and near entries change in step.
const ORDERS: usize = 64;

/// Where entries rest outside of the process, and how values become bytes.
pub(crate) struct Resting<V> {
    pub(crate) rows: Arc<dyn Rows>,
    pub(crate) codec: Arc<dyn ValueCodec<V>>,
    /// Held while the near cache is made to say what the rows say of a key: both change in the same order. Striped by
    /// key, as the rows may be far away.
    order: [Mutex<()>; ORDERS],
    /// What the rows are to be told.
    pub(super) uses: Uses,
    /// What is about to be replaced.
    pub(super) replaced: Replaced,
}

impl<V> Resting<V> {
    #[cfg_attr(
        not(any(feature = "lmdb", feature = "redis")),
        expect(dead_code, reason = "no feature that is on brings rows")
    )]
    pub(crate) fn new(rows: Arc<dyn Rows>, codec: Arc<dyn ValueCodec<V>>, use_interval_ms: u64) -> Self {
        Self {
            rows,
            codec,
            order: [const { Mutex::new(()) }; ORDERS],
            uses: Uses::new(use_interval_ms),
            replaced: Replaced::default(),
        }
    }
}

impl<V> Resting<V> {
    fn order_of(&self, key: &[u8]) -> &Mutex<()> {
        let hash = foldhash::fast::FixedState::default().hash_one(key);
        &self.order[usize::try_from(hash % ORDERS as u64).unwrap_or(0)]
    }
}

/// What is to be done about a row that is stored already.
#[derive(Default)]
struct Judged {
    admits: bool,
    /// Others may hold what is replaced, and would go on serving it.
    replaces: bool,
    /// The log has to be read first.
    behind: bool,
}

impl Judged {
    fn admission(&self) -> Admission {
        match (self.admits, self.replaces) {
            (false, _) => Admission::Refused,
            (true, false) => Admission::Granted,
            (true, true) => Admission::Replacing,
        }
    }
}

/// Why a row is not taken in.
#[derive(Clone, Copy)]
enum Refused {
    Because(Count),
    /// The log has to be read first.
    Behind,
}

/// Of which computation an entry is.
pub(super) struct Departure<'a> {
    pub(super) key: &'a [u8],
    /// The stripe's sequence, and the rows' number, when it began.
    pub(super) began: u64,
    pub(super) rows_began: u64,
    pub(super) supersedes: bool,
    /// The bytes of its value, if they are there already.
    pub(super) encoded: Option<&'a [u8]>,
    /// The token of its lock, which is given back with the row.
    pub(super) unlocks: u64,
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// The fresh entry under `key` below the near cache; else why there is none: `why` there is none above, if
    /// there is none below.
    #[cold]
    pub(super) fn look_below(&self, resting: &Resting<V>, key: &[u8], why: Count) -> Lookup<V> {
        match self.search_below(resting, key, why, 0) {
            Lookup::Miss(Count::Rejected) => {
                self.count(Count::Rejected);
                Lookup::Miss(Count::Misses)
            }
            found => found,
        }
    }

    /// [`look_below`](Self::look_below) that does not count what is rejected. The near cache gets what is found.
    /// Rows up to the number `since` count as none.
    fn search_below(&self, resting: &Resting<V>, key: &[u8], why: Count, since: u64) -> Lookup<V> {
        let shared = &*self.shared;
        let _reading = self.begin_reading();
        if !resting.rows.brings_news() {
            // What the log tells already is not to be taken below for what was told while the row was read.
            let _known = shared.keep_up();
        }
        let began = asked_at(key).unwrap_or_else(|| shared.flights.stripe(key).sequence());
        let may_keep = !resting.replaced.holds(key, || resting.rows.number());
        // The entry first, then what is known about its tags: newer knowledge is the safe side.
        let row = match shared.trip(Trip::Read, || resting.rows.get(key)) {
            Ok(Found::Row(row)) if row.number > since => row,
            Ok(Found::Nothing | Found::Row(_)) => return Lookup::Miss(why),
            Ok(Found::Rejected) => return Lookup::Miss(Count::Rejected),
            Err(error) => {
                if !error.is_abstention() {
                    self.storage_failed(&error);
                }
                return Lookup::Miss(why);
            }
        };
        if !mutant::is_on("tags_before_entry") && !shared.keep_up() {
            return Lookup::Miss(Count::Stale);
        }
        let now = self.now();
        let admitted = match self.admit(resting, &row, now) {
            // Whoever stored it knows more than this process.
            Err(Refused::Behind) if shared.sync() => self.admit(resting, &row, now),
            admitted => admitted,
        };
        let entry = match admitted {
            Ok(entry) => Arc::new(entry),
            Err(Refused::Because(why)) => return Lookup::Miss(why),
            Err(Refused::Behind) => return Lookup::Miss(Count::Stale),
        };
        resting.uses.note(key, now.wall_us, lives_until_ms(&entry));
        let mut gone = Vec::new();
        {
            let stripe = shared.flights.stripe(key);
            let near = shared.parts.storage.peek(key);
            // Stored or deleted meanwhile, or taken in by somebody who read later: what was read may be older.
            let is_latest = near.as_ref().is_none_or(|near| {
                near.number() <= entry.number() || self.status_as_of(true, near) != Status::Fresh
            });
            gone.extend(near);
            if may_keep && stripe.sequence() == began && is_latest {
                gone.extend(shared.parts.storage.insert(key, Arc::clone(&entry)));
            } else {
                entry.retire();
            }
        }
        drop(gone);
        self.ensure_sweeper();
        self.count(Count::SharedHits);
        Lookup::Hit(entry)
    }

    /// The number of the latest row below; 0 if there is nothing below.
    pub(super) fn rows_number(&self) -> u64 {
        self.shared.parts.resting.as_ref().map_or(0, |resting| resting.rows.number())
    }

    /// The fresh entry below, if there is none in the near cache.
    pub(super) fn found_below(&self, key: &[u8]) -> Option<Arc<Entry<V>>> {
        let resting = self.shared.parts.resting.as_ref()?;
        let near = self.shared.parts.storage.peek(key);
        if near.is_some_and(|entry| self.is_servable(&entry)) {
            return None;
        }
        // Whoever joins has looked before, and counted.
        match self.search_below(resting, key, Count::Misses, 0) {
            Lookup::Hit(entry) => Some(entry),
            Lookup::Miss(_) => None,
        }
    }

    /// The fresh entry below, if it was stored after the rows had the number `since`.
    pub(super) fn found_since(&self, key: &[u8], since: u64) -> Option<Arc<Entry<V>>> {
        let resting = self.shared.parts.resting.as_ref()?;
        match self.search_below(resting, key, Count::Misses, since) {
            Lookup::Hit(entry) => Some(entry),
            Lookup::Miss(_) => None,
        }
    }

    fn admit(&self, resting: &Resting<V>, row: &Row, now: Now) -> Result<Entry<V>, Refused> {
        let parts = &self.shared.parts;
        if row.is_expired(now.wall_us) {
            return Err(Refused::Because(Count::Expired));
        }
        let sealed = parts.engine.admit(&row.header, now.wall_us).map_err(|rejected| match rejected {
            Rejected::Unknown => Refused::Behind,
            _ => Refused::Because(Count::Stale),
        })?;
        let unreadable = Refused::Because(Count::Rejected);
        let (prefix, bytes) = row.payload.split_first_chunk().ok_or(unreadable)?;
        let (computed_ms, retention) = read_prefix(prefix).ok_or(unreadable)?;
        let value = aside(|| resting.codec.decode(bytes)).map_err(|_| unreadable)?;
        let age_us = now.wall_us.saturating_sub(row.header.created_us);
        let created_ms = now.monotonic_ms.saturating_sub(age_us / 1_000);
        let idle_ms = Some(row.idle_us / 1_000).filter(|idle_ms| *idle_ms != 0);
        let placement = Placement {
            lifetime: Lifetime { ttl_ms: idle_ms, extend_on_hit: true },
            expires_bound_ms: expiry_ms(&row.header, now),
            started_ms: created_ms.saturating_sub(u64::from(computed_ms)),
            now_ms: created_ms,
            weight: self.weigh(&value),
            retention,
        };
        let entry = Entry::new(value, sealed, &placement).of_row(row.number);
        // This is a use: its life is that of the clock that never jumps from now on.
        entry.touch(now.monotonic_ms);
        Ok(entry)
    }

    /// Stores an entry below and then, by `store_above`, above, if no valid one was stored by an overlapping
    /// computation. `None` if `store_above` was not called; it is given the stripe's sequence before the row could
    /// be seen.
    pub(super) fn commit_below<R>(
        &self,
        resting: &Resting<V>,
        entry: &Arc<Entry<V>>,
        departure: &Departure<'_>,
        store_above: impl Fn(u64) -> R,
    ) -> Option<R> {
        let shared = &*self.shared;
        // Foreign code, so before any lock is taken.
        let (header, payload) = self.bytes_of(resting, entry, departure.encoded)?;
        let row = NewRow {
            header: &header,
            idle_us: entry.idle_ms().saturating_mul(1_000),
            payload: &payload,
            unlocks: departure.unlocks,
            supersedes: departure.supersedes,
        };
        for attempt in 0..ATTEMPTS {
            // Before the lock too: values that others have replaced are dropped.
            let is_up_to_date = if attempt == 0 { shared.keep_up() } else { shared.sync() };
            if !is_up_to_date || self.status_as_of(true, entry) != Status::Fresh {
                return None;
            }
            let mut judged = Judged::default();
            let (mut told, mut gone, mut sequence) = (Ok(()), None, 0);
            let order = resting.order_of(departure.key).lock();
            let mut admits = |current: Option<&Row>, number| {
                judged = self.judge_current(entry, departure, current);
                if judged.admits && judged.replaces {
                    // Not stored if the others cannot be told.
                    (told, gone) = self.tell_replaced(resting, departure.key, number);
                    judged.admits = told.is_ok();
                }
                sequence = shared.flights.stripe(departure.key).sequence();
                judged.admission()
            };
            let put = shared.trip(Trip::Write, || resting.rows.put(departure.key, &row, &mut admits));
            let stored = matches!(put, Ok(true)).then(|| store_above(sequence));
            drop(order);
            drop(gone);
            if let Err(error) = put.map(drop).and(told) {
                self.storage_failed(&error);
            }
            if !judged.behind {
                return stored;
            }
        }
        None
    }

    /// May a computation be stored in the place of `current`? Asked inside the rows' write transaction, where
    /// the log is not read: that would drop values.
    fn judge_current(&self, entry: &Entry<V>, departure: &Departure<'_>, current: Option<&Row>) -> Judged {
        let shared = &*self.shared;
        // Far away, the server checks the tags in the same step: there is always news here while others invalidate.
        let is_far = self.is_far();
        if !is_far && !shared.parts.sequencer.is_current() {
            return Judged { behind: true, ..Judged::default() };
        }
        if self.status_as_of(true, entry) != Status::Fresh {
            return Judged::default();
        }
        if departure.supersedes {
            return Judged { admits: true, replaces: true, behind: false };
        }
        if shared.flights.stripe(departure.key).since(departure.key, departure.began) == Since::Deleted {
            return Judged::default();
        }
        let Some(current) = current else { return Judged { admits: true, ..Judged::default() } };
        let now_us = shared.parts.clock.now_us();
        // Where a time to idle seems over, others may use it all the same and have not told of it yet.
        let engine = &shared.parts.engine;
        let verdict = engine.judge_header(&current.header, now_us);
        if verdict == Verdict::Unknown {
            return Judged { behind: true, ..Judged::default() };
        }
        let is_valid = verdict == Verdict::Fresh;
        let is_doubtful = match verdict {
            // Whoever knows all that the floor stands for need not have heard of it, and may serve what is below.
            Verdict::Stale => current.header.as_of < engine.signals().floor(),
            // It may be so in this process alone, which could not tell the others yet.
            Verdict::Pending => true,
            _ => false,
        };
        let overlaps = current.number > departure.rows_began && !current.is_expired(now_us);
        let yields = is_valid && overlaps && !mutant::is_on("last_commit_wins");
        Judged { admits: !yields, replaces: is_valid || is_doubtful, behind: false }
    }

    /// Deletes below and then, by `delete_above`, above. Returns whether there was a fresh one below, and
    /// what `delete_above` returns.
    pub(super) fn delete_below<R>(
        &self,
        resting: &Resting<V>,
        key: &[u8],
        delete_above: impl FnOnce() -> R,
    ) -> (bool, R) {
        let shared = &*self.shared;
        let (mut told, mut gone) = (Ok(()), None);
        let order = resting.order_of(key).lock();
        let mut tell = |number| {
            (told, gone) = self.tell_replaced(resting, key, number);
            // Who cannot be told would go on serving what others compute anew.
            told.is_ok()
        };
        let deleted = shared.trip(Trip::Write, || resting.rows.delete(key, &mut tell));
        let above = delete_above();
        drop(order);
        drop(gone);
        let row = deleted.and_then(|row| told.map(|()| row)).unwrap_or_else(|error| {
            self.storage_failed(&error);
            None
        });
        let was_fresh = row.is_some_and(|row| {
            let now_us = shared.parts.clock.now_us();
            shared.keep_up()
                && !row.is_expired(now_us)
                && shared.parts.engine.judge_header(&row.header, now_us) == Verdict::Fresh
        });
        (was_fresh, above)
    }

    /// Removes what was stored up to the number `last`, and is stale.
    pub(super) fn clear_below(&self, last: u64) {
        if let Some(resting) = &self.shared.parts.resting
            && let Err(error) = resting.rows.clear(last)
        {
            self.storage_failed(&error);
        }
    }

    /// Tells of uses, and frees what is dead below, a little of it, and what the log need not know any more.
    pub(super) fn sweep_below(&self) -> usize {
        let shared = &*self.shared;
        if !shared.follows_log {
            return 0;
        }
        let now = self.now();
        let now_us = now.wall_us;
        let is_dead = |header: &Header| {
            let verdict = shared.parts.engine.judge_header(header, now_us);
            matches!(verdict, Verdict::Stale | Verdict::Foreign | Verdict::Expired)
        };
        let (mut told, mut swept) = (Ok(()), Ok(0));
        if let Some(resting) = &shared.parts.resting {
            let _passed = gate::pass();
            // First: what is used is not removed for having idled.
            told = self.tell_uses(resting, now);
            // Without the log nothing can be called dead: what is of a new domain would seem foreign.
            if shared.keep_up() {
                swept = resting.rows.sweep(now_us, &is_dead);
            }
        }
        let _passed = gate::pass();
        let tidied = shared.parts.sequencer.tidy(&*shared.parts.engine, now_us);
        for error in [told.err(), swept.as_ref().err().cloned(), tidied.err()].into_iter().flatten() {
            self.storage_failed(&error);
        }
        swept.unwrap_or(0)
    }

    pub(super) fn storage_failed(&self, error: &Error) {
        self.count(Count::StorageErrors);
        self.shared.observe(&Event::StorageFailed { error });
    }

    /// `None` for what has no bytes, or has expired.
    fn bytes_of(
        &self,
        resting: &Resting<V>,
        entry: &Entry<V>,
        encoded: Option<&[u8]>,
    ) -> Option<(Header, Vec<u8>)> {
        let parts = &self.shared.parts;
        let now = self.now();
        let expires_us = match entry.hard_expiry_ms() {
            NEVER => 0,
            at => {
                let left_ms = at.checked_sub(now.monotonic_ms).filter(|left_ms| *left_ms > 0)?;
                now.wall_us.saturating_add(left_ms.saturating_mul(1_000))
            }
        };
        let encoded = match encoded {
            Some(encoded) => Cow::Borrowed(encoded),
            None => match aside(|| resting.codec.encode(entry.value())) {
                Ok(encoded) => Cow::Owned(encoded),
                Err(error) => {
                    self.count(Count::StorageErrors);
                    self.shared.observe(&Event::StorageFailed { error: &*error });
                    return None;
                }
            },
        };
        let header = parts.engine.header(entry.sealed(), now.wall_us, expires_us)?;
        let mut payload = write_prefix(entry).to_vec();
        payload.extend_from_slice(&encoded);
        Some((header, payload))
    }
}

/// Runs foreign code, which may read caches: those are reads of their own.
fn aside<R>(foreign: impl FnOnce() -> R) -> R {
    #[cfg(feature = "redis")]
    let _aside = crate::server::Reading::suspend();
    foreign()
}

/// The sequence of the key's stripe when it was asked for, if that was earlier.
fn asked_at(key: &[u8]) -> Option<u64> {
    #[cfg(feature = "redis")]
    return crate::server::fetched_at(key);
    #[cfg(not(feature = "redis"))]
    {
        let _ = key;
        None
    }
}

/// The wall clock says when it expires in every process; from now on the clock that never jumps does in this
/// one. A wall clock that was put back prolongs no life.
fn expiry_ms(header: &Header, now: Now) -> u64 {
    if header.expires_us == 0 {
        return NEVER;
    }
    let whole_us = header.expires_us.saturating_sub(header.created_us);
    now.monotonic_ms.saturating_add(header.expires_us.saturating_sub(now.wall_us).min(whole_us) / 1_000)
}

/// The value's own bytes of a row.
pub(super) fn value_of(row: &Row) -> Option<&[u8]> {
    let (prefix, bytes) = row.payload.split_first_chunk()?;
    read_prefix(prefix).map(|_| bytes)
}

fn write_prefix<V>(entry: &Entry<V>) -> [u8; PREFIX_BYTES] {
    let retention = entry.retention();
    let mut prefix = [0; PREFIX_BYTES];
    prefix[0] = FORMAT;
    prefix[1..5].copy_from_slice(&entry.computed_ms().to_le_bytes());
    prefix[5..9].copy_from_slice(&retention.grace_ms.to_le_bytes());
    prefix[9] = u8::from(retention.keep_invalidated);
    prefix
}

fn read_prefix(prefix: &[u8; PREFIX_BYTES]) -> Option<(u32, Retention)> {
    let [FORMAT, c0, c1, c2, c3, g0, g1, g2, g3, keep @ (0 | 1)] = *prefix else { return None };
    let grace_ms = u32::from_le_bytes([g0, g1, g2, g3]);
    Some((u32::from_le_bytes([c0, c1, c2, c3]), Retention { grace_ms, keep_invalidated: keep == 1 }))
}
