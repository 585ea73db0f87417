//! The interface `engine`: its resources, each by calls of the engine they share.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::Component;
use super::bindings::exports::zoocache::engine::engine as wit;
use super::bindings::exports::zoocache::engine::headers::DecodeError;
use super::bindings::exports::zoocache::engine::types::{TagError, Verdict};
use super::convert::{domain_in, domain_out, header_error, rejected_out, states_out};
use super::words::{cause_out, judged, number, parse, parse_all, tag_out};
use crate::{
    Applied, ClockError, Engine, EngineConfig, Header, Invalidation, LogRow, MarkId, Order, Sealed,
    SettleError, SnapshotError, Timestamp,
};

impl wit::Guest for Component {
    type Engine = Shared;
    type Entry = Entry;
    type Fill = Fill;
}

/// An engine, and whoever needs it.
#[derive(Clone)]
pub(super) struct Shared(Rc<RefCell<Engine>>);

pub(super) struct Fill {
    engine: Shared,
    /// Taken when it is sealed.
    begun: Option<crate::Fill>,
    as_of: Timestamp,
}

impl Drop for Fill {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.engine.0.borrow_mut().abandon(begun);
        }
    }
}

impl wit::GuestFill for Fill {
    fn as_of(&self) -> u64 {
        self.as_of.as_micros()
    }
}

pub(super) struct Entry {
    engine: Shared,
    sealed: Sealed,
}

impl Entry {
    fn verdict(&self, engine: &Engine) -> Verdict {
        let signals = engine.signals();
        match self.sealed.judge(signals) {
            crate::Verdict::Fresh => Verdict::Fresh,
            crate::Verdict::Stale => match self.sealed.blame(signals) {
                Some(cause) => Verdict::Stale(cause_out(&cause, engine)),
                None => Verdict::Unknown,
            },
            crate::Verdict::Pending => match self.sealed.pending_tag(signals) {
                Some(tag) => Verdict::Pending(tag_out(&tag)),
                None => Verdict::Unknown,
            },
            crate::Verdict::Unknown => Verdict::Unknown,
            crate::Verdict::Foreign => Verdict::Foreign,
            crate::Verdict::Expired => Verdict::Expired,
        }
    }
}

impl wit::GuestEntry for Entry {
    fn as_of(&self) -> u64 {
        self.sealed.as_of().as_micros()
    }

    fn judge(&self) -> Verdict {
        self.verdict(&self.engine.0.borrow())
    }

    fn header(&self, created: u64, expires: u64) -> Option<Vec<u8>> {
        let engine = self.engine.0.borrow();
        Some(engine.header(&self.sealed, created, expires)?.encode())
    }
}

impl From<ClockError> for wit::Refused {
    fn from(_: ClockError) -> Self {
        Self::ClockExhausted
    }
}

impl From<TagError> for wit::Refused {
    fn from(error: TagError) -> Self {
        Self::BadTag(error)
    }
}

impl From<SettleError> for wit::Refused {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Unknown(_) => Self::UnknownMark,
            SettleError::Clock(_) => Self::ClockExhausted,
        }
    }
}

fn config_in(config: &wit::Config) -> EngineConfig {
    EngineConfig {
        domain: domain_in(config.domain),
        order: match config.order {
            wit::Order::Alone => Order::Own,
            wit::Order::Log => Order::Log,
            wit::Order::Gossip => Order::Gossip,
        },
        max_drift_us: config.max_drift,
        hash_seed: config.hash_seed,
        node_id: config.node_id,
        entries_outside: config.entries_outside,
    }
}

fn rows_in(rows: Vec<wit::LogRow>) -> Result<Vec<LogRow>, wit::Refused> {
    let mut known = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let tag = parse(&row.tag, place)?;
        known.push(LogRow { tag, below_only: row.below_only, at: Timestamp::from_micros(row.at) });
    }
    Ok(known)
}

fn invalidation_out(message: Invalidation) -> wit::Invalidation {
    let Invalidation { origin, at, tags } = message;
    wit::Invalidation { origin, at: at.as_micros(), tags: tags.iter().map(tag_out).collect() }
}

impl Shared {
    fn new(engine: Engine) -> Self {
        Self(Rc::new(RefCell::new(engine)))
    }

    fn state_of(engine: &Engine) -> wit::State {
        let signals = engine.signals();
        wit::State {
            epoch: signals.epoch(),
            applied: signals.applied().as_micros(),
            clock: engine.stats().clock.as_micros(),
            floor: signals.floor().as_micros(),
            generation: signals.generation(),
            in_doubt: signals.in_doubt(),
        }
    }

    fn entry(&self, sealed: Sealed) -> wit::Entry {
        wit::Entry::new(Entry { engine: self.clone(), sealed })
    }

    fn judged(engine: &mut Engine, header: &[u8], now: u64) -> Result<Verdict, DecodeError> {
        let (header, _) = Header::decode(header).map_err(header_error)?;
        Ok(judged(engine, &header, now))
    }
}

impl wit::GuestEngine for Shared {
    fn new(config: wit::Config) -> Self {
        Self::new(Engine::new(config_in(&config)))
    }

    fn restore(config: wit::Config, snapshot: Vec<u8>) -> Result<wit::Engine, wit::SnapshotError> {
        match Engine::restore(config_in(&config), &snapshot) {
            Ok(engine) => Ok(wit::Engine::new(Self::new(engine))),
            Err(SnapshotError::NoSnapshot) => Err(wit::SnapshotError::NoSnapshot),
            Err(SnapshotError::Truncated) => Err(wit::SnapshotError::Truncated),
            Err(SnapshotError::Malformed) => Err(wit::SnapshotError::Malformed),
            Err(SnapshotError::Foreign { domain }) => Err(wit::SnapshotError::Foreign(domain_out(domain))),
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.borrow().snapshot()
    }

    fn begin(&self, now: u64) -> wit::Fill {
        let begun = self.0.borrow_mut().begin(now);
        let as_of = begun.as_of();
        wit::Fill::new(Fill { engine: self.clone(), begun: Some(begun), as_of })
    }

    fn seal(
        &self,
        fill: wit::Fill,
        dependencies: Vec<String>,
        as_of_bound: Option<u64>,
        now: u64,
    ) -> Result<wit::Entry, wit::Rejected> {
        let mut fill: Fill = fill.into_inner();
        if !Rc::ptr_eq(&fill.engine.0, &self.0) {
            return Err(wit::Rejected::Verdict(Verdict::Foreign));
        }
        let tags = parse_all(&dependencies).map_err(wit::Rejected::BadTag)?;
        let engine = &mut *self.0.borrow_mut();
        let dependencies: Vec<_> = tags.iter().map(|tag| engine.intern(tag)).collect();
        let bound = as_of_bound.map_or(Timestamp::MAX, Timestamp::from_micros);
        let begun = fill.begun.take().expect("invariant: only sealing takes it, and ends the fill");
        let sealed = engine.seal(begun, &dependencies, bound, now);
        sealed.map(|sealed| self.entry(sealed)).map_err(|rejected| rejected_out(rejected, engine))
    }

    fn judge(&self, header: Vec<u8>, now: u64) -> Result<Verdict, DecodeError> {
        Self::judged(&mut self.0.borrow_mut(), &header, now)
    }

    fn judge_many(&self, headers: Vec<Vec<u8>>, now: u64) -> Vec<Result<Verdict, DecodeError>> {
        let engine = &mut *self.0.borrow_mut();
        headers.iter().map(|header| Self::judged(engine, header, now)).collect()
    }

    fn admit(&self, header: Vec<u8>, now: u64) -> Result<wit::Entry, wit::Rejected> {
        let (header, _) =
            Header::decode(&header).map_err(|error| wit::Rejected::BadHeader(header_error(error)))?;
        let engine = &mut *self.0.borrow_mut();
        let admitted = engine.admit(&header, now);
        admitted.map(|sealed| self.entry(sealed)).map_err(|rejected| rejected_out(rejected, engine))
    }

    fn explain(&self, header: Vec<u8>, now: u64) -> Result<wit::Explanation, DecodeError> {
        let (header, _) = Header::decode(&header).map_err(header_error)?;
        let engine = &mut *self.0.borrow_mut();
        let verdict = judged(engine, &header, now);
        let dependencies = states_out(engine.explain_header(&header));
        Ok(wit::Explanation { verdict, as_of: header.as_of.as_micros(), dependencies })
    }

    fn invalidate(&self, tags: Vec<String>, now: u64) -> Result<u64, wit::Refused> {
        let tags = parse_all(&tags)?;
        Ok(self.0.borrow_mut().invalidate(&tags, now)?.as_micros())
    }

    fn clear(&self, now: u64) -> Result<u64, wit::Refused> {
        Ok(self.0.borrow_mut().clear(now)?.as_micros())
    }

    fn change(&self, tags: Vec<String>, deadline: u64, now: u64) -> Result<u64, wit::Refused> {
        let tags = parse_all(&tags)?;
        Ok(self.0.borrow_mut().change(&tags, deadline, now).0)
    }

    fn settle(&self, mark: u64, now: u64) -> Result<u64, wit::Refused> {
        Ok(self.0.borrow_mut().settle(MarkId(mark), now)?.as_micros())
    }

    fn expire_marks(&self, now: u64) -> Result<u32, wit::Refused> {
        Ok(number(self.0.borrow_mut().expire_marks(now)?))
    }

    fn latest(&self, tag: String) -> Result<u64, TagError> {
        let tag = parse(&tag, 0)?;
        Ok(self.0.borrow().latest(&tag).as_micros())
    }

    fn tail(&self, after: u64) -> wit::Tail {
        let crate::Tail { messages, to, is_complete } = self.0.borrow().tail(Timestamp::from_micros(after));
        let messages = messages.into_iter().map(invalidation_out).collect();
        wit::Tail { messages, to: to.as_micros(), is_complete }
    }

    fn apply(&self, message: wit::Invalidation, now: u64) -> Result<wit::Applied, wit::Refused> {
        let tags = parse_all(&message.tags)?;
        let message = Invalidation { origin: message.origin, at: Timestamp::from_micros(message.at), tags };
        Ok(match self.0.borrow_mut().apply(&message, now)? {
            Applied::At(at) => wit::Applied::At(at.as_micros()),
            Applied::Drifted { at, .. } => wit::Applied::Drifted(at.as_micros()),
            Applied::Duplicate => wit::Applied::Duplicate,
        })
    }

    fn catch_up(&self, header: Vec<u8>, now: u64) -> Result<u32, wit::Refused> {
        let (header, _) =
            Header::decode(&header).map_err(|error| wit::Refused::BadHeader(header_error(error)))?;
        Ok(number(self.0.borrow_mut().catch_up(&header, now)?))
    }

    fn apply_log(&self, rows: Vec<wit::LogRow>, to: Option<u64>) -> Result<(), wit::Refused> {
        let rows = rows_in(rows)?;
        let engine = &mut *self.0.borrow_mut();
        match to {
            Some(to) => engine.apply_log(&rows, Timestamp::from_micros(to)),
            None => engine.apply_rows(&rows),
        }
        Ok(())
    }

    fn settle_at(&self, mark: u64, at: u64) -> Result<(), wit::Refused> {
        Ok(self.0.borrow_mut().settle_at(MarkId(mark), Timestamp::from_micros(at))?)
    }

    fn doubt(&self) {
        self.0.borrow_mut().doubt();
    }

    fn reset_domain(&self, domain: wit::DomainId, floor: u64) {
        self.0.borrow_mut().reset_domain(domain_in(domain), Timestamp::from_micros(floor));
    }

    fn raise_floor(&self, floor: u64) {
        self.0.borrow_mut().raise_floor(Timestamp::from_micros(floor));
    }

    fn prune(&self, horizon: u64, budget: u32) -> u32 {
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        number(self.0.borrow_mut().prune(Timestamp::from_micros(horizon), budget))
    }

    fn set_horizon(&self, horizon: u64) {
        self.0.borrow_mut().set_horizon(Timestamp::from_micros(horizon));
    }

    fn forget_fills(&self) {
        self.0.borrow_mut().forget_fills();
    }

    fn state(&self) -> wit::State {
        Self::state_of(&self.0.borrow())
    }

    fn stats(&self) -> wit::Stats {
        let engine = self.0.borrow();
        let stats = engine.stats();
        wit::Stats {
            state: Self::state_of(&engine),
            nodes: stats.nodes as u64,
            running_fills: stats.running_fills as u64,
            pending_marks: stats.pending_marks as u64,
            drift_refused: stats.drift_refused,
            duplicates: stats.duplicates,
            missed: stats.missed,
            pruned: stats.pruned,
            marks_expired: stats.marks_expired,
            rejected_stale: stats.rejected_stale,
        }
    }
}
