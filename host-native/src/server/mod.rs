//! A Redis server that machines share: its domain's log, followed by this process.
//!
//! [`Feed`] is what the sequencer and the storage have in common: the connection ([`line`]), what arrived
//! ([`inbox`]) and how the engine learns of it. The table on the server is one sorted set that is at once table of
//! versions, compacted log and proof of liveness (`docs/design/0008-redis.md`, and the scripts beside this file).
//!
//! Invariants: `applied` moves only over what is known without a gap; what a look at the table showed counts from the
//! moment at which it was *asked for*; an incarnation that is lost is never trusted again.

mod address;
mod attend;
mod error;
mod fetch;
mod hand;
mod inbox;
mod line;
pub(crate) mod mutant;
mod names;
mod owed;
mod prefetch;
mod range;
mod row;
mod runtime;
mod script;
mod take_in;
mod trip;
pub mod trips;
mod unlocked;
mod wait;

pub(crate) use address::Address;
pub use error::ServerError;
pub(crate) use hand::Reading;
pub(crate) use hand::sequence as fetched_at;
pub(crate) use names::Names;
pub(crate) use prefetch::Asked;
pub use prefetch::Prefetch;
pub(crate) use trip::{NewEntry, Stored};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use zoocache_core::{MarkId, Timestamp};

use crate::clock::{WallClock, boot_ns};
use crate::engine::Engine;
use crate::sequencer::Forget;

use inbox::Minted;
use line::Line;
use owed::Owed;
use row::Mark;

/// How near reads are to what other machines have invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// What this process holds in memory is served without asking for as long as the server has told, within this
    /// time, what has changed: nothing is served that was invalidated longer ago. As a rule it is a millisecond.
    Bounded(Duration),
    /// Every read asks the server: nothing is served that was invalidated before the read began.
    Strong,
}

impl Default for Consistency {
    fn default() -> Self {
        Self::Bounded(Duration::from_secs(1))
    }
}

/// How a server is used.
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) prefix: String,
    pub(crate) consistency: Consistency,
}

/// The log of a domain on a server, followed by this process.
pub(crate) struct Feed {
    address: Address,
    names: Names,
    consistency: Consistency,
    /// How long a look at the table counts, if not for one read only.
    max_staleness_ns: Option<u64>,
    /// Names this process among those that replace keys.
    node: u64,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn WallClock>,
    line: ArcSwap<Line>,
    /// When the latest look at the table that was taken in was asked for.
    asked_ns: AtomicU64,
    /// Something may have been missed.
    is_unsure: AtomicBool,
    state: Mutex<State>,
    /// What the background needs to know of `state`, which it does not lock.
    seen: Mutex<Seen>,
    forget: std::sync::OnceLock<Forget>,
    catch_ups: AtomicU64,
    owed: Mutex<Owed>,
}

#[derive(Default)]
struct State {
    /// Announced changes that stand in the table, and the engine's marks for them.
    marks: BTreeMap<u64, MarkId>,
    /// What belongs to an incarnation that this process has not entered yet.
    waiting: Vec<Minted>,
}

#[derive(Default)]
struct Seen {
    incarnation: u128,
    applied: Timestamp,
    /// Announced changes, and when they may be overdue by the clock of `boot_ns`.
    marks: BTreeMap<u64, (Mark, u64)>,
}

impl Feed {
    /// Begins to follow the log; waits for the first attempt to connect. A server that is away is tried again.
    ///
    /// # Errors
    /// When it refuses this client, or the system grants no thread.
    pub(crate) fn open(
        settings: Settings,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn WallClock>,
    ) -> Result<(Arc<Self>, Option<ServerError>), ServerError> {
        let Settings { address, prefix, consistency } = settings;
        let max_staleness_ns = match consistency {
            Consistency::Bounded(time) => Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            Consistency::Strong => None,
        };
        let feed = Arc::new(Self {
            address,
            names: Names::new(&prefix),
            consistency,
            max_staleness_ns,
            node: fastrand::u64(1..),
            engine,
            clock,
            line: ArcSwap::new(Line::new()),
            asked_ns: AtomicU64::new(0),
            is_unsure: AtomicBool::new(true),
            state: Mutex::default(),
            seen: Mutex::default(),
            forget: std::sync::OnceLock::new(),
            catch_ups: AtomicU64::new(0),
            owed: Mutex::default(),
        });
        feed.start()?;
        match feed.line.load().first_attempt(&feed.address) {
            Ok(()) => Ok((feed, None)),
            Err(refused @ ServerError::Refused { .. }) => Err(refused),
            Err(away) => Ok((feed, Some(away))),
        }
    }

    fn start(self: &Arc<Self>) -> Result<(), ServerError> {
        let runtime = runtime::here().map_err(|error| self.failed(&error.to_string()))?;
        runtime.spawn(line::maintain(Arc::downgrade(self), self.line.load_full()));
        Ok(())
    }

    /// To be called in a forked child: what the parent's threads held is not touched again.
    pub(crate) fn after_fork(self: &Arc<Self>) {
        std::mem::forget(self.line.swap(Line::new()));
        self.is_unsure.store(true, Ordering::Release);
        // Without a thread the server is away for this process.
        let _ = self.start();
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn consistency(&self) -> Consistency {
        self.consistency
    }

    /// Tells feeds apart.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Is what the engine knows enough for a read that begins now, or that began with [`Reading`]?
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        if self.is_unsure.load(Ordering::Acquire) || !self.line.load().inbox.is_empty() {
            return false;
        }
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        match self.max_staleness_ns {
            Some(max_staleness_ns) => {
                boot_ns().saturating_sub(asked_ns) < max_staleness_ns || mutant::is_on("no_deadline")
            }
            None => hand::began_ns().is_some_and(|began_ns| asked_ns >= began_ns),
        }
    }

    /// Will catching up take a trip to the server, or has what is needed arrived already? A guess.
    pub(crate) fn needs_trip(&self) -> bool {
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        self.is_unsure.load(Ordering::Acquire)
            || self.max_staleness_ns.is_none_or(|max_ns| boot_ns().saturating_sub(asked_ns) >= max_ns)
    }

    /// Was the table looked at for the read that goes on in this thread?
    fn has_asked_for_this_read(&self) -> bool {
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        hand::began_ns().is_some_and(|began_ns| asked_ns >= began_ns)
            && !self.is_unsure.load(Ordering::Acquire)
            && self.line.load().inbox.is_empty()
    }

    pub(crate) fn is_strong(&self) -> bool {
        self.max_staleness_ns.is_none()
    }

    /// From which position on the table of an incarnation has to be read.
    fn from(&self, incarnation: u128) -> Timestamp {
        let seen = self.seen.lock();
        if seen.incarnation == incarnation { seen.applied } else { Timestamp::ZERO }
    }

    /// The incarnation that was entered, and how far its log was applied.
    fn seen(&self) -> (u128, Timestamp) {
        let seen = self.seen.lock();
        (seen.incarnation, seen.applied)
    }

    fn note_seen(&self) {
        let mut seen = self.seen.lock();
        seen.incarnation = self.engine.domain().0;
        seen.applied = self.engine.signals().applied();
    }

    fn mark_rows(&self) -> Vec<Vec<u8>> {
        self.seen.lock().marks.values().map(|(mark, _)| mark.row.clone()).collect()
    }

    fn due_marks(&self, now_ns: u64) -> Vec<Mark> {
        let seen = self.seen.lock();
        seen.marks.values().filter(|(_, due_ns)| *due_ns <= now_ns).map(|(mark, _)| mark.clone()).collect()
    }

    fn put_off(&self, mark: u64, due_ns: u64) {
        if let Some((_, due)) = self.seen.lock().marks.get_mut(&mark) {
            *due = due_ns;
        }
    }

    pub(crate) fn when_replaced(&self, forget: Forget) {
        let _ = self.forget.set(forget);
    }

    /// How often a read learned of something that had not been told.
    pub(crate) fn catch_ups(&self) -> u64 {
        self.catch_ups.load(Ordering::Relaxed)
    }

    fn take_owed(&self) -> Option<Owed> {
        let mut owed = self.owed.lock();
        (!owed.is_empty()).then(|| std::mem::take(&mut *owed))
    }

    fn owe_again(&self, earlier: Owed) {
        self.owed.lock().add(earlier);
    }

    fn owe(&self, owed: Owed) {
        if mutant::is_on("drop_failed") {
            for mark in owed.marks {
                let _ = self.engine.settle_at(mark, Timestamp::ZERO);
            }
            return;
        }
        self.owed.lock().add(owed);
        self.line.load().wake.notify_one();
    }

    fn failed(&self, cause: &str) -> ServerError {
        ServerError::Failed { server: self.address.shown().to_owned(), cause: cause.to_owned() }
    }

    fn timed_out(&self) -> ServerError {
        ServerError::Timeout { server: self.address.shown().to_owned(), millis: line::ANSWER.as_millis() }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Lets the background notice.
        self.line.load().wake.notify_one();
    }
}
