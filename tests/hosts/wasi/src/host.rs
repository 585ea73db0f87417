//! A host for several instances of the cache, of which tests hold the strings: its clock, its bucket, its bus.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use wasmtime::Result;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceAny, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use crate::bindings::CacheComponent;
use crate::bindings::exports::zoocache::engine::cache::{Explanation, Invalidated, NotStored};
use crate::bindings::wasi::clocks::wall_clock::{self, Datetime};
use crate::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};
use crate::bindings::wasi::random::random;
use crate::bindings::zoocache::engine::bus::{self, Identity, Invalidation, News};
use crate::bindings::zoocache::engine::types::{self, DomainId};

pub(crate) const SECOND: u64 = 1_000_000;

/// An instance that remembers without bounds reaches it, and traps.
const MAX_MEMORY: usize = 32 << 20;

/// What the instances share.
#[derive(Default)]
pub(crate) struct World {
    /// Unix microseconds.
    pub(crate) now: u64,
    pub(crate) rows: HashMap<String, Vec<u8>>,
    pub(crate) is_bucket_gone: bool,
    /// All that were ever published.
    pub(crate) messages: Vec<Invalidation>,
    pub(crate) is_bus_deaf: bool,
    pub(crate) was_a_message_lost: bool,
    joined: u64,
}

pub(crate) type Shared = Rc<RefCell<World>>;

/// A world at some time.
pub(crate) fn world() -> Shared {
    Rc::new(RefCell::new(World { now: 1_700_000_000 * SECOND, ..World::default() }))
}

/// What one instance is given.
pub(crate) struct Host {
    world: Shared,
    /// How many messages it has heard, if it hears any.
    heard: Option<usize>,
    /// How far its clock runs ahead.
    skew: u64,
    table: ResourceTable,
    limits: StoreLimits,
}

/// A bucket that was opened: there is one, and it is the world's.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct Opened;

impl wall_clock::Host for Host {
    fn now(&mut self) -> Datetime {
        let now = self.world.borrow().now + self.skew;
        let nanoseconds = u32::try_from(now % SECOND * 1_000).unwrap_or(0);
        Datetime { seconds: now / SECOND, nanoseconds }
    }

    fn resolution(&mut self) -> Datetime {
        Datetime { seconds: 0, nanoseconds: 1_000 }
    }
}

impl random::Host for Host {
    fn get_random_bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| fastrand::u8(..)).collect()
    }

    fn get_random_u64(&mut self) -> u64 {
        fastrand::u64(..)
    }
}

impl Host {
    /// The world, unless its bucket is gone.
    fn bucket(&self) -> Result<std::cell::RefMut<'_, World>, Error> {
        let world = self.world.borrow_mut();
        if world.is_bucket_gone { Err(Error::Other("the bucket is gone".into())) } else { Ok(world) }
    }
}

impl store::Host for Host {
    fn open(&mut self, name: String) -> Result<Resource<Opened>, Error> {
        if name != "default" {
            return Err(Error::NoSuchStore);
        }
        drop(self.bucket()?);
        self.table.push(Opened).map_err(|error| Error::Other(error.to_string()))
    }
}

impl store::HostBucket for Host {
    fn get(&mut self, _: Resource<Opened>, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.bucket()?.rows.get(&key).cloned())
    }

    fn set(&mut self, _: Resource<Opened>, key: String, row: Vec<u8>) -> Result<(), Error> {
        self.bucket()?.rows.insert(key, row);
        Ok(())
    }

    fn delete(&mut self, _: Resource<Opened>, key: String) -> Result<(), Error> {
        self.bucket()?.rows.remove(&key);
        Ok(())
    }

    fn exists(&mut self, _: Resource<Opened>, key: String) -> Result<bool, Error> {
        Ok(self.bucket()?.rows.contains_key(&key))
    }

    fn list_keys(&mut self, _: Resource<Opened>, _: Option<u64>) -> Result<KeyResponse, Error> {
        Ok(KeyResponse { keys: self.bucket()?.rows.keys().cloned().collect(), cursor: None })
    }

    fn drop(&mut self, bucket: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl types::Host for Host {}

impl bus::Host for Host {
    fn join(&mut self) -> Option<Identity> {
        let mut world = self.world.borrow_mut();
        world.joined += 1;
        self.heard = self.heard.map(|_| world.messages.len());
        self.heard.map(|_| Identity { domain: DomainId { high: 7, low: 7 }, node_id: world.joined })
    }

    fn publish(&mut self, message: Invalidation) -> Result<(), String> {
        let mut world = self.world.borrow_mut();
        if world.is_bus_deaf {
            return Err("nobody listens".into());
        }
        world.messages.push(message);
        Ok(())
    }

    fn poll(&mut self) -> News {
        let world = self.world.borrow();
        let heard = self.heard.get_or_insert(0);
        let messages = world.messages[*heard..].to_vec();
        *heard = world.messages.len();
        News { messages, is_complete: !world.was_a_message_lost }
    }
}

/// Who an instance is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Alone,
    /// With a bus, and a clock that runs ahead by so much.
    Node(u64),
}

/// An instance of the cache.
pub(crate) struct Node {
    store: Store<Host>,
    cache: CacheComponent,
}

impl Node {
    pub(crate) fn start(engine: &Engine, component: &Component, world: &Shared, kind: Kind) -> Result<Self> {
        let mut linker = Linker::<Host>::new(engine);
        CacheComponent::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
        let (heard, skew) = match kind {
            Kind::Alone => (None, 0),
            Kind::Node(skew) => (Some(0), skew),
        };
        let limits = StoreLimitsBuilder::new().memory_size(MAX_MEMORY).build();
        let host = Host { world: world.clone(), heard, skew, table: ResourceTable::new(), limits };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        let cache = CacheComponent::instantiate(&mut store, component, &linker)?;
        Ok(Self { store, cache })
    }

    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        self.cache.zoocache_engine_cache().call_get(&mut self.store, key, None)
    }

    /// For the value of another fill.
    pub(crate) fn get_within(&mut self, key: &str, fill: ResourceAny) -> Result<Option<Vec<u8>>> {
        self.cache.zoocache_engine_cache().call_get(&mut self.store, key, Some(fill))
    }

    pub(crate) fn begin(&mut self, key: &str) -> Result<ResourceAny> {
        self.cache.zoocache_engine_cache().call_begin_fill(&mut self.store, key, None)
    }

    pub(crate) fn finish(
        &mut self,
        fill: ResourceAny,
        value: &[u8],
        tags: &[&str],
        ttl: Option<u64>,
    ) -> Result<Result<(), NotStored>> {
        let tags: Vec<String> = tags.iter().copied().map(String::from).collect();
        self.cache.zoocache_engine_cache().call_finish_fill(&mut self.store, fill, value, &tags, ttl)
    }

    /// Computes a value in no time.
    pub(crate) fn fill(&mut self, key: &str, value: &[u8], tags: &[&str]) -> Result<Result<(), NotStored>> {
        let fill = self.begin(key)?;
        self.finish(fill, value, tags, None)
    }

    pub(crate) fn invalidate(&mut self, tag: &str) -> Result<Invalidated> {
        let invalidated =
            self.cache.zoocache_engine_cache().call_invalidate(&mut self.store, &[tag.into()])?;
        invalidated.map_err(|refused| wasmtime::format_err!("{refused:?}"))
    }

    pub(crate) fn explain(&mut self, key: &str) -> Result<Option<Explanation>> {
        self.cache.zoocache_engine_cache().call_explain(&mut self.store, key)
    }
}
