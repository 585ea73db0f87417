//! A node: reads, computes, invalidates, announces changes, puts and deletes, and records it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Signal, getpid, getppid, kill_process};
use zoocache::{
    Cache, Consistency, Error, Event, Fill, Finish, Observer, Policy, ServerError, SystemClock, Tag,
    WallClock,
};

use super::control::{Control, Phase};
use super::history::{Kind, Record};
use super::roles::{Role, skew_s};
use super::truth::{Bytes, NO_VALUE, Truth, Value, now_ns};
use super::{CHANGE, FLIGHT_TIMEOUT, KEYS, MAX_STALENESS, NODES, PREFIX, QUIET, TAGS, THREADS, pause};

/// A clock that is wrong by minutes; nothing but ages and deadlines may depend on it.
struct Skewed(i64);

impl WallClock for Skewed {
    fn now_us(&self) -> u64 {
        SystemClock.now_us().saturating_add_signed(self.0 * 1_000_000)
    }

    fn monotonic_ms(&self) -> u64 {
        SystemClock.monotonic_ms()
    }
}

/// Records that Redis could not be reached.
struct Watch {
    history: File,
    last_ns: AtomicU64,
    /// How often.
    failures: Arc<AtomicU64>,
}

impl Observer for Watch {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::StorageFailed { .. } = event {
            self.failures.fetch_add(1, Ordering::SeqCst);
            let now = now_ns();
            // Some lines tell as much as a million.
            // Another thread may have failed later than this one, and said so first.
            if now.saturating_sub(self.last_ns.fetch_max(now, Ordering::SeqCst)) > 10_000_000 {
                Record::new(Kind::Away, now, 0).append_to(&self.history);
            }
        }
    }
}

struct Node {
    cache: Cache<Value>,
    truth: Truth,
    history: File,
    control: Control,
    place: usize,
    role: Role,
    failures: Arc<AtomicU64>,
    computing: [AtomicBool; KEYS],
}

impl Node {
    fn record(&self, kind: Kind, from_ns: u64, about: usize, version: u32) {
        let version = u64::from(version);
        Record { version, ..Record::new(kind, from_ns, about as u64) }.append_to(&self.history);
    }

    fn record_value(&self, kind: Kind, from_ns: u64, key: usize, value: Value) {
        Record { value, ..Record::new(kind, from_ns, key as u64) }.append_to(&self.history);
    }

    /// One time in so many, as a crash would.
    fn die_sometimes(&self, one_in: u32) {
        if fastrand::u32(..one_in) == 0 {
            self.record(Kind::Dying, now_ns(), 0, 0);
            kill_process(getpid(), Signal::KILL).expect("it is ours");
        }
    }

    fn compute(&self, key: usize, fill: &Fill) -> Result<Value, Error> {
        let is_second = self.computing[key].swap(true, Ordering::SeqCst);
        // Who waits too long computes for itself. So does who is told that another node has stored, replaced or deleted
        // the key since the computation began, whose result may be older.
        let is_alone = !self.role.shares_entries() && !CONTESTED.contains(&key);
        if is_second && is_alone && self.cache.stats().timeouts == 0 {
            self.record(Kind::Overlapped, now_ns(), key, 0);
        }
        let mut value = Value { began_ns: now_ns(), ..NO_VALUE };
        let mut depend = |tag: usize| {
            fill.depend_on_text(&format!("t:{tag}"))?;
            value.versions[tag] = self.truth.read(tag);
            Ok::<_, Error>(())
        };
        if key < TAGS {
            depend(key)?;
        } else if key < 2 * TAGS {
            for leaf in [key - TAGS, (key + 1) % TAGS] {
                let inner = self.fetch(leaf)?;
                value.versions[leaf] = inner.versions[leaf];
            }
        } else {
            fill.depend_on_text("t:*")?;
            (0..TAGS).for_each(|tag| value.versions[tag] = self.truth.read(tag));
        }
        match fastrand::u32(..2_000) {
            // It ends after the deadline of every mark that stood when it began.
            0 => pause(CHANGE + Duration::from_millis(50)),
            1..30 => pause(Duration::from_millis(5)),
            _ => {}
        }
        value.ended_ns = now_ns();
        self.computing[key].store(false, Ordering::SeqCst);
        Ok(value)
    }

    fn fetch(&self, key: usize) -> Result<Value, Error> {
        let policy = Policy::default().cluster_lock(self.role == Role::Strong && is_locked(key));
        self.cache.get_or_compute(name(key), &policy, |fill| self.compute(key, fill))
    }

    fn read(&self, key: usize) -> bool {
        let from_ns = now_ns();
        let hit = self.cache.get(name(key));
        let is_hit = hit.is_some();
        match hit.map_or_else(|| self.fetch(key), Ok) {
            Ok(value) => {
                let kind = if is_hit { Kind::Hit } else { Kind::Computed };
                self.record_value(kind, from_ns, key, value);
            }
            Err(error) => {
                eprintln!("read: {error}");
                self.record(Kind::Error, from_ns, key, 0);
            }
        }
        is_hit
    }

    /// What only one node puts, and nobody computes.
    fn read_put(&self, place: usize) {
        let (from_ns, key) = (now_ns(), KEYS + place);
        if let Some(value) = self.cache.get(name(key)) {
            self.record_value(Kind::Hit, from_ns, key, value);
        }
    }

    fn put(&self) {
        let (from_ns, key, tag) = (now_ns(), KEYS + self.place, self.place % TAGS);
        let leader = self.cache.lead_alone(name(key).as_bytes(), None, true);
        let mut value = Value { began_ns: now_ns(), ..NO_VALUE };
        leader.fill().depend_on(&tag_of(tag));
        value.versions[tag] = self.truth.read(tag);
        value.ended_ns = now_ns();
        if leader.finish_with(value, Finish::default()).1 {
            self.record_value(Kind::Put, from_ns, key, value);
        }
    }

    /// What `act` returned; none if Redis was away, which some calls cannot say themselves.
    fn without_failure<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let failures = || self.failures.load(Ordering::SeqCst);
        let before = failures();
        let done = act();
        (failures() == before).then_some(done)
    }

    fn delete(&self, key: usize) {
        let from_ns = now_ns();
        let is_done = self.without_failure(|| self.cache.delete(name(key))).is_some();
        if is_done {
            self.record(Kind::Deleted, from_ns, key, 0);
        }
    }

    fn invalidate(&self, tag: usize) {
        let from_ns = now_ns();
        let version = self.truth.raise(tag);
        self.die_sometimes(3_000);
        match self.cache.invalidate(&[format!("t:{tag}")]) {
            Ok(_) => self.record(Kind::Promised, from_ns, tag, version),
            Err(Error::Server(ServerError::Queued { .. })) => {
                self.record(Kind::Queued, from_ns, tag, version);
            }
            Err(error) => {
                eprintln!("invalidate: {error}");
                self.record(Kind::Error, from_ns, tag, 0);
            }
        }
    }

    fn change(&self, tag: usize) {
        let from_ns = now_ns();
        let mut mark = None;
        // Where Redis is away the mark stands on this node only.
        let announced = self.without_failure(|| mark = self.cache.change(&[tag_of(tag)], CHANGE).ok());
        let Some(mark) = mark else {
            self.record(Kind::Error, from_ns, tag, 0);
            return;
        };
        self.record(Kind::Changing, from_ns, tag, 0);
        let is_slow = fastrand::u8(..8) == 0;
        if is_slow {
            // Meanwhile others read what is about to change; some would store it after the deadline.
            pause(Duration::from_millis(20));
        }
        let version = self.truth.raise(tag);
        if announced.is_some() && u128::from(now_ns() - from_ns) < CHANGE.as_nanos() {
            self.record(Kind::Announced, from_ns, tag, version);
        }
        self.die_sometimes(if is_slow { 4 } else { 60 });
        match self.cache.settle(mark) {
            Ok(_) => self.record(Kind::Promised, from_ns, tag, version),
            Err(Error::Server(ServerError::Queued { .. })) => {
                self.record(Kind::Queued, from_ns, tag, version);
            }
            Err(error) => {
                eprintln!("settle: {error}");
                self.record(Kind::Error, from_ns, tag, 0);
            }
        }
        self.record(Kind::Changed, from_ns, tag, 0);
    }

    fn step(&self, rng: &mut Rng, rates: super::roles::Rates, is_first: bool) {
        let mut dice = rng.u32(..10_000);
        let mut falls = |rate: u32| {
            let falls = dice < rate;
            dice = dice.wrapping_sub(rate);
            falls
        };
        if falls(rates.invalidate) {
            self.invalidate(any_tag(rng));
        } else if falls(rates.change) {
            self.change(any_tag(rng));
        } else if falls(rates.put) {
            // One thread puts under a key, so it is clear which of two values is the newer one.
            if is_first {
                self.put();
            }
        } else if falls(rates.delete) {
            match rng.u8(..3) {
                0 if is_first => self.delete(KEYS + self.place),
                _ => self.delete(CONTESTED[rng.usize(..2)]),
            }
        } else if falls(400) && self.role.shares_entries() {
            self.read_put(rng.usize(..NODES));
        } else {
            self.read(self.any_key(rng));
        }
    }

    fn any_key(&self, rng: &mut Rng) -> usize {
        if self.role == Role::Near && rng.u8(..10) < 7 {
            // The leaves of quiet tags, and the sums of two of them.
            let leaf = rng.usize(QUIET);
            return if leaf + 1 < TAGS && rng.bool() { leaf + TAGS } else { leaf };
        }
        rng.usize(..KEYS).min(rng.usize(..KEYS))
    }

    fn run(&self, mut rng: Rng, is_first: bool) {
        fastrand::seed(rng.u64(..));
        // Who was started by nobody who is still there has nobody who would end it.
        let parent = getppid();
        while getppid() == parent {
            let (phase, is_calm) = self.control.read();
            let rates = match phase {
                Phase::Run => self.role.rates(is_calm),
                Phase::Quiet => Role::Near.rates(true),
                Phase::Look => return,
            };
            self.step(&mut rng, rates, is_first);
            pause(self.role.rest());
        }
    }

    /// After all faults: what is read twice is a hit.
    fn look(&self) {
        for key in 0..KEYS {
            self.read(key);
            if !self.read(key) {
                self.record(Kind::Refused, now_ns(), key, 0);
            }
        }
        (0..NODES).for_each(|place| self.read_put(place));
        let stats = self.cache.stats();
        let shared = u32::try_from(stats.shared_hits).expect("not so many");
        let hits = usize::try_from(stats.hits).expect("not so many");
        self.record(Kind::Counted, now_ns(), hits, shared);
    }
}

/// Mostly one of those that are invalidated all the time.
fn any_tag(rng: &mut Rng) -> usize {
    if rng.u8(..8) == 0 { rng.usize(QUIET) } else { rng.usize(..QUIET.start) }
}

/// Keys that are also deleted.
const CONTESTED: [usize; 2] = [1, KEYS - 1];

fn is_locked(key: usize) -> bool {
    key.is_multiple_of(3)
}

fn name(key: usize) -> String {
    format!("key:{key}")
}

fn tag_of(tag: usize) -> Tag {
    Tag::parse(format!("t:{tag}").as_str()).expect("a valid tag")
}

fn open(url: &str, role: Role, place: usize, watch: Watch) -> Cache<Value> {
    let builder = Cache::builder()
        .prefix(PREFIX)
        .flight_timeout(FLIGHT_TIMEOUT)
        .clock(Arc::new(Skewed(skew_s(place))))
        .observer(Arc::new(watch));
    let builder = if role.is_strong() {
        builder.consistency(Consistency::Strong)
    } else {
        builder.consistency(Consistency::Bounded(MAX_STALENESS))
    };
    let builder = match role {
        Role::Bus => builder.bus(url),
        Role::Bare => builder.redis(url, Bytes).near_entries(0),
        _ => builder.redis(url, Bytes),
    };
    // Redis may be away just then.
    builder.build().expect("the settings are right")
}

/// Of `folder`, history, role, place, address of Redis and seed.
pub(crate) fn worker(arguments: &[String]) {
    let [folder, history, role, place, url, seed] = arguments else { panic!("six arguments") };
    let (folder, role) = (Path::new(folder), Role::named(role));
    let place = place.parse().expect("a number");
    let history = File::options().create(true).append(true).open(history).expect("can be made");
    let ours = history.try_clone().expect("a file can be held twice");
    let failures = Arc::new(AtomicU64::new(0));
    let watch = Watch { history, last_ns: AtomicU64::new(0), failures: Arc::clone(&failures) };
    let node = Node {
        cache: open(url, role, place, watch),
        truth: Truth(folder.join("truth")),
        history: ours,
        control: Control::open(folder),
        place,
        role,
        failures,
        computing: Default::default(),
    };
    let seed: u64 = seed.parse().expect("a number");
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let node = &node;
            scope.spawn(move || node.run(Rng::with_seed(seed * 2 + thread), thread == 0));
        }
    });
    node.look();
}
