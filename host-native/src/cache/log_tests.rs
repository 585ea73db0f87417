//! Caches that follow a log of somebody else's: it is read before an answer, and never under a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zoocache_core::{DomainId, LogRow, MarkId, Tag, Timestamp};

use super::{Cache, Join, Parts};
use crate::clock::ManualClock;
use crate::config::Policy;
use crate::engine::{Engine, NativeEngine};
use crate::entry::{Lifetime, Retention};
use crate::error::Error;
use crate::sequencer::{Change, MemorySequencer, Sequencer};
use crate::storage::{Limits, MemoryStorage, Storage};
use crate::{Entry, Landing, Tolerance};

const DEADLINE: Duration = Duration::from_secs(30);
const ANY: Tolerance = Tolerance { expired_ms: u64::MAX, invalidated_ms: u64::MAX };

/// A log whose rows others write, and which says when it is read.
#[derive(Default)]
struct Log {
    rows: Mutex<Vec<LogRow>>,
    read: AtomicU64,
    broken: AtomicBool,
    /// Told when the log is read, which then waits for an answer.
    slow: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Log {
    fn write(&self, tag: &str, at: u64) {
        let tag = Tag::parse(tag).expect("valid tag");
        let row = LogRow { tag, below_only: false, at: Timestamp::from_micros(at) };
        self.rows.lock().expect("no panic").push(row);
    }
}

struct Follower(Arc<Log>);

impl Sequencer for Follower {
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error> {
        MemorySequencer.invalidate(engine, tags, now_us)
    }

    fn change(&self, engine: &dyn Engine, change: &Change<'_>) -> Result<MarkId, Error> {
        MemorySequencer.change(engine, change)
    }

    fn settle(&self, engine: &dyn Engine, mark: MarkId, now_us: u64) -> Result<Timestamp, Error> {
        MemorySequencer.settle(engine, mark, now_us)
    }

    fn follows_log(&self) -> bool {
        true
    }

    fn is_current(&self) -> bool {
        false
    }

    fn catch_up(&self, engine: &dyn Engine) -> Result<(), Error> {
        self.0.read.fetch_add(1, Ordering::SeqCst);
        if let Some((reading, go_on)) = &*self.0.slow.lock().expect("no panic") {
            reading.send(()).expect("the test listens");
            go_on.recv_timeout(DEADLINE).expect("no lock is held that the test needs");
        }
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(Error::Clock(zoocache_core::ClockError::Exhausted));
        }
        let rows = std::mem::take(&mut *self.0.rows.lock().expect("no panic"));
        if let Some(last) = rows.last() {
            engine.apply_log(&rows, last.at);
        }
        Ok(())
    }
}

fn following() -> (Cache<u64>, Arc<Log>) {
    let log = Arc::new(Log::default());
    let cache = Cache::assemble(Parts {
        asks_each_time: false,
        storage: MemoryStorage::new(Limits::default()),
        resting: None,
        engine: Arc::new(NativeEngine::new(DomainId(1), 1)),
        sequencer: Arc::new(Follower(Arc::clone(&log))),
        clock: Arc::new(ManualClock::at(1_000_000)),
        observer: None,
        weigher: None,
        default_lifetime: Lifetime::FOREVER,
        flight_timeout: DEADLINE,
        sweep_interval: Duration::from_hours(1),
        node: "test".to_owned(),
        timings: None,
        times_trips: false,
    });
    (cache, log)
}

fn on(tag: &str) -> Policy {
    let kept = Retention { grace_ms: u32::MAX, keep_invalidated: true };
    Policy::default().with_tags([Tag::parse(tag).expect("valid tag")]).retention(kept)
}

#[test]
fn no_lock_of_the_cache_is_held_while_the_log_is_read() {
    let ways: [fn(&Cache<u64>); 9] = [
        |cache| _ = cache.join(b"k", None, false),
        |cache| _ = cache.lead_refresh(b"k"),
        |cache| _ = cache.lead_alone(b"k", None, false).finish(1, None),
        |cache| _ = cache.get_or_compute("k", &on("b"), |_| Ok::<_, Error>(1)),
        |cache| _ = cache.stand_in(b"k", &ANY),
        |cache| _ = cache.affected(&Tag::root()),
        |cache| _ = cache.explain("k"),
        |cache| cache.visit(&mut |_, _| ()),
        |cache| _ = cache.latest(&Tag::root()),
    ];
    for way in ways {
        let (cache, log) = following();
        cache.put("k", 7, &on("a"));
        log.write("a", 2_000_000);
        let (reading, is_reading) = channel();
        let (go_on, told) = channel();
        *log.slow.lock().expect("no panic") = Some((reading, told));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| way(&cache));
            let mut read = 0;
            while !thread.is_finished() {
                if is_reading.recv_timeout(Duration::from_millis(1)).is_ok() {
                    read += 1;
                    // Takes the key's stripe and the storage's shard.
                    drop(cache.shared.flights.stripe(b"k"));
                    cache.shared.parts.storage.visit(&mut |_, _| ());
                    go_on.send(()).expect("the log waits");
                }
            }
            assert!(read > 0, "the log was not read");
            thread.join().expect("no panic");
        });
    }
}

#[test]
fn what_others_invalidated_is_known_before_an_answer() {
    let (cache, log) = following();
    cache.put("k", 1, &on("a"));
    log.write("a", 2_000_000);
    assert!(matches!(cache.join(b"k", None, false), Ok(Join::Lead(_))));
    cache.put("k", 1, &on("a"));
    log.write("a", 3_000_000);
    assert_eq!(cache.affected(&Tag::root()), 0);
    assert!(!cache.has_reached(Timestamp::from_micros(4_000_000)));
    log.write("b", 4_000_000);
    assert!(cache.has_reached(Timestamp::from_micros(4_000_000)), "it reads the log to find out");
    assert_eq!(cache.position(), Timestamp::from_micros(4_000_000));
    // A refresh begins as of the end of the log, so what was in it before does not make it stale.
    log.write("a", 5_000_000);
    let leader = cache.lead_refresh(b"k").expect("nobody computes it");
    leader.declare(&on("a"));
    assert!(leader.finish(2, None).1);
    assert_eq!(cache.get("k"), Some(2));
}

#[test]
fn an_older_computation_yields_to_what_is_stored_only_if_that_is_fresh_by_the_log() {
    let (cache, log) = following();
    let slow = cache.lead_alone(b"k", None, false);
    cache.put("k", 1, &on("a"));
    log.write("a", 2_000_000);
    let (landing, stored) = slow.finish(2, None);
    assert!(matches!(landing, Landing::Sealed(_)) && stored);
    assert_eq!(cache.get("k"), Some(2));
}

#[test]
fn nothing_is_served_or_stands_in_while_the_log_cannot_be_read() {
    let (cache, log) = following();
    cache.put("k", 1, &on("a"));
    let held: Arc<Entry<u64>> = cache.stand_in(b"k", &ANY).expect("it is fresh").entry;
    log.broken.store(true, Ordering::SeqCst);
    assert_eq!(cache.get("k"), None);
    assert!(cache.stand_in(b"k", &ANY).is_none() && cache.may_stand_in(&held, &ANY).is_none());
    assert!(!cache.has_reached(Timestamp::from_micros(9_000_000)));
    assert!(matches!(cache.join(b"k", None, false), Ok(Join::Lead(_))));
    log.broken.store(false, Ordering::SeqCst);
    assert_eq!(cache.get("k"), Some(1));
}

/// Memory alone never asks.
#[test]
fn the_log_is_read_as_often_as_answers_need_it() {
    let (cache, log) = following();
    cache.put("k", 1, &on("a"));
    let before = log.read.load(Ordering::SeqCst);
    cache.get("k");
    assert_eq!(log.read.load(Ordering::SeqCst) - before, 1);
}
