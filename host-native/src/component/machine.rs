//! The engine of the component as a host calls it: with an instance that is replaced when it fails.
//!
//! Invariants: no epoch is shown twice, whatever instance it is of; what is of an earlier instance is foreign.

use std::collections::BTreeMap;

use wasmtime::component::{Component, ResourceAny};
use wasmtime::{Config, Engine, Store, StoreLimits};
use zoocache_core::{
    ClockError, DomainId, EngineConfig, EngineStats, LogRow, MarkId, Mirrored, Rejected, SettleError, Tag,
    Timestamp,
};

use super::bindings::exports::zoocache::engine::engine::{self as wit, GuestEngine, Refused};
use super::bindings::exports::zoocache::engine::types::Verdict;
use super::convert::{self, as_text};
use super::instance::{Failed, Instance, Resource};

/// How much memory it may use if nothing else is said: 1 GiB.
pub(super) const MEMORY: usize = 1 << 30;

/// The component cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("not the engine's component: {cause}; build it with `./dev component`")]
pub struct ComponentError {
    /// What the runtime said.
    pub cause: String,
}

impl From<wasmtime::Error> for ComponentError {
    fn from(error: wasmtime::Error) -> Self {
        Self { cause: format!("{error:#}") }
    }
}

pub(super) struct Machine {
    runtime: Engine,
    component: Component,
    config: EngineConfig,
    memory: usize,
    /// None if no new one could be started: then nothing is fresh, and nothing is stored.
    instance: Option<Instance>,
    /// Counts instances.
    number: u64,
    /// Added to the epochs of this instance.
    epoch_base: u64,
    /// What its signals were after the last call that may have changed them.
    state: Mirrored,
    has_changed: bool,
    clock_us: u64,
    now_us: u64,
    /// Announced changes by the numbers that the host knows: an instance that fails loses them, and counts anew.
    marks: BTreeMap<u64, Announced>,
    last_mark: u64,
}

struct Announced {
    /// Its number in this instance; 0 if it is not announced there.
    number: u64,
    tags: Vec<String>,
    deadline_us: u64,
}

/// Of more, those whose time has passed long ago are forgotten.
const MAX_MARKS: usize = 4_096;

impl Machine {
    pub(super) fn start(bytes: &[u8], config: EngineConfig, memory: usize) -> Result<Self, ComponentError> {
        let runtime = Engine::new(&Config::new())?;
        let component = Component::new(&runtime, bytes)?;
        let instance = Instance::start(&runtime, &component, &convert::config(&config), memory)?;
        let mut machine = Self {
            runtime,
            component,
            config,
            memory,
            instance: Some(instance),
            number: 1,
            epoch_base: 0,
            state: Mirrored::default(),
            has_changed: false,
            clock_us: 0,
            now_us: 0,
            marks: BTreeMap::new(),
            last_mark: 0,
        };
        machine.look().map_err(|Failed| ComponentError { cause: "it fails at once".to_owned() })?;
        Ok(machine)
    }

    /// The signals, if they may have changed since this was asked.
    pub(super) fn changed(&mut self) -> Option<Mirrored> {
        std::mem::take(&mut self.has_changed).then_some(self.state)
    }

    /// The epoch, if everything can be proved at it.
    pub(super) fn epoch(&self) -> Option<u64> {
        (!self.state.in_doubt).then_some(self.state.epoch)
    }

    pub(super) fn domain(&self) -> DomainId {
        self.config.domain
    }

    /// Calls the engine. If that fails, a new instance begins.
    fn call<T>(
        &mut self,
        call: impl FnOnce(GuestEngine<'_>, &mut Store<StoreLimits>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Failed> {
        if self.instance.is_none() {
            // None could be started when the last one failed.
            self.start_over();
        }
        let instance = self.instance.as_mut().ok_or(Failed)?;
        let (guest, store, engine) = instance.parts();
        let result = call(guest, store, engine);
        result.map_err(|_| self.start_over())
    }

    /// The same for a call that may change something.
    fn change_by<T>(
        &mut self,
        call: impl FnOnce(GuestEngine<'_>, &mut Store<StoreLimits>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Failed> {
        let result = self.call(call)?;
        self.look()?;
        Ok(result)
    }

    /// Looks at the signals.
    fn look(&mut self) -> Result<(), Failed> {
        let state = self.call(|guest, store, engine| guest.call_state(store, engine))?;
        self.clock_us = self.clock_us.max(state.clock);
        self.state = Mirrored {
            epoch: self.epoch_base + state.epoch,
            applied: Timestamp::from_micros(state.applied),
            floor: Timestamp::from_micros(state.floor),
            generation: state.generation,
            in_doubt: state.in_doubt,
        };
        self.has_changed = true;
        Ok(())
    }

    /// A new instance, for which everything that is stored is stale.
    fn start_over(&mut self) -> Failed {
        self.number += 1;
        self.epoch_base = self.state.epoch + 1;
        // Also if nothing else comes: no entry is found proved any more.
        self.state = Mirrored { epoch: self.epoch_base, in_doubt: true, ..self.state };
        self.has_changed = true;
        // First: it may have all the memory that there is.
        self.instance = None;
        let config = convert::config(&self.config);
        let started = Instance::start(&self.runtime, &self.component, &config, self.memory);
        self.instance = started.and_then(|instance| self.caught_up(instance)).ok();
        if self.instance.is_some() {
            let _ = self.look();
        }
        Failed
    }

    /// A new instance for which all that is stored is stale, and all that was announced is announced. Positions go on
    /// rising.
    fn caught_up(&mut self, mut instance: Instance) -> wasmtime::Result<Instance> {
        let now_us = self.now_us.max(self.clock_us + 1);
        let (guest, store, engine) = instance.parts();
        guest
            .call_clear(&mut *store, engine, now_us)?
            .map_err(|refused| wasmtime::format_err!("{refused:?}"))?;
        for mark in self.marks.values_mut() {
            let number = guest.call_change(&mut *store, engine, &mark.tags, mark.deadline_us, self.now_us)?;
            mark.number = number.unwrap_or(0);
        }
        Ok(instance)
    }

    /// Where a resource is, if it is of this instance.
    fn own(&self, resource: Resource) -> Result<ResourceAny, Failed> {
        if resource.instance == self.number { Ok(resource.any) } else { Err(Failed) }
    }

    fn resource(&self, any: ResourceAny) -> Resource {
        Resource { instance: self.number, any }
    }

    pub(super) fn drop_resource(&mut self, resource: Resource) {
        let Ok(any) = self.own(resource) else { return };
        let Some(instance) = &mut self.instance else { return };
        if any.resource_drop(&mut instance.store).is_err() {
            self.start_over();
        }
    }

    pub(super) fn begin(&mut self, now_us: u64) -> Option<Resource> {
        self.now_us = now_us;
        let fill = self.change_by(|guest, store, engine| guest.call_begin(store, engine, now_us)).ok()?;
        Some(self.resource(fill))
    }

    /// The entry, and its `as_of`.
    pub(super) fn seal(
        &mut self,
        fill: Resource,
        tags: &[String],
        bound: Option<u64>,
        now_us: u64,
    ) -> Result<(Resource, u64), Rejected> {
        self.now_us = now_us;
        let fill = self.own(fill).map_err(|Failed| Rejected::Foreign)?;
        let sealed = self
            .change_by(|guest, store, engine| guest.call_seal(store, engine, fill, tags, bound, now_us))
            .map_err(|Failed| Rejected::Foreign)?;
        self.entry(sealed)
    }

    pub(super) fn admit(&mut self, header: &[u8], now_us: u64) -> Result<(Resource, u64), Rejected> {
        let admitted = self
            .change_by(|guest, store, engine| guest.call_admit(store, engine, header, now_us))
            .map_err(|Failed| Rejected::Unknown)?;
        self.entry(admitted)
    }

    fn entry(&mut self, entry: Result<ResourceAny, wit::Rejected>) -> Result<(Resource, u64), Rejected> {
        let entry = self.resource(entry.map_err(convert::rejected)?);
        let as_of = self.of_entry(entry, |api, store, entry| {
            api.zoocache_engine_engine().entry().call_as_of(store, entry)
        });
        as_of.map(|as_of| (entry, as_of)).map_err(|Failed| Rejected::Foreign)
    }

    /// Calls a method of an entry.
    fn of_entry<T>(
        &mut self,
        entry: Resource,
        call: impl FnOnce(
            &super::bindings::EngineComponent,
            &mut Store<StoreLimits>,
            ResourceAny,
        ) -> wasmtime::Result<T>,
    ) -> Result<T, Failed> {
        let any = self.own(entry)?;
        let (api, store) = self.instance.as_mut().ok_or(Failed)?.api();
        let result = call(api, store, any);
        result.map_err(|_| self.start_over())
    }

    pub(super) fn judge_entry(&mut self, entry: Resource) -> Result<Verdict, Failed> {
        self.of_entry(entry, |api, store, entry| {
            api.zoocache_engine_engine().entry().call_judge(store, entry)
        })
    }

    pub(super) fn header(
        &mut self,
        entry: Resource,
        created: u64,
        expires: u64,
    ) -> Result<Option<Vec<u8>>, Failed> {
        self.of_entry(entry, |api, store, entry| {
            api.zoocache_engine_engine().entry().call_header(store, entry, created, expires)
        })
    }

    pub(super) fn judge(&mut self, header: &[u8], now_us: u64) -> Result<Verdict, Failed> {
        let judged =
            self.change_by(|guest, store, engine| guest.call_judge(store, engine, header, now_us))?;
        Ok(judged.unwrap_or(Verdict::Unknown))
    }

    pub(super) fn invalidate(&mut self, tags: &[String], now_us: u64) -> Result<Timestamp, ClockError> {
        self.now_us = now_us;
        let at = self.change_by(|guest, store, engine| guest.call_invalidate(store, engine, tags, now_us));
        self.position(at)
    }

    /// What a call answered that mints a position. One that failed has made everything stale.
    fn position(&self, at: Result<Result<u64, Refused>, Failed>) -> Result<Timestamp, ClockError> {
        match at {
            Ok(Ok(at)) => Ok(Timestamp::from_micros(at)),
            Ok(Err(_)) => Err(ClockError::Exhausted),
            Err(Failed) => Ok(Timestamp::from_micros(self.clock_us)),
        }
    }

    pub(super) fn latest(&mut self, tag: &Tag) -> Timestamp {
        let text = as_text(tag);
        let latest = self.call(|guest, store, engine| guest.call_latest(store, engine, &text));
        match latest {
            Ok(Ok(at)) => Timestamp::from_micros(at),
            // More than the truth makes stale what need not be.
            Ok(Err(_)) | Err(Failed) => Timestamp::from_micros(self.clock_us),
        }
    }

    /// Announces a change. One that an instance loses is announced in the next.
    pub(super) fn change(&mut self, tags: &[String], deadline_us: u64, now_us: u64) -> MarkId {
        self.now_us = now_us;
        if self.marks.len() >= MAX_MARKS {
            self.marks.retain(|_, mark| mark.deadline_us > now_us);
        }
        self.last_mark += 1;
        let tags = tags.to_vec();
        let announced = self
            .change_by(|guest, store, engine| guest.call_change(store, engine, &tags, deadline_us, now_us));
        let number = announced.ok().and_then(Result::ok).unwrap_or(0);
        self.marks.insert(self.last_mark, Announced { number, tags, deadline_us });
        if number == 0 {
            // With it among those that are announced.
            self.start_over();
        }
        MarkId(self.last_mark)
    }

    pub(super) fn settle(&mut self, mark: MarkId, now_us: u64) -> Result<Timestamp, SettleError> {
        self.now_us = now_us;
        // Again in the next instance, if one fails: it has announced the change, too.
        for _ in 0..2 {
            let number = self.marks.get(&mark.0).ok_or(SettleError::Unknown(mark))?.number;
            let at = self.change_by(|guest, store, engine| guest.call_settle(store, engine, number, now_us));
            let at = match at {
                Err(Failed) => continue,
                Ok(Err(Refused::ClockExhausted)) => return Err(SettleError::Clock(ClockError::Exhausted)),
                Ok(Err(_)) => Err(SettleError::Unknown(mark)),
                Ok(Ok(at)) => Ok(Timestamp::from_micros(at)),
            };
            self.marks.remove(&mark.0);
            return at;
        }
        // Whatever it was to make stale is so.
        self.marks.remove(&mark.0);
        Ok(Timestamp::from_micros(self.clock_us))
    }

    pub(super) fn settle_at(&mut self, mark: MarkId, at: Timestamp) -> Result<(), SettleError> {
        let announced = self.marks.remove(&mark.0).ok_or(SettleError::Unknown(mark))?;
        let at = at.as_micros();
        // An instance that fails here makes everything stale, and announces it no more.
        let _ =
            self.change_by(|guest, store, engine| guest.call_settle_at(store, engine, announced.number, at));
        Ok(())
    }

    pub(super) fn apply_log(&mut self, rows: &[LogRow], to: Option<Timestamp>) {
        let row = |row: &LogRow| wit::LogRow {
            tag: as_text(&row.tag),
            below_only: row.below_only,
            at: row.at.as_micros(),
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let to = to.map(Timestamp::as_micros);
        let _ = self.change_by(|guest, store, engine| guest.call_apply_log(store, engine, &rows, to));
    }

    pub(super) fn doubt(&mut self) {
        let _ = self.change_by(|guest, store, engine| guest.call_doubt(store, engine));
    }

    pub(super) fn reset_domain(&mut self, domain: DomainId, floor: Timestamp) {
        self.config.domain = domain;
        let (domain, floor) = (convert::domain(domain), floor.as_micros());
        let _ = self.change_by(|guest, store, engine| guest.call_reset_domain(store, engine, domain, floor));
    }

    pub(super) fn raise_floor(&mut self, floor: Timestamp) {
        let floor = floor.as_micros();
        let _ = self.change_by(|guest, store, engine| guest.call_raise_floor(store, engine, floor));
    }

    pub(super) fn set_horizon(&mut self, horizon: Timestamp) {
        let horizon = horizon.as_micros();
        let _ = self.call(|guest, store, engine| guest.call_set_horizon(store, engine, horizon));
    }

    pub(super) fn prune(&mut self, horizon: Timestamp, budget: usize) -> usize {
        let (horizon, budget) = (horizon.as_micros(), u32::try_from(budget).unwrap_or(u32::MAX));
        let pruned = self.change_by(|guest, store, engine| guest.call_prune(store, engine, horizon, budget));
        pruned.map_or(0, |pruned| usize::try_from(pruned).unwrap_or(0))
    }

    pub(super) fn forget_fills(&mut self) {
        let _ = self.call(|guest, store, engine| guest.call_forget_fills(store, engine));
    }

    pub(super) fn stats(&mut self) -> EngineStats {
        let mut stats = EngineStats::default();
        let Ok(said) = self.call(|guest, store, engine| guest.call_stats(store, engine)) else {
            return stats;
        };
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        stats.nodes = size(said.nodes);
        stats.running_fills = size(said.running_fills);
        stats.pending_marks = size(said.pending_marks);
        stats.epoch = self.epoch_base + said.state.epoch;
        stats.applied = Timestamp::from_micros(said.state.applied);
        stats.clock = Timestamp::from_micros(said.state.clock);
        stats.floor = Timestamp::from_micros(said.state.floor);
        stats.generation = said.state.generation;
        stats.drift_refused = said.drift_refused;
        stats.duplicates = said.duplicates;
        stats.missed = said.missed;
        stats.pruned = said.pruned;
        stats.marks_expired = said.marks_expired;
        stats.rejected_stale = said.rejected_stale;
        stats
    }
}
