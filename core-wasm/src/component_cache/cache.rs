//! [`Cache`]: what the calls of the interface do, with the engine and the bucket.
//!
//! Invariants: a row is read *before* the engine hears what was invalidated, so that it is judged by what is known after; what
//! is stored would be served at once; of fills of one key that overlap, the first to finish is stored.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::bindings::exports::zoocache::engine::cache::{Explanation, Invalidated, NotStored, Refused};
use super::bindings::exports::zoocache::engine::types::TagError;
use super::bucket::Bucket;
use super::bus::{Bus, forget_all};
use super::limits::{MAX_KEY_BYTES, MAX_NODES, MAX_VALUE_BYTES};
use super::{convert, host, row, words};
use crate::{ClockError, DomainId, Engine, EngineConfig, Header, Order, Rejected, Tag, Timestamp};

pub(super) struct Cache {
    engine: Engine,
    bucket: Bucket,
    bus: Option<Bus>,
    running: Vec<Rc<Running>>,
}

/// A fill that has begun, and what was used in it.
pub(super) struct Running {
    /// `None` for one that is outside of the limits: nothing is stored.
    key: Option<String>,
    /// What its value is computed for.
    within: Option<Rc<Running>>,
    is_overtaken: Cell<bool>,
    used: RefCell<Used>,
}

/// What a value was computed from.
#[derive(Default)]
struct Used {
    dependencies: Vec<Tag>,
    /// 0 is never.
    expires: u64,
    /// Of the entry that began first.
    as_of: Option<Timestamp>,
}

/// What is to be stored.
pub(super) struct Finished {
    pub(super) value: Vec<u8>,
    pub(super) dependencies: Vec<String>,
    pub(super) ttl: Option<u64>,
}

impl Cache {
    /// A cache that knows of no invalidation, and of other nodes only what they tell it from now on.
    pub(super) fn start() -> Self {
        let joined = Bus::join();
        let mut config = EngineConfig::new(DomainId::default());
        (config.hash_seed, config.entries_outside) = (host::new_seed(), true);
        match &joined {
            Some((domain, node_id, _)) => {
                (config.domain, config.node_id, config.order) = (*domain, *node_id, Order::Gossip);
            }
            None => config.domain = host::new_domain(),
        }
        let mut engine = Engine::new(config);
        let bus = joined.map(|(_, _, bus)| bus);
        if bus.is_some() {
            // What was invalidated before is not known. The clock is read after joining: so nothing lies between.
            forget_all(&mut engine, host::now());
        }
        Self { engine, bucket: Bucket::default(), bus, running: Vec::new() }
    }

    pub(super) fn get(&mut self, key: &str, within: Option<&Running>) -> Option<Vec<u8>> {
        let (entry, now) = self.read(key);
        let (header, value) = entry?;
        self.engine.assess(&header, now).ok()?;
        if let Some(running) = within {
            running.used.borrow_mut().add(header);
        }
        Some(value)
    }

    pub(super) fn begin(&mut self, key: String, within: Option<Rc<Running>>) -> (crate::Fill, Rc<Running>) {
        let now = self.catch_up();
        let key = is_key(&key).then_some(key);
        let (is_overtaken, used) = (Cell::new(false), RefCell::default());
        let running = Rc::new(Running { key, within, is_overtaken, used });
        self.running.push(running.clone());
        (self.engine.begin(now), running)
    }

    pub(super) fn abandon(&mut self, begun: crate::Fill, running: &Rc<Running>) {
        self.engine.abandon(begun);
        self.running.retain(|other| !Rc::ptr_eq(other, running));
    }

    pub(super) fn finish(
        &mut self,
        begun: crate::Fill,
        running: &Rc<Running>,
        finished: &Finished,
    ) -> Result<(), NotStored> {
        self.running.retain(|other| !Rc::ptr_eq(other, running));
        let now = self.catch_up();
        let tags = words::parse_all(&finished.dependencies);
        running.finish(tags.clone().ok(), finished.ttl.map_or(0, |ttl| now.saturating_add(ttl).max(1)));
        let key = match running.check(finished, tags) {
            Ok(key) => key,
            Err(reason) => {
                self.engine.abandon(begun);
                return Err(reason);
            }
        };
        let header = self.seal(begun, &running.used.borrow(), now);
        let header = header.map_err(|rejected| convert::not_stored(rejected, &self.engine))?;
        for other in self.running.iter().filter(|other| other.key.as_deref() == Some(key)) {
            other.is_overtaken.set(true); // also if the bucket fails: it may have taken it all the same
        }
        self.bucket.set(key, &row::seal(key, &header, &finished.value)).map_err(NotStored::Storage)
    }

    /// The header of a value that would be served.
    fn seal(&mut self, begun: crate::Fill, used: &Used, now: u64) -> Result<Header, Rejected> {
        let handles: Vec<_> = used.dependencies.iter().map(|tag| self.engine.intern(tag)).collect();
        // Among nodes that gossip, what was used may be older than something that only others know of yet.
        let bound = used.as_of.filter(|_| self.bus.is_some()).unwrap_or(Timestamp::MAX);
        let sealed = self.engine.seal(begun, &handles, bound, now)?;
        let header = sealed.header(self.engine.signals(), self.engine.domain(), now, used.expires);
        let header = header.ok_or(Rejected::Foreign)?;
        self.engine.assess(&header, now)?;
        Ok(header)
    }

    pub(super) fn invalidate(&mut self, texts: &[String]) -> Result<Invalidated, Refused> {
        let tags = words::parse_all(texts)?;
        self.change(|engine, now| engine.invalidate(&tags, now))
    }

    pub(super) fn clear(&mut self) -> Result<Invalidated, Refused> {
        self.change(Engine::clear)
    }

    pub(super) fn explain(&mut self, key: &str) -> Option<Explanation> {
        let (entry, now) = self.read(key);
        let (header, _) = entry?;
        Some(Explanation {
            verdict: words::judged(&mut self.engine, &header, now),
            as_of: header.as_of.as_micros(),
            created: header.created_us,
            expires: header.expires_us,
            dependencies: self.engine.explain_header(&header).iter().map(convert::state_out).collect(),
        })
    }

    /// What rests under the key, and the time.
    fn read(&mut self, key: &str) -> (Option<(Header, Vec<u8>)>, u64) {
        let row = is_key(key).then(|| self.bucket.get(key)).flatten();
        let now = self.catch_up();
        let mut entry = row.and_then(|row| row::open(key, row));
        if let (Some(_), Some((header, _))) = (&self.bus, &mut entry) {
            // What others knew when they sealed it: the bus tells of that, or says that something is missing. Applied from
            // here at this node's time, it would look to them as if they had missed something in turn, for ever.
            header.dependencies.iter_mut().for_each(|dependency| dependency.stamp = Timestamp::ZERO);
        }
        (entry, now)
    }

    /// Learns what others invalidated; returns the time.
    fn catch_up(&mut self) -> u64 {
        let now = host::now();
        if let Some(bus) = &mut self.bus {
            bus.exchange(&mut self.engine, now);
        }
        now
    }

    fn change(
        &mut self,
        make: impl FnOnce(&mut Engine, u64) -> Result<Timestamp, ClockError>,
    ) -> Result<Invalidated, Refused> {
        let now = host::now();
        let at = make(&mut self.engine, now)?.as_micros();
        let is_published = self.bus.as_mut().is_none_or(|bus| bus.tell(&mut self.engine, now));
        let stats = self.engine.stats();
        if stats.nodes > MAX_NODES {
            self.engine.set_horizon(stats.applied);
        }
        Ok(Invalidated { at, is_published })
    }
}

impl Running {
    /// Adds what its value depends on, for itself and for what it is computed for; `None` may be anything.
    fn finish(&self, tags: Option<Vec<Tag>>, expires: u64) {
        let mut used = self.used.borrow_mut();
        used.dependencies.extend(tags.unwrap_or_else(|| Tag::parse("*").into_iter().collect()));
        used.expires = earlier(used.expires, expires);
        if let Some(outer) = &self.within {
            outer.used.borrow_mut().add_all(&used);
        }
    }

    /// The key, if the value may be stored as far as limits go.
    fn check(&self, finished: &Finished, tags: Result<Vec<Tag>, TagError>) -> Result<&str, NotStored> {
        let key = self.key.as_deref().ok_or(NotStored::BadKey)?;
        tags.map_err(NotStored::BadTag)?;
        if finished.value.len() > MAX_VALUE_BYTES {
            return Err(NotStored::TooLarge);
        }
        if self.is_overtaken.get() { Err(NotStored::Overtaken) } else { Ok(key) }
    }
}

impl Used {
    fn add(&mut self, header: Header) {
        self.dependencies.extend(header.dependencies.into_iter().map(|dependency| dependency.tag));
        self.expires = earlier(self.expires, header.expires_us);
        self.as_of = self.as_of.into_iter().chain([header.as_of]).min();
    }

    fn add_all(&mut self, other: &Self) {
        self.dependencies.extend(other.dependencies.iter().cloned());
        self.expires = earlier(self.expires, other.expires);
        self.as_of = self.as_of.into_iter().chain(other.as_of).min();
    }
}

/// Of two times, 0 being never.
fn earlier(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len())
}
