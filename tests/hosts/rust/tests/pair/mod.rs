//! A native engine and one of the component, which are called alike and must answer alike.

use fastrand::Rng;
use wasmtime::Store;
use wasmtime::component::ResourceAny;
use wasmtime::error::Context;
use wasmtime::{Result, ensure};
use zoocache_core::{
    Applied, Cause, DomainId, Engine, EngineConfig, Fill, Header, Invalidation, LogRow, MarkId, Order,
    Rejected, Sealed, SettleError, Tag, TagHandle, Timestamp, Verdict,
};
use zoocache_hosts_rust::{EngineComponent, engine, types};

pub(crate) const TAGS: [&str; 14] = [
    "*",
    "a",
    "a:b",
    "a:b:c",
    "a:b:d",
    "a:e",
    "a:*",
    "a:b:*",
    "f",
    "f:g:h:i",
    "f:g:*",
    "größe:1",
    "a:b:c:d:e:f",
    "k",
];
pub(crate) const TIMES: [u64; 6] = [0, 1, 1_000_000, 2_000_000, (1 << 53) - 1, u64::MAX];

pub(crate) struct Pair<'a> {
    store: &'a mut Store<()>,
    api: &'a EngineComponent,
    config: EngineConfig,
    native: Engine,
    component: ResourceAny,
    fills: Vec<(Fill, ResourceAny)>,
    entries: Vec<(Sealed, ResourceAny)>,
    headers: Vec<Vec<u8>>,
    marks: Vec<u64>,
    messages: Vec<Invalidation>,
    now: u64,
    made: usize,
    fresh: usize,
    /// How to see it again.
    told: &'a str,
}

fn parse(text: &str) -> Tag {
    Tag::parse(text).expect("a tag")
}

fn text(tag: &Tag) -> String {
    if tag.depth() == 0 { "*".to_owned() } else { tag.to_string() }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn cause(cause: &Cause, engine: &Engine) -> types::Cause {
    types::Cause { tag: text(&cause.tag), at: cause.at.as_micros(), node: engine.origin_of(cause.at) }
}

fn rejected(rejected: Rejected, engine: &Engine) -> types::Verdict {
    match rejected {
        Rejected::Stale(stale) => types::Verdict::Stale(cause(&stale, engine)),
        Rejected::Pending(tag) => types::Verdict::Pending(text(&tag)),
        Rejected::Foreign => types::Verdict::Foreign,
        Rejected::Expired => types::Verdict::Expired,
        _ => types::Verdict::Unknown,
    }
}

fn is_alike(native: &types::Verdict, component: &types::Verdict) -> bool {
    format!("{native:?}") == format!("{component:?}")
}

fn wit_config(config: &EngineConfig) -> engine::Config {
    engine::Config {
        domain: types::DomainId { high: 0, low: u64::try_from(config.domain.0).expect("small") },
        order: match config.order {
            Order::Own => engine::Order::Alone,
            Order::Log => engine::Order::Log,
            Order::Gossip => engine::Order::Gossip,
        },
        max_drift: config.max_drift_us,
        hash_seed: config.hash_seed,
        node_id: config.node_id,
        entries_outside: config.entries_outside,
    }
}

impl<'a> Pair<'a> {
    pub(crate) fn begin(
        store: &'a mut Store<()>,
        api: &'a EngineComponent,
        order: Order,
        entries_outside: bool,
        told: &'a str,
    ) -> Result<Self> {
        let config = EngineConfig {
            order,
            entries_outside,
            node_id: 1,
            hash_seed: 9,
            ..EngineConfig::new(DomainId(5))
        };
        let component =
            api.zoocache_engine_engine().engine().call_constructor(&mut *store, wit_config(&config))?;
        Ok(Self {
            native: Engine::new(config.clone()),
            store,
            api,
            config,
            component,
            fills: Vec::new(),
            entries: Vec::new(),
            headers: Vec::new(),
            marks: Vec::new(),
            messages: Vec::new(),
            now: 1_000_000,
            made: 0,
            fresh: 0,
            told,
        })
    }

    /// Drops everything that the component holds.
    pub(crate) fn end(self) -> Result<()> {
        let fills = self.fills.into_iter().map(|(_, fill)| fill);
        let entries = self.entries.into_iter().map(|(_, entry)| entry);
        for resource in fills.chain(entries).chain([self.component]) {
            resource.resource_drop(&mut *self.store)?;
        }
        Ok(())
    }

    /// How many headers were the same.
    pub(crate) fn headers(&self) -> usize {
        self.made
    }

    /// How often an entry was fresh.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh
    }

    fn guest(&self) -> engine::GuestEngine<'a> {
        self.api.zoocache_engine_engine().engine()
    }

    /// The time, which mostly goes on.
    pub(crate) fn clock(&mut self, rng: &mut Rng) -> u64 {
        match rng.u8(..20) {
            0 => self.now = self.now.saturating_sub(rng.u64(..500_000)),
            1 => return TIMES[rng.usize(..4)],
            _ => self.now += rng.u64(..300_000),
        }
        self.now
    }

    fn same<T: std::fmt::Debug>(&self, what: &str, native: &T, component: &T) -> Result<()> {
        let (native, component) = (format!("{native:?}"), format!("{component:?}"));
        ensure!(native == component, "{what}: natively {native}, the component {component}; {}", self.told);
        Ok(())
    }

    pub(crate) fn start_fill(&mut self, now: u64) -> Result<()> {
        let native = self.native.begin(now);
        let component = self.guest().call_begin(&mut *self.store, self.component, now)?;
        let as_of = self.api.zoocache_engine_engine().fill().call_as_of(&mut *self.store, component)?;
        self.same("begin", &native.as_of().as_micros(), &as_of)?;
        self.fills.push((native, component));
        Ok(())
    }

    pub(crate) fn seal(&mut self, rng: &mut Rng, tags: &[&str], bound: Option<u64>, now: u64) -> Result<()> {
        if self.fills.is_empty() {
            return Ok(());
        }
        let (native, component) = self.fills.swap_remove(rng.usize(..self.fills.len()));
        let texts: Vec<String> = tags.iter().map(ToString::to_string).collect();
        let handles: Vec<TagHandle> = tags.iter().map(|tag| self.native.intern(&parse(tag))).collect();
        let limit = bound.map_or(Timestamp::MAX, at);
        let native = self.native.seal(native, &handles, limit, now);
        let component =
            self.guest().call_seal(&mut *self.store, self.component, component, &texts, bound, now)?;
        match (native, component) {
            (Ok(sealed), Ok(entry)) => {
                let header = self.native.header(&sealed, now, 0);
                let header = header.map(|header| header.encode());
                let guest = self.api.zoocache_engine_engine();
                let other = guest.entry().call_header(&mut *self.store, entry, now, 0)?;
                self.same("header", &header, &other)?;
                if let Some(header) = header {
                    self.made += 1;
                    self.headers.push(header);
                }
                self.entries.push((sealed, entry));
                Ok(())
            }
            (Err(native), Err(engine::Rejected::Verdict(verdict))) => {
                let native = rejected(native, &self.native);
                ensure!(is_alike(&native, &verdict), "seal: {native:?}, {verdict:?}; {}", self.told);
                Ok(())
            }
            (native, component) => {
                wasmtime::bail!("seal: natively {native:?}, the component {component:?}; {}", self.told)
            }
        }
    }

    pub(crate) fn invalidate(&mut self, tags: &[&str], now: u64) -> Result<()> {
        let texts: Vec<String> = tags.iter().map(ToString::to_string).collect();
        let tags: Vec<Tag> = tags.iter().map(|tag| parse(tag)).collect();
        let native = self.native.invalidate(&tags, now).map(Timestamp::as_micros).ok();
        let component = self.guest().call_invalidate(&mut *self.store, self.component, &texts, now)?.ok();
        self.same("invalidate", &native, &component)
    }

    pub(crate) fn change(&mut self, tags: &[&str], deadline: u64, now: u64) -> Result<()> {
        let texts: Vec<String> = tags.iter().map(ToString::to_string).collect();
        let tags: Vec<Tag> = tags.iter().map(|tag| parse(tag)).collect();
        let MarkId(native) = self.native.change(&tags, deadline, now);
        let component =
            self.guest().call_change(&mut *self.store, self.component, &texts, deadline, now)?.ok();
        self.same("change", &Some(native), &component)?;
        self.marks.push(native);
        Ok(())
    }

    pub(crate) fn settle(&mut self, rng: &mut Rng, now: u64) -> Result<()> {
        let mark = self.marks.get(rng.usize(..=self.marks.len())).copied().unwrap_or(77);
        let native = if rng.bool() {
            let native = self.native.settle(MarkId(mark), now).map(Timestamp::as_micros);
            let component = self.guest().call_settle(&mut *self.store, self.component, mark, now)?;
            self.same("settle", &native.ok(), &component.ok())?;
            native.map(drop)
        } else {
            let native = self.native.settle_at(MarkId(mark), at(now));
            let component = self.guest().call_settle_at(&mut *self.store, self.component, mark, now)?;
            self.same("settle at", &native.is_ok(), &component.is_ok())?;
            native
        };
        ensure!(native.is_ok() || native == Err(SettleError::Unknown(MarkId(mark))), "{native:?}");
        Ok(())
    }

    pub(crate) fn judge(&mut self, rng: &mut Rng, now: u64) -> Result<()> {
        if self.headers.is_empty() {
            return Ok(());
        }
        let mut header = self.headers[rng.usize(..self.headers.len())].clone();
        if rng.u8(..4) == 0 {
            let (mut changed, _) = Header::decode(&header)?;
            // As if another node had sealed it.
            changed.as_of = at(changed.as_of.as_micros().saturating_add(rng.u64(..2_000_000)));
            if let Some(dependency) = changed.dependencies.first_mut() {
                dependency.stamp = at(self.now.saturating_add(rng.u64(..3_000_000)));
            }
            changed.expires_us = if rng.bool() { 0 } else { self.now + rng.u64(..500_000) };
            header = changed.encode();
        }
        let (decoded, _) = Header::decode(&header)?;
        let handles = self.native.explain_header(&decoded);
        let native = match self.native.judge(&decoded, now) {
            Verdict::Fresh => "fresh",
            Verdict::Stale => "stale",
            Verdict::Pending => "pending",
            Verdict::Unknown => "unknown",
            Verdict::Foreign => "foreign",
            _ => "expired",
        };
        let explained = self.guest().call_explain(&mut *self.store, self.component, &header, now)?;
        let explained = explained.ok().context("a header")?;
        ensure!(handles.len() == explained.dependencies.len());
        let component = match explained.verdict {
            types::Verdict::Fresh => "fresh",
            types::Verdict::Stale(_) => "stale",
            types::Verdict::Pending(_) => "pending",
            types::Verdict::Unknown => "unknown",
            types::Verdict::Foreign => "foreign",
            types::Verdict::Expired => "expired",
        };
        self.same("judge", &native, &component)
    }

    pub(crate) fn judge_entries(&mut self) -> Result<()> {
        for (sealed, entry) in &self.entries {
            let signals = self.native.signals();
            let native = match sealed.judge(signals) {
                Verdict::Fresh => {
                    self.fresh += 1;
                    types::Verdict::Fresh
                }
                Verdict::Stale => {
                    types::Verdict::Stale(cause(&sealed.blame(signals).context("a cause")?, &self.native))
                }
                Verdict::Pending => {
                    types::Verdict::Pending(text(&sealed.pending_tag(signals).context("a tag")?))
                }
                Verdict::Foreign => types::Verdict::Foreign,
                _ => types::Verdict::Unknown,
            };
            let guest = self.api.zoocache_engine_engine();
            let component = guest.entry().call_judge(&mut *self.store, *entry)?;
            ensure!(is_alike(&native, &component), "judge: {native:?}, {component:?}; {}", self.told);
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, rng: &mut Rng, tags: &[&str], now: u64) -> Result<()> {
        let known = self.messages.get(rng.usize(..=self.messages.len())).cloned();
        let message = known.unwrap_or_else(|| Invalidation {
            origin: rng.u64(1..4),
            at: at(self.now.saturating_sub(300_000) + rng.u64(..1_000_000)),
            tags: tags.iter().map(|tag| parse(tag)).collect(),
        });
        let native = match self.native.apply(&message, now)? {
            Applied::At(at) => engine::Applied::At(at.as_micros()),
            Applied::Drifted { at, .. } => engine::Applied::Drifted(at.as_micros()),
            _ => engine::Applied::Duplicate,
        };
        let sent = engine::Invalidation {
            origin: message.origin,
            at: message.at.as_micros(),
            tags: message.tags.iter().map(text).collect(),
        };
        let component = self.guest().call_apply(&mut *self.store, self.component, &sent, now)?;
        self.messages.push(message);
        self.same("apply", &Some(native), &component.ok())
    }

    pub(crate) fn tail(&mut self, rng: &mut Rng) -> Result<()> {
        let after = self.now.saturating_sub(rng.u64(..4_000_000));
        let native = self.native.tail(at(after));
        let component = self.guest().call_tail(&mut *self.store, self.component, after)?;
        let messages: Vec<_> = native
            .messages
            .iter()
            .map(|it| (it.origin, it.at.as_micros(), it.tags.iter().map(text).collect::<Vec<_>>()))
            .collect();
        let others: Vec<_> = component.messages.into_iter().map(|it| (it.origin, it.at, it.tags)).collect();
        self.same("tail", &messages, &others)?;
        self.same(
            "tail",
            &(native.to.as_micros(), native.is_complete),
            &(component.to, component.is_complete),
        )
    }

    pub(crate) fn apply_log(&mut self, rng: &mut Rng, tags: &[&str]) -> Result<()> {
        let position = self.now.saturating_sub(100_000) + rng.u64(..200_000);
        let below_only = rng.u8(..4) == 0;
        let row = |tag: &&str| LogRow { tag: parse(tag), below_only, at: at(position) };
        let rows: Vec<LogRow> = tags.iter().map(row).collect();
        let to = rng.bool().then_some(position);
        match to {
            Some(to) => self.native.apply_log(&rows, at(to)),
            None => self.native.apply_rows(&rows),
        }
        let row = |tag: &&str| engine::LogRow { tag: (*tag).to_owned(), below_only, at: position };
        let rows: Vec<_> = tags.iter().map(row).collect();
        let applied = self.guest().call_apply_log(&mut *self.store, self.component, &rows, to)?;
        ensure!(applied.is_ok());
        Ok(())
    }

    pub(crate) fn prune(&mut self, rng: &mut Rng) -> Result<()> {
        let horizon = self.now.saturating_sub(rng.u64(..2_000_000));
        let budget = rng.u32(..20);
        let native = self.native.prune(at(horizon), budget as usize);
        let component = self.guest().call_prune(&mut *self.store, self.component, horizon, budget)?;
        self.same("prune", &native, &(component as usize))
    }

    pub(crate) fn latest(&mut self, tag: &str) -> Result<()> {
        let native = self.native.latest(&parse(tag)).as_micros();
        let component = self.guest().call_latest(&mut *self.store, self.component, tag)?;
        self.same("latest", &Some(native), &component.ok())
    }

    /// What happens rarely.
    pub(crate) fn unsettle(&mut self, rng: &mut Rng) -> Result<()> {
        let position = self.now.saturating_sub(rng.u64(..1_000_000));
        match rng.u8(..5) {
            0 => {
                self.native.doubt();
                self.guest().call_doubt(&mut *self.store, self.component)?;
            }
            1 => {
                self.native.raise_floor(at(position));
                self.guest().call_raise_floor(&mut *self.store, self.component, position)?;
            }
            2 => {
                self.native.set_horizon(at(position));
                self.guest().call_set_horizon(&mut *self.store, self.component, position)?;
            }
            3 => {
                let native = self.native.expire_marks(self.now)?;
                let component = self.guest().call_expire_marks(&mut *self.store, self.component, self.now)?;
                self.same("expire marks", &Some(native), &component.ok().map(|count| count as usize))?;
            }
            _ => {
                self.config.domain = DomainId(self.config.domain.0 + 1);
                let low = u64::try_from(self.config.domain.0)?;
                self.native.reset_domain(self.config.domain, at(position));
                let domain = types::DomainId { high: 0, low };
                self.guest().call_reset_domain(&mut *self.store, self.component, domain, position)?;
            }
        }
        Ok(())
    }

    pub(crate) fn compare_snapshots(&mut self) -> Result<()> {
        let component = self.guest().call_snapshot(&mut *self.store, self.component)?;
        let native = self.native.snapshot();
        ensure!(native == component, "snapshots differ; {}", self.told);
        let state = self.guest().call_state(&mut *self.store, self.component)?;
        let native = self.native.stats();
        self.same("epoch", &native.epoch, &state.epoch)?;
        self.same("generation", &native.generation, &state.generation)
    }

    /// Goes on with engines that know what the snapshot says.
    pub(crate) fn restore(&mut self) -> Result<()> {
        let snapshot = self.native.snapshot();
        self.native = Engine::restore(self.config.clone(), &snapshot)?;
        let config = wit_config(&self.config);
        let restored = self.guest().call_restore(&mut *self.store, config, &snapshot)?;
        let old = std::mem::replace(&mut self.component, restored.ok().context("its own snapshot")?);
        let fills = std::mem::take(&mut self.fills).into_iter().map(|(_, fill)| fill);
        let entries = std::mem::take(&mut self.entries).into_iter().map(|(_, entry)| entry);
        for resource in fills.chain(entries).chain([old]) {
            resource.resource_drop(&mut *self.store)?;
        }
        Ok(())
    }
}
