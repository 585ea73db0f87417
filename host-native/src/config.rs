//! Settings: of a cache ([`Builder`]) and of one entry ([`Policy`]).
//!
//! Everything is checked here, before anything is built.

use std::sync::Arc;
use std::time::Duration;

use zoocache_core::{DomainId, Tag, TagError};

use crate::cache::{Cache, Finish, Parts, Resting};
use crate::clock::{SystemClock, WallClock};
use crate::engine::{Engine, NativeEngine};
use crate::entry::{Lifetime, Retention};
use crate::error::Error;
#[cfg(any(feature = "lmdb", feature = "redis"))]
use crate::event::Event;
use crate::event::Observer;
#[cfg(feature = "lmdb")]
use crate::folder::{Folder, Settings};
use crate::random::{random_u64, random_u128};
#[cfg(feature = "lmdb")]
use crate::sequencer::LmdbSequencer;
#[cfg(feature = "redis")]
use crate::sequencer::RedisSequencer;
use crate::sequencer::{MemorySequencer, Sequencer};
#[cfg(feature = "redis")]
use crate::server::{Address, Consistency, Feed};
#[cfg(feature = "lmdb")]
use crate::storage::LmdbStorage;
#[cfg(feature = "redis")]
use crate::storage::RedisStorage;
use crate::storage::{Limits, MemoryStorage};
use crate::timings::Timings;

/// What a computed value depends on, and how long it lives.
///
/// ```
/// use std::time::Duration;
/// use zoocache::Policy;
/// let policy = Policy::default().tag("store:2:products:*")?.ttl(Duration::from_secs(60));
/// assert_eq!(policy.tags().len(), 1);
/// # Ok::<(), zoocache::TagError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    tags: Vec<Tag>,
    lifetime: Option<Lifetime>,
    retention: Retention,
    cluster_lock: bool,
}

impl Policy {
    /// Adds a dependency. `a:b:*` depends on `a:b` and on everything below it.
    ///
    /// # Errors
    /// [`TagError`] when `tag` is not a valid tag.
    pub fn tag(mut self, tag: impl AsRef<str>) -> Result<Self, TagError> {
        self.tags.push(Tag::parse(tag.as_ref())?);
        Ok(self)
    }

    /// Adds dependencies that are tags already.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The entry expires this long after it was stored. Rounded up to a millisecond.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.lifetime(Lifetime { ttl_ms: Some(millis(ttl)), extend_on_hit: false })
    }

    /// The entry expires when it was not read for this long. Rounded up to a millisecond.
    #[must_use]
    pub fn tti(self, tti: Duration) -> Self {
        self.lifetime(Lifetime { ttl_ms: Some(millis(tti)), extend_on_hit: true })
    }

    /// Sets the lifetime; without one the cache's default counts.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Keeps the entry for a while when it is not fresh any more; without this it is not kept.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Computes it in one process at a time: the others wait for what it stores, up to the cache's
    /// [`flight_timeout`](Builder::flight_timeout), which is also how long the lock is held at most. For values
    /// that are dear to compute; it costs a small write transaction. Off by default, and without effect where no
    /// processes share entries.
    #[must_use]
    pub fn cluster_lock(mut self, lock: bool) -> Self {
        self.cluster_lock = lock;
        self
    }

    /// Is it computed in one process at a time?
    pub(crate) fn is_locked(&self) -> bool {
        self.cluster_lock
    }

    /// The declared dependencies.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// How a computation under this policy ends.
    pub(crate) fn finish(&self) -> Finish {
        Finish { lifetime: self.lifetime, retention: self.retention, store: true }
    }
}

/// Whole milliseconds, rounded up, saturating: a huge ttl is "never", it does not overflow.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(any(feature = "lmdb", feature = "redis"))]
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How many bytes a value occupies, for [`Builder::max_bytes`].
pub type Weigher<V> = Arc<dyn Fn(&V) -> usize + Send + Sync>;

/// Builds a [`Cache`].
///
/// ```
/// use std::time::Duration;
/// use zoocache::Cache;
/// let cache = Cache::<String>::builder()
///     .max_entries(10_000)
///     .default_ttl(Duration::from_secs(600))
///     .build()?;
/// assert_eq!(cache.stats().entries, 0);
/// # Ok::<(), zoocache::Error>(())
/// ```
pub struct Builder<V> {
    limits: Limits,
    default_lifetime: Lifetime,
    flight_timeout: Duration,
    sweep_interval: Duration,
    node: Option<String>,
    clock: Arc<dyn WallClock>,
    observer: Option<Arc<dyn Observer>>,
    timings: Option<Arc<Timings>>,
    weigher: Option<Weigher<V>>,
    #[cfg(feature = "component-host")]
    component: Option<Vec<u8>>,
    #[cfg(any(feature = "lmdb", feature = "redis"))]
    sharing: Sharing<V>,
}

/// Where and how processes share entries.
#[cfg(any(feature = "lmdb", feature = "redis"))]
struct Sharing<V> {
    place: Option<Shared<V>>,
    max_age: Duration,
    near_entries: Option<u64>,
    use_interval: Duration,
    secret: Option<crate::codec::Secret>,
    secret_is_empty: bool,
    #[cfg(feature = "lmdb")]
    max_readers: u32,
    #[cfg(feature = "lmdb")]
    map_bytes: Option<u64>,
    #[cfg(feature = "redis")]
    prefix: String,
    #[cfg(feature = "redis")]
    consistency: Consistency,
}

/// Where processes share something.
#[cfg(any(feature = "lmdb", feature = "redis"))]
enum Shared<V> {
    #[cfg(feature = "lmdb")]
    Folder(std::path::PathBuf, Arc<dyn crate::codec::ValueCodec<V>>),
    #[cfg(feature = "redis")]
    Server(String, Arc<dyn crate::codec::ValueCodec<V>>),
    /// Invalidations only.
    #[cfg(feature = "redis")]
    Bus(String),
}

impl<V> Default for Builder<V> {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            default_lifetime: Lifetime::FOREVER,
            flight_timeout: Duration::from_mins(1),
            sweep_interval: Duration::from_secs(10),
            node: None,
            clock: Arc::new(SystemClock),
            observer: None,
            timings: None,
            weigher: None,
            #[cfg(feature = "component-host")]
            component: None,
            #[cfg(any(feature = "lmdb", feature = "redis"))]
            sharing: Sharing {
                place: None,
                max_age: Duration::from_hours(30 * 24),
                near_entries: None,
                use_interval: Duration::from_secs(30),
                secret: None,
                secret_is_empty: false,
                #[cfg(feature = "lmdb")]
                max_readers: 1_024,
                #[cfg(feature = "lmdb")]
                map_bytes: None,
                #[cfg(feature = "redis")]
                prefix: "zoocache".to_owned(),
                #[cfg(feature = "redis")]
                consistency: Consistency::default(),
            },
        }
    }
}

impl<V: Send + Sync + 'static> Builder<V> {
    /// At most this many entries; going over it evicts. Unlimited by default.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.limits.max_entries = Some(entries);
        self
    }

    /// At most about this many bytes: keys, bookkeeping, and values as [`weigher`](Self::weigher) sees
    /// them. Unlimited by default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_bytes = Some(bytes);
        self
    }

    /// How many bytes a value occupies; `size_of::<V>()` by default, which is right only for values
    /// that own no heap memory.
    #[must_use]
    pub fn weigher(mut self, weigher: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        self.weigher = Some(Arc::new(weigher));
        self
    }

    /// Entries expire this long after they were stored, unless their [`Policy`] says otherwise.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_lifetime = Lifetime { ttl_ms: Some(millis(ttl)), extend_on_hit: false };
        self
    }

    /// The lifetime of entries whose [`Policy`] names none.
    #[must_use]
    pub fn default_lifetime(mut self, lifetime: Lifetime) -> Self {
        self.default_lifetime = lifetime;
        self
    }

    /// How long a caller waits for somebody else's computation before it computes for itself; 60 s by
    /// default.
    #[must_use]
    pub fn flight_timeout(mut self, timeout: Duration) -> Self {
        self.flight_timeout = timeout;
        self
    }

    /// How often expired and stale entries that nobody reads are freed in the background; 10 s by
    /// default.
    #[must_use]
    pub fn sweep_interval(mut self, interval: Duration) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// The name of this node in explanations; `pid:N` by default.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// The clock to read; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Measures how long computations take, and trips to where entries rest outside of the process, for
    /// [`Cache::timings`]. It costs two looks at a clock for each of them, and a hit nothing.
    #[must_use]
    pub fn timings(mut self) -> Self {
        self.timings = Some(Arc::default());
        self
    }

    /// Who is told of events.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Runs on the engine in these bytes, those of `dist/zoocache-engine.wasm`, instead of the one in this library: the
    /// same answers, and each that is not known already costs a call into WebAssembly. For entries in memory only.
    #[cfg(feature = "component-host")]
    #[must_use]
    pub fn component(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.component = Some(bytes.into());
        self
    }

    /// Shares entries and invalidations with every process of this machine that opens the same folder, through
    /// LMDB; they survive restarts of the processes, not of the machine. The folder is made if it does not
    /// exist, and belongs to zoocache: nothing else may change it, and it must not be on a network file system.
    ///
    /// [`max_entries`](Self::max_entries) and [`max_bytes`](Self::max_bytes) then bound the folder, and beside
    /// it what this process holds of it in memory. No hit writes there: of uses it is told now and then
    /// ([`use_interval`](Self::use_interval)).
    /// Processes that share a folder must agree on what the keys and tags mean; a value that `codec` cannot
    /// decode is computed anew. Explanations, visits and stand-ins see what this process holds in memory. In a forked child it is opened again, unless another thread of the parent was
    /// reading or writing it at that moment: then the child goes without, and computes.
    ///
    /// ```
    /// use zoocache::codec::{CodecError, ValueCodec};
    /// use zoocache::{Cache, Policy};
    ///
    /// struct Text;
    /// impl ValueCodec<String> for Text {
    ///     fn encode(&self, value: &String) -> Result<Vec<u8>, CodecError> {
    ///         Ok(value.clone().into_bytes())
    ///     }
    ///     fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
    ///         Ok(String::from_utf8(bytes.to_vec())?)
    ///     }
    /// }
    ///
    /// # let folder = std::env::temp_dir().join(format!("zoocache-doc-{}", std::process::id()));
    /// let policy = Policy::default().tag("store:2")?;
    /// let first = Cache::builder().lmdb(&folder, Text).build()?;
    /// first.put("name", "corner".to_owned(), &policy);
    ///
    /// let second = Cache::builder().lmdb(&folder, Text).build()?; // in another process, say
    /// assert_eq!(second.get("name").as_deref(), Some("corner"));
    /// first.invalidate(&["store:2"])?;
    /// assert_eq!(second.get("name"), None);
    /// # drop((first, second));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "lmdb")]
    #[must_use]
    pub fn lmdb(
        mut self,
        path: impl AsRef<std::path::Path>,
        codec: impl crate::codec::ValueCodec<V>,
    ) -> Self {
        self.sharing.place = Some(Shared::Folder(path.as_ref().to_owned(), Arc::new(codec)));
        self
    }

    /// Shares entries and invalidations with every machine that uses the same Redis server (6.2 or later, or
    /// Valkey). What this process holds of them in memory is served without asking, as
    /// [`consistency`](Self::consistency) says. A server that is away breaks nothing: values are computed, and
    /// invalidations are sent as soon as it is back.
    ///
    /// `url` is `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` for TLS (with
    /// `?ssl_ca_certs=FILE` and its like), `unix:///PATH`, `redis+sentinel://HOST,HOST/SERVICE`, or
    /// `redis+cluster://HOST,HOST`.
    /// [`max_entries`](Self::max_entries) and [`max_bytes`](Self::max_bytes) bound what this process holds in memory;
    /// how much the server holds is its own setting, `maxmemory`. All of what is said of keys, tags and values of
    /// [`lmdb`](Self::lmdb) counts here too.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(mut self, url: impl Into<String>, codec: impl crate::codec::ValueCodec<V>) -> Self {
        self.sharing.place = Some(Shared::Server(url.into(), Arc::new(codec)));
        self
    }

    /// Keeps entries in the memory of this process, and shares invalidations with every machine that uses the same
    /// Redis server. See [`redis`](Self::redis) for the address.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn bus(mut self, url: impl Into<String>) -> Self {
        self.sharing.place = Some(Shared::Bus(url.into()));
        self
    }

    /// Separates applications that use one server: each has entries and tags of its own. `zoocache` by default.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.sharing.prefix = prefix.into();
        self
    }

    /// How near reads are to what other machines have invalidated; within a second by default.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.sharing.consistency = consistency;
        self
    }

    /// How long the shared log remembers an invalidation; 30 days by default. What was computed earlier and was
    /// not computed anew since is stale then. Only where processes share entries.
    #[cfg(any(feature = "lmdb", feature = "redis"))]
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.sharing.max_age = max_age;
        self
    }

    /// At most this many shared entries are also held in the memory of this process, ready to be served;
    /// as many as [`max_entries`](Self::max_entries) by default. With 0 every hit is read from where they are shared, and
    /// stand-ins, which come from the memory only, are not found. Only where processes share entries.
    #[cfg(any(feature = "lmdb", feature = "redis"))]
    #[must_use]
    pub fn near_entries(mut self, entries: u64) -> Self {
        self.sharing.near_entries = Some(entries);
        self
    }

    /// How often the folder, or server, is told in the background what was used, so that what one process reads is evicted
    /// late and, if it has a time to idle, lives on for all; 30 s by default. Less often than once a minute, or
    /// than an entry may idle, others take for unused what is used here. It is told when the cache is swept
    /// ([`sweep_interval`](Self::sweep_interval)), so not more often. Only where processes share entries.
    #[cfg(any(feature = "lmdb", feature = "redis"))]
    #[must_use]
    pub fn use_interval(mut self, interval: Duration) -> Self {
        self.sharing.use_interval = interval;
        self
    }

    /// Authenticates shared entries, each entry together with its key, by keyed BLAKE3: what was not
    /// stored by somebody who knows the same secret is not served ([`Stats::rejected`](crate::Stats)). It does not
    /// encrypt, and says nothing of invalidations. All processes that share entries must use the same; long and
    /// random, as it cannot be guessed then. Only where processes share entries.
    #[cfg(any(feature = "lmdb", feature = "redis"))]
    #[must_use]
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.sharing.secret = Some(crate::codec::Secret::derive(secret.as_ref()));
        self.sharing.secret_is_empty = secret.as_ref().is_empty();
        self
    }

    /// How many threads of all processes may read the folder at one instant; 1024 by default. The first process
    /// that opens it decides. Only with [`lmdb`](Self::lmdb).
    #[cfg(feature = "lmdb")]
    #[must_use]
    pub fn max_readers(mut self, max_readers: u32) -> Self {
        self.sharing.max_readers = max_readers;
        self
    }

    /// At most this many bytes of address space, and so of the file, for the entries of the folder; a terabyte by
    /// default, or the most that the system grants. The first process that opens it decides. Going over it
    /// evicts; what does not fit into all of it is not stored, and [`FolderError::TooSmall`](crate::FolderError)
    /// tells how much it takes. Only with [`lmdb`](Self::lmdb).
    #[cfg(feature = "lmdb")]
    #[must_use]
    pub fn map_bytes(mut self, bytes: u64) -> Self {
        self.sharing.map_bytes = Some(bytes);
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting that makes no sense.
    pub fn build(self) -> Result<Cache<V>, Error> {
        self.check()?;
        let place = self.place()?;
        Ok(self.build_in(place))
    }

    /// [`build`](Self::build) over what a simulation brings: entries that rest in `rows`, invalidations that `sequencer`
    /// orders.
    #[cfg(all(feature = "simulation", any(feature = "lmdb", feature = "redis")))]
    pub(crate) fn build_over(
        self,
        engine: Arc<dyn Engine>,
        sequencer: Arc<dyn Sequencer>,
        (rows, codec): (Arc<dyn crate::storage::Rows>, Arc<dyn crate::codec::ValueCodec<V>>),
    ) -> Result<Cache<V>, Error> {
        self.check()?;
        let resting = Some(Resting::new(rows, codec, millis(self.sharing.use_interval)));
        let near_entries = self.sharing.near_entries;
        Ok(self.build_in(Place {
            engine,
            sequencer,
            resting,
            near_entries,
            asks_each_time: false,
            times_trips: true,
        }))
    }

    fn check(&self) -> Result<(), Error> {
        at_least_one("max_entries", self.limits.max_entries)?;
        at_least_one("max_bytes", self.limits.max_bytes)?;
        at_least_one("default_ttl", self.default_lifetime.ttl_ms)?;
        if self.flight_timeout.is_zero() {
            return Err(Error::Config {
                parameter: "flight_timeout",
                value: "0".to_owned(),
                remedy: "give the time that a caller may wait for another's computation, such as 60 s",
            });
        }
        if self.sweep_interval.is_zero() {
            return Err(Error::Config {
                parameter: "sweep_interval",
                value: "0".to_owned(),
                remedy: "give the pause between two looks for dead entries, such as 10 s",
            });
        }
        Ok(())
    }

    fn build_in(self, place: Place<V>) -> Cache<V> {
        let near = Limits { max_entries: place.near_entries.or(self.limits.max_entries), ..self.limits };
        let follows_log = place.sequencer.follows_log();
        let cache = Cache::assemble(Parts {
            storage: MemoryStorage::new(near),
            resting: place.resting,
            engine: place.engine,
            sequencer: place.sequencer,
            asks_each_time: place.asks_each_time,
            clock: self.clock,
            observer: self.observer,
            weigher: self.weigher,
            default_lifetime: self.default_lifetime,
            flight_timeout: self.flight_timeout,
            sweep_interval: self.sweep_interval,
            node: self.node.unwrap_or_else(|| format!("pid:{}", std::process::id())),
            timings: self.timings,
            times_trips: place.times_trips,
        });
        if follows_log {
            cache.listen_to_others();
        }
        cache
    }

    #[cfg(any(feature = "lmdb", feature = "redis"))]
    fn place(&self) -> Result<Place<V>, Error> {
        if self.sharing.secret_is_empty {
            return Err(Error::Config {
                parameter: "secret",
                value: "\"\"".to_owned(),
                remedy: "give a long random text, or leave it out",
            });
        }
        match &self.sharing.place {
            None => Ok(Place::here(self.engine()?)),
            #[cfg(feature = "component-host")]
            Some(_) if self.component.is_some() => Err(Error::Config {
                parameter: "component",
                value: "with entries or invalidations that are shared".to_owned(),
                remedy: "leave out lmdb, redis and bus, or the component",
            }),
            #[cfg(feature = "lmdb")]
            Some(Shared::Folder(path, codec)) => self.in_folder(path, codec),
            #[cfg(feature = "redis")]
            Some(Shared::Server(url, codec)) => self.on_server(url, Some(codec)),
            #[cfg(feature = "redis")]
            Some(Shared::Bus(url)) => self.on_server(url, None),
        }
    }

    #[cfg(not(any(feature = "lmdb", feature = "redis")))]
    fn place(&self) -> Result<Place<V>, Error> {
        Ok(Place::here(self.engine()?))
    }

    #[cfg(feature = "component-host")]
    fn engine(&self) -> Result<Arc<dyn Engine>, Error> {
        let (domain, seed) = (DomainId(random_u128()), random_u64());
        Ok(match &self.component {
            Some(bytes) => Arc::new(crate::component::ComponentEngine::new(bytes, domain, seed)?),
            None => Arc::new(NativeEngine::new(domain, seed)),
        })
    }

    #[cfg(not(feature = "component-host"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "there is one engine without features")]
    fn engine(&self) -> Result<Arc<dyn Engine>, Error> {
        Ok(Arc::new(NativeEngine::new(DomainId(random_u128()), random_u64())))
    }

    #[cfg(feature = "lmdb")]
    fn in_folder(
        &self,
        path: &std::path::Path,
        codec: &Arc<dyn crate::codec::ValueCodec<V>>,
    ) -> Result<Place<V>, Error> {
        let settings = &self.sharing;
        at_least_one("max_readers", Some(u64::from(settings.max_readers)))?;
        at_least_one("map_bytes", settings.map_bytes)?;
        let how = Settings { max_readers: settings.max_readers, map_bytes: settings.map_bytes };
        let folder = Folder::open(path, &how)?;
        if let (Some(cause), Some(observer)) = (folder.damage(), &self.observer) {
            observer.on_event(&Event::StartedOver { cause });
        }
        let new = DomainId(random_u128());
        let (sequencer, domain) =
            LmdbSequencer::open(Arc::clone(&folder), Arc::clone(&self.clock), micros(settings.max_age), new)?;
        let rows = LmdbStorage::open(folder, self.limits, settings.map_bytes, settings.secret.clone())?;
        let rows = Arc::new(rows);
        Ok(Place {
            engine: Arc::new(NativeEngine::following_a_log(domain, random_u64())),
            sequencer: Arc::new(sequencer),
            resting: Some(Resting::new(rows, Arc::clone(codec), millis(settings.use_interval))),
            near_entries: settings.near_entries,
            asks_each_time: false,
            times_trips: true,
        })
    }

    /// Without a codec, only invalidations are shared.
    #[cfg(feature = "redis")]
    fn on_server(
        &self,
        url: &str,
        codec: Option<&Arc<dyn crate::codec::ValueCodec<V>>>,
    ) -> Result<Place<V>, Error> {
        let settings = &self.sharing;
        if let Consistency::Bounded(Duration::ZERO) = settings.consistency {
            return Err(Error::Config {
                parameter: "consistency",
                value: "Bounded(0)".to_owned(),
                remedy: "give a time such as 1 s, or Strong",
            });
        }
        let parameter = if codec.is_some() { "redis" } else { "bus" };
        let engine: Arc<dyn Engine> =
            Arc::new(NativeEngine::following_a_log(DomainId(random_u128()), random_u64()));
        let how = crate::server::Settings {
            address: Address::parse(parameter, url)?,
            prefix: settings.prefix.clone(),
            node: self.node.clone(),
            consistency: settings.consistency,
            timings: self.timings.clone(),
        };
        let (feed, away) = Feed::open(how, Arc::clone(&engine))?;
        if let (Some(error), Some(observer)) = (away, &self.observer) {
            observer.on_event(&Event::StorageFailed { error: &error });
        }
        let max_age_us = micros(settings.max_age);
        let asks_each_time = feed.is_strong();
        let sequencer = RedisSequencer::new(Arc::clone(&feed), max_age_us, self.observer.clone());
        let resting = codec.map(|codec| {
            let rows = RedisStorage::new(feed, Arc::clone(&self.clock), settings.secret.clone(), max_age_us);
            Resting::new(Arc::new(rows), Arc::clone(codec), millis(settings.use_interval))
        });
        let near_entries = if resting.is_some() { settings.near_entries } else { None };
        let sequencer = Arc::new(sequencer);
        Ok(Place { engine, sequencer, resting, near_entries, asks_each_time, times_trips: false })
    }
}

/// Where a cache's invalidations are ordered, and where its entries rest.
struct Place<V> {
    engine: Arc<dyn Engine>,
    sequencer: Arc<dyn Sequencer>,
    resting: Option<Resting<V>>,
    /// How many of them are held in memory too, if that is said.
    near_entries: Option<u64>,
    /// Does every read ask a server what has changed?
    asks_each_time: bool,
    /// Are trips to it measured by the cache?
    times_trips: bool,
}

impl<V> Place<V> {
    /// In this process.
    fn here(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            sequencer: Arc::new(MemorySequencer),
            resting: None,
            near_entries: None,
            asks_each_time: false,
            times_trips: false,
        }
    }
}

fn at_least_one(parameter: &'static str, value: Option<u64>) -> Result<(), Error> {
    match value {
        Some(0) => Err(Error::Config {
            parameter,
            value: "0".to_owned(),
            remedy: "give at least 1, or leave it out for no limit",
        }),
        _ => Ok(()),
    }
}
