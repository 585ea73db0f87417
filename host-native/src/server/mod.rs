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
mod calling;
mod chain;
mod error;
mod fetch;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hand;
mod history;
mod inbox;
mod line;
mod names;
mod outbox;
mod prefetch;
mod probe;
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
#[cfg(feature = "simulation")]
pub(crate) use hand::InHand;
pub(crate) use hand::Reading;
pub(crate) use hand::{read_began_ns, sequence as fetched_at};
pub(crate) use names::Names;
pub(crate) use prefetch::Asked;
pub use prefetch::Prefetch;
pub use probe::{Answer, Probe};
pub(crate) use runtime::aside;
pub(crate) use trip::{NewEntry, Stored};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use zoocache_core::{MarkId, Tag, Timestamp};

use crate::clock::{COARSE_STEP_NS, boot_ns, coarse_ns};
use crate::engine::Engine;
use crate::mutant;
use crate::random::random_nonzero;
use crate::sequencer::Forget;
use crate::sync::Mutex;
use crate::timings::Timings;

use calling::Calling;
use chain::Chain;
use inbox::Minted;
use line::Line;
use outbox::{MAX_FAILED, Outbox, Owed};
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
    /// What this node is called, if the user says so.
    pub(crate) node: Option<String>,
    pub(crate) consistency: Consistency,
    pub(crate) timings: Option<Arc<Timings>>,
}

/// The log of a domain on a server, followed by this process.
pub(crate) struct Feed {
    address: Address,
    names: Names,
    calling: Calling,
    consistency: Consistency,
    /// How long a look at the table counts, if not for one read only.
    max_staleness_ns: Option<u64>,
    /// Names this process among those that replace keys.
    node: AtomicU64,
    engine: Arc<dyn Engine>,
    line: ArcSwap<Line>,
    /// Something arrived that was not taken in yet, or something may have been missed.
    is_behind: Arc<AtomicBool>,
    /// The reading of the coarse clock at which this process was last found to be near enough.
    near_enough_ns: AtomicU64,
    /// The server's clock less `boot_ns`, in microseconds, when it was asked last.
    server_ahead_us: AtomicI64,
    /// When the latest look at the table that was taken in was asked for.
    asked_ns: AtomicU64,
    /// Since when something may have been missed, by the clock of `boot_ns`; 0 if not.
    unsure_since_ns: AtomicU64,
    state: Mutex<State>,
    /// What the background needs to know of `state`. It takes no lock of the feed, which a fork would leave locked.
    seen: ArcSwap<Seen>,
    announced: ArcSwap<BTreeMap<u64, Announced>>,
    forget: std::sync::OnceLock<Forget>,
    catch_ups: AtomicU64,
    domain_changes: AtomicU64,
    timings: Option<Arc<Timings>>,
    outbox: ArcSwap<Outbox>,
}

#[derive(Default)]
struct State {
    /// Announced changes that stand in the table, and the engine's marks for them.
    marks: BTreeMap<u64, MarkId>,
    /// What belongs to an incarnation that this process has not entered yet.
    waiting: Vec<Minted>,
    /// Announced changes that had ended when this was found out: at positions that a later range shows.
    gone: Vec<(u64, u64)>,
    /// Rows that were seen, of the incarnation that was entered.
    chain: Chain,
}

/// A change that stands in the table. Times are those of `boot_ns`.
#[derive(Clone)]
struct Announced {
    mark: Mark,
    /// When it may be overdue.
    due_ns: u64,
    /// When it is, whatever time the server says: by then it has been seen for as long as it stands.
    end_ns: u64,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    incarnation: u128,
    /// The clock moves with each position, those of entries that are stored included; `applied` of the engine moves
    /// with invalidations only, so that computations of all nodes have the same.
    clock: Timestamp,
    /// The position of the latest row.
    latest: Timestamp,
}

impl Feed {
    /// Begins to follow the log; waits for the first attempt to connect. A server that is away is tried again.
    ///
    /// # Errors
    /// When it refuses this client, or the system grants no thread.
    pub(crate) fn open(
        settings: Settings,
        engine: Arc<dyn Engine>,
    ) -> Result<(Arc<Self>, Option<ServerError>), ServerError> {
        let Settings { address, prefix, node, consistency, timings } = settings;
        let max_staleness_ns = match consistency {
            Consistency::Bounded(time) => Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            Consistency::Strong => None,
        };
        script::prepare();
        let names = Names::new(&prefix, address.is_cluster());
        let calling = Calling::new(node);
        let is_behind = Arc::new(AtomicBool::new(true));
        let feed = Arc::new(Self {
            address,
            names,
            calling,
            consistency,
            max_staleness_ns,
            node: AtomicU64::new(random_nonzero()),
            engine,
            line: ArcSwap::new(Line::new(&is_behind)),
            is_behind,
            near_enough_ns: AtomicU64::new(0),
            server_ahead_us: AtomicI64::new(0),
            asked_ns: AtomicU64::new(0),
            unsure_since_ns: AtomicU64::new(1),
            state: Mutex::default(),
            seen: ArcSwap::default(),
            announced: ArcSwap::default(),
            forget: std::sync::OnceLock::new(),
            catch_ups: AtomicU64::new(0),
            domain_changes: AtomicU64::new(0),
            timings,
            outbox: ArcSwap::default(),
        });
        feed.start()?;
        match feed.line.load().first_attempt(&feed.address) {
            Ok(()) => Ok((feed, None)),
            Err(refused @ ServerError::Refused { .. }) => Err(refused),
            Err(away) => Ok((feed, Some(away))),
        }
    }

    fn start(self: &Arc<Self>) -> Result<(), ServerError> {
        let maintained = line::maintain(Arc::downgrade(self), self.line.load_full());
        runtime::spawn(maintained).map_err(|error| self.failed(&error.to_string()))
    }

    /// To be called in a forked child: what the parent's threads held is not touched again.
    pub(crate) fn after_fork(self: &Arc<Self>) {
        std::mem::forget(self.line.swap(Line::new(&self.is_behind)));
        self.node.store(random_nonzero(), Ordering::Relaxed);
        // The threads that wait for an answer are the parent's, and so is the inbox.
        self.outbox.rcu(|outbox| with(outbox, Outbox::all_have_failed));
        self.set_unsure();
        // Without a thread the server is away for this process.
        let _ = self.start();
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn node(&self) -> u64 {
        self.node.load(Ordering::Relaxed)
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
        if self.is_behind.load(Ordering::Acquire) {
            return false;
        }
        match self.max_staleness_ns {
            // Read for each hit: a thread that kept it up to date would stop together with the process.
            Some(max_ns) => {
                let now_ns = coarse_ns();
                now_ns == self.near_enough_ns.load(Ordering::Acquire) || self.is_near_enough(now_ns, max_ns)
            }
            None => self.is_asked_for_this_read(),
        }
    }

    /// The coarse clock stands still for some milliseconds, and while the machine is suspended, but not across that:
    /// so the same reading means that no more than one such step has passed.
    #[cold]
    fn is_near_enough(&self, now_ns: u64, max_ns: u64) -> bool {
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        let ago_ns = boot_ns().saturating_sub(asked_ns);
        if ago_ns.saturating_add(COARSE_STEP_NS) < max_ns && asked_ns != 0 {
            self.near_enough_ns.store(now_ns, Ordering::Release);
        }
        ago_ns < max_ns || mutant::is_on("no_deadline")
    }

    fn is_asked_for_this_read(&self) -> bool {
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        hand::began_ns().is_some_and(|began_ns| asked_ns >= began_ns)
    }

    /// Notes that something may have been missed.
    fn set_unsure(&self) {
        self.set_unsure_since(boot_ns().max(1));
    }

    fn set_unsure_since(&self, since_ns: u64) {
        self.unsure_since_ns.fetch_max(since_ns, Ordering::AcqRel);
        self.is_behind.store(true, Ordering::Release);
    }

    fn is_unsure(&self) -> bool {
        self.unsure_since_ns.load(Ordering::Acquire) != 0
    }

    /// Will catching up take a trip to the server, or has what is needed arrived already? A guess.
    pub(crate) fn needs_trip(&self) -> bool {
        let asked_ns = self.asked_ns.load(Ordering::Acquire);
        self.is_unsure()
            || self.max_staleness_ns.is_none_or(|max_ns| boot_ns().saturating_sub(asked_ns) >= max_ns)
    }

    /// How far away a time of the server's clock is, in microseconds; 0 for one that has passed.
    pub(crate) fn left_us(&self, server_us: u64) -> u64 {
        server_us.saturating_sub(self.server_us())
    }

    fn server_us(&self) -> u64 {
        (boot_ns() / 1_000).saturating_add_signed(self.server_ahead_us.load(Ordering::Relaxed))
    }

    fn set_server_clock(&self, server_us: u64) {
        let here_us = i64::try_from(boot_ns() / 1_000).unwrap_or(0);
        let server_us = i64::try_from(server_us).unwrap_or(here_us);
        self.server_ahead_us.store(server_us.saturating_sub(here_us), Ordering::Relaxed);
    }

    /// Was the table looked at for the read that goes on in this thread?
    fn has_asked_for_this_read(&self) -> bool {
        self.is_asked_for_this_read() && !self.is_behind.load(Ordering::Acquire)
    }

    pub(crate) fn is_strong(&self) -> bool {
        self.max_staleness_ns.is_none()
    }

    /// From which position on the table of an incarnation has to be read.
    fn from(&self, incarnation: u128) -> Timestamp {
        let seen = self.seen();
        if seen.incarnation == incarnation { seen.clock } else { Timestamp::ZERO }
    }

    /// The incarnation that was entered, and its clock up to which everything is known.
    fn seen(&self) -> Seen {
        **self.seen.load()
    }

    /// The clock up to which everything is known: what is stored later has a higher number.
    pub(crate) fn clock(&self) -> Timestamp {
        self.seen().clock
    }

    /// Everything up to this reading of the clock is known. To be called under the lock of the state.
    fn note_clock(&self, clock: Timestamp) {
        let (seen, incarnation) = (self.seen(), self.engine.domain().0);
        let clock = if seen.incarnation == incarnation { seen.clock.max(clock) } else { clock };
        let latest = self.engine.signals().applied();
        self.seen.store(Arc::new(Seen { incarnation, clock, latest }));
    }

    /// Is what this process has seen not in the table any more, though it was neither lost nor replaced?
    fn has_gone_back(&self) -> bool {
        self.state.lock().chain.is_broken()
    }

    fn mark_rows(&self) -> Vec<Vec<u8>> {
        self.announced.load().values().map(|announced| announced.mark.row.clone()).collect()
    }

    fn due_marks(&self, now_ns: u64) -> Vec<Announced> {
        let announced = self.announced.load();
        announced.values().filter(|announced| announced.due_ns <= now_ns).cloned().collect()
    }

    fn put_off(&self, mark: u64, due_ns: u64) {
        self.announced.rcu(|announced| {
            with(announced, |announced| {
                if let Some(announced) = announced.get_mut(&mark) {
                    announced.due_ns = due_ns;
                }
            })
        });
    }

    pub(crate) fn when_replaced(&self, forget: Forget) {
        let _ = self.forget.set(forget);
    }

    /// How often a read learned of something that had not been told.
    pub(crate) fn catch_ups(&self) -> u64 {
        self.catch_ups.load(Ordering::Relaxed)
    }

    /// How often another incarnation took the place of one that was entered.
    pub(crate) fn domain_changes(&self) -> u64 {
        self.domain_changes.load(Ordering::Relaxed)
    }

    /// Notes how long ago, by the server's clock, something was invalidated whose message arrived at `heard_ns`.
    fn note_lag(&self, at: Timestamp, heard_ns: u64) {
        if let Some(timings) = &self.timings {
            let ahead_us = self.server_ahead_us.load(Ordering::Relaxed);
            let server_us = (heard_ns / 1_000).saturating_add_signed(ahead_us);
            timings.lag.add_ns(server_us.saturating_sub(at.as_micros()).saturating_mul(1_000));
        }
    }

    /// Notes an invalidation that is on its way.
    fn owe(&self, mark: MarkId, owed: &Arc<Owed>) {
        self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.add(mark, owed, false)));
    }

    /// It could not be sent: the background does so, as soon as possible.
    fn owe_failed(&self, marks: &[MarkId]) {
        if mutant::is_on("drop_failed") {
            for mark in marks {
                let _ = self.engine.settle_at(*mark, Timestamp::ZERO);
            }
            return;
        }
        self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.set_failed(marks, true)));
        if let Some((many, owed)) = self.outbox.load().failed().filter(|(many, _)| many.len() > MAX_FAILED) {
            // One mark on everything in the place of many.
            let all = self.engine.change(&[Tag::root()], u64::MAX, 0);
            let owed = Arc::new(Owed { tags: vec![Tag::root()], changes: owed.changes });
            self.outbox.rcu(|outbox| {
                with(outbox, |outbox| {
                    outbox.remove(&many);
                    outbox.add(all, &owed, true);
                })
            });
            for mark in &many {
                let _ = self.engine.settle_at(*mark, Timestamp::ZERO);
            }
        }
        self.line.load().wake.notify_one();
    }

    /// A change could not be announced. Its mark stands, and this is sent in the end, unless it is settled before.
    pub(crate) fn owe_later(&self, mark: MarkId, tags: &[Tag], timeout_us: u64) {
        let owed = Arc::new(Owed { tags: tags.to_vec(), ..Owed::default() });
        let due_ns = boot_ns().saturating_add(timeout_us.saturating_mul(1_000));
        self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.add_later(mark, &owed, due_ns)));
    }

    /// The background has sent them.
    fn sent(&self, marks: &[MarkId]) {
        self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.set_failed(marks, false)));
    }

    /// They are done.
    pub(crate) fn paid(&self, marks: &[MarkId]) {
        if !marks.is_empty() {
            self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.remove(marks)));
        }
    }

    fn failed(&self, cause: &str) -> ServerError {
        ServerError::Failed { server: self.address.shown().to_owned(), cause: cause.to_owned() }
    }

    fn timed_out(&self) -> ServerError {
        self.timed_out_after(line::ANSWER)
    }

    fn timed_out_after(&self, time: Duration) -> ServerError {
        ServerError::Timeout { server: self.address.shown().to_owned(), millis: time.as_millis() }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Lets the background notice.
        self.line.load().wake.notify_one();
    }
}

/// A changed copy, for `rcu`.
fn with<T: Clone>(old: &Arc<T>, change: impl FnOnce(&mut T)) -> T {
    let mut new = T::clone(old);
    change(&mut new);
    new
}
