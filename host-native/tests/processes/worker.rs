//! A worker process: reads, computes, invalidates, announces changes, puts, deletes and refreshes, and records it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Signal, getpid, kill_process};
use zoocache::{Cache, Error, Event, Fill, Finish, Observer, Policy, Tag};

use super::history::{At, Kind, Record};
use super::truth::{Bytes, NO_VALUE, Truth, Value, now_ns};
use super::{CHANGE, KEYS, TAGS, THREADS, WORKERS};

/// A worker process.
struct Worker {
    cache: Cache<Value>,
    truth: Truth,
    history: File,
    reads: AtomicU64,
    quota: u64,
    place: usize,
    is_last: bool,
    computing: [AtomicBool; KEYS],
}

/// Nothing was damaged, so a cache that begins empty has lost something.
struct StartedOver(File);

impl Observer for StartedOver {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::StartedOver { cause } = event {
            eprintln!("started over: {cause}");
            let (at, kind) = (now_ns(), Kind::Error as u64);
            Record { kind, from_ns: at, to_ns: at, about: 0, version: 0, value: NO_VALUE }.append_to(&self.0);
        }
    }
}

impl Worker {
    fn record(&self, kind: Kind, (from_ns, about): (u64, usize), version: u32, value: Value) {
        let (version, to_ns) = (u64::from(version), now_ns());
        Record { kind: kind as u64, from_ns, to_ns, about: about as u64, version, value }
            .append_to(&self.history);
    }

    /// One time in so many, as a crash would.
    fn die_sometimes(&self, place: At, one_in: u32) {
        if fastrand::u32(..one_in) == 0 && !self.is_last {
            self.record(Kind::Dying, (now_ns(), place as usize), 0, NO_VALUE);
            kill_process(getpid(), Signal::KILL).expect("it is ours");
        }
    }

    fn compute(&self, key: usize, fill: &Fill) -> Result<Value, Error> {
        if self.computing[key].swap(true, Ordering::SeqCst) && !is_contested(key) {
            self.record(Kind::Overlapped, (now_ns(), key), 0, NO_VALUE);
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
        self.die_sometimes(At::Computation, 3_000);
        if fastrand::u32(..SLOW_ONE_IN) == 0 && !self.is_last {
            pause(CHANGE + Duration::from_millis(50));
        }
        value.ended_ns = now_ns();
        self.computing[key].store(false, Ordering::SeqCst);
        Ok(value)
    }

    fn fetch(&self, key: usize) -> Result<Value, Error> {
        let policy = Policy::default().cluster_lock(key.is_multiple_of(3));
        self.cache.get_or_compute(name(key), &policy, |fill| self.compute(key, fill))
    }

    /// What only one worker puts, and nobody computes.
    fn read_put(&self, place: usize) {
        let (from_ns, key) = (now_ns(), KEYS + place);
        if let Some(value) = self.cache.get(name(key)) {
            self.record(Kind::Hit, (from_ns, key), 0, value);
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
            self.record(Kind::Put, (from_ns, key), 0, value);
        }
    }

    fn delete(&self, key: usize) {
        let from_ns = now_ns();
        self.cache.delete(name(key));
        self.record(Kind::Deleted, (from_ns, key), 0, NO_VALUE);
    }

    fn refresh(&self, key: usize) {
        let Some(mut leader) = self.cache.lead_refresh(name(key).as_bytes()) else { return };
        if matches!(leader.claim(CHANGE), zoocache::Claim::Ours)
            && let Ok(value) = self.compute(key, leader.fill())
        {
            leader.finish_with(value, Finish::default());
        }
    }

    fn read(&self, key: usize) -> bool {
        let from_ns = now_ns();
        let hit = self.cache.get(name(key));
        let is_hit = hit.is_some();
        match hit.map_or_else(|| self.fetch(key), Ok) {
            Ok(value) => {
                let kind = if is_hit { Kind::Hit } else { Kind::Computed };
                self.record(kind, (from_ns, key), 0, value);
            }
            Err(error) => {
                eprintln!("read: {error}");
                self.record(Kind::Error, (from_ns, key), 0, NO_VALUE);
            }
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        is_hit
    }

    fn write(&self, tag: usize) {
        let from_ns = now_ns();
        let version = self.truth.raise(tag);
        self.die_sometimes(At::Invalidation, 1_000);
        match self.cache.invalidate(&[format!("t:{tag}")]) {
            Ok(_) => self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE),
            Err(error) => {
                eprintln!("invalidate: {error}");
                self.record(Kind::Error, (from_ns, tag), 0, NO_VALUE);
            }
        }
    }

    fn change(&self, tag: usize) {
        let from_ns = now_ns();
        self.record(Kind::Changing, (from_ns, tag), 0, NO_VALUE);
        let mark = self.cache.change(&[tag_of(tag)], CHANGE).expect("the mark can be written");
        let is_slow = fastrand::u8(..8) == 0;
        if is_slow {
            // Meanwhile others read what is about to change; some would store it after the deadline.
            pause(Duration::from_millis(20));
        }
        let version = self.truth.raise(tag);
        // The promise begins before the change is settled, and holds if it never is.
        if u128::from(now_ns() - from_ns) < CHANGE.as_nanos() {
            self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE);
        }
        self.die_sometimes(At::Change, if is_slow { 5 } else { 100 });
        self.cache.settle(mark).expect("our own mark");
        self.record(Kind::Promised, (from_ns, tag), version, NO_VALUE);
        self.record(Kind::Changed, (from_ns, tag), 0, NO_VALUE);
    }

    /// Whether everything that was found in the folder could be read.
    fn end(&self) {
        let stats = self.cache.stats();
        if stats.rejected + stats.storage_errors > 0 {
            eprintln!("rejected: {}, errors of the storage: {}", stats.rejected, stats.storage_errors);
            self.record(Kind::Error, (now_ns(), 0), 0, NO_VALUE);
        }
        let shared = u32::try_from(stats.shared_hits).expect("not so many");
        let hits = usize::try_from(stats.hits).expect("not so many");
        self.record(Kind::Counted, (now_ns(), hits), shared, NO_VALUE);
    }

    fn run(&self, mut rng: Rng, puts: bool) {
        fastrand::seed(rng.u64(..));
        while self.reads.load(Ordering::SeqCst) < self.quota {
            match rng.u32(..1_000) {
                0..20 => self.write(rng.usize(..TAGS)),
                20..24 => self.change(rng.usize(..TAGS)),
                24 => _ = self.cache.sweep(),
                // One thread puts under a key, so it is clear which of two values is the newer one.
                25..50 if puts => self.put(),
                50..54 if puts => self.delete(KEYS + self.place),
                54..58 => self.delete(CONTESTED[rng.usize(..2)]),
                58..70 => self.refresh(CONTESTED[rng.usize(..2)]),
                70..150 => self.read_put(rng.usize(..WORKERS)),
                _ => _ = self.read(rng.usize(..KEYS).min(rng.usize(..KEYS))),
            }
        }
    }
}

/// Of so many computations one ends after the deadline of every mark that stood when it began.
const SLOW_ONE_IN: u32 = 1_500;

fn pause(time: Duration) {
    let (_never, pause) = channel::<()>();
    let _ = pause.recv_timeout(time);
}

/// Keys that are also deleted and refreshed: whose flights may be forgotten, so that computations overlap.
const CONTESTED: [usize; 2] = [1, KEYS - 1];

fn is_contested(key: usize) -> bool {
    CONTESTED.contains(&key)
}

fn name(key: usize) -> String {
    format!("key:{key}")
}

fn tag_of(tag: usize) -> Tag {
    Tag::parse(format!("t:{tag}").as_str()).expect("a valid tag")
}

fn open(folder: &Path, history: &Path, quota: u64, place: usize) -> Worker {
    let history = File::options().create(true).append(true).open(history).expect("can be made");
    let observer = StartedOver(history.try_clone().expect("a file can be held twice"));
    let builder = Cache::builder()
        .lmdb(folder.join("cache"), Bytes)
        .use_interval(Duration::from_millis(10))
        .observer(Arc::new(observer));
    // Most have a near cache, one has a small one, and two have none.
    let builder = match place {
        5 => builder.near_entries(4),
        6 | 7 => builder.near_entries(0),
        _ => builder,
    };
    Worker {
        cache: builder.build().expect("the folder opens"),
        truth: Truth(folder.join("truth")),
        history,
        reads: AtomicU64::new(0),
        quota,
        place,
        is_last: quota == 0,
        computing: Default::default(),
    }
}

pub(crate) fn worker(arguments: &[String]) {
    let [folder, history, quota, seed, place] = arguments else { panic!("five arguments") };
    let number = |text: &str| -> u64 { text.parse().expect("a number") };
    let place = usize::try_from(number(place)).expect("a place");
    let worker = open(Path::new(folder), Path::new(history), number(quota), place);
    let seed = number(seed);
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let worker = &worker;
            scope.spawn(move || worker.run(Rng::with_seed(seed * 2 + thread), thread == 0));
        }
    });
    worker.end();
}

/// After all others have ended: what is read twice is a hit, and all that is stored can be read.
pub(crate) fn last_look(folder: &Path, history: &Path) {
    let worker = open(folder, history, 0, 0);
    for key in 0..KEYS {
        worker.read(key);
        if !worker.read(key) {
            worker.record(Kind::Refused, (now_ns(), key), 0, NO_VALUE);
        }
    }
    (0..WORKERS).for_each(|place| worker.read_put(place));
    worker.cache.sweep();
    worker.end();
}
