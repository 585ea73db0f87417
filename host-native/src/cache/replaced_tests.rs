//! Replacing what others remember, step by step.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zoocache_core::{DomainId, Header, Tag};

use super::{Cache, Parts, Resting};
use crate::clock::{ManualClock, WallClock};
use crate::codec::{CodecError, ValueCodec};
use crate::config::Policy;
use crate::engine::NativeEngine;
use crate::entry::Lifetime;
use crate::error::Error;
use crate::folder::{Folder, Settings};
use crate::sequencer::LmdbSequencer;
use crate::storage::{
    Admission, Found, Lease, Limits, LmdbStorage, MemoryStorage, NewRow, Row, Rows, StorageStats,
};

struct Number;

impl ValueCodec<u64> for Number {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        Ok(value.to_le_bytes().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Rows that let something happen between a store below and that above.
struct Slow(LmdbStorage, Hook);

impl Rows for Slow {
    fn number(&self) -> u64 {
        self.0.number()
    }

    fn get(&self, key: &[u8]) -> Result<Found, Error> {
        self.0.get(key)
    }

    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error> {
        let stored = self.0.put(key, row, admits);
        let hook = self.1.lock().expect("no panic").take();
        if let Some(hook) = hook {
            hook();
        }
        stored
    }

    fn delete(&self, key: &[u8], tell: &mut dyn FnMut(u64) -> bool) -> Result<Option<Row>, Error> {
        self.0.delete(key, tell)
    }

    fn touch(&self, uses: &[crate::storage::Use], now_us: u64) -> Result<(), Error> {
        self.0.touch(uses, now_us)
    }

    fn lock(&self, key: &[u8], lease: &Lease) -> Result<Option<u64>, Error> {
        self.0.lock(key, lease)
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Error> {
        self.0.unlock(key, token)
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Row)) -> Result<(), Error> {
        self.0.visit(visit)
    }

    fn clear(&self, last: u64) -> Result<(), Error> {
        self.0.clear(last)
    }

    fn sweep(&self, now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error> {
        self.0.sweep(now_us, is_dead)
    }

    fn stats(&self) -> Option<StorageStats> {
        self.0.stats()
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zoocache-replaced-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> (Cache<u64>, Hook) {
        let clock: Arc<dyn WallClock> = Arc::new(ManualClock::at(1_800_000_000_000_000));
        let folder = Folder::open(&self.0, &Settings { max_readers: 100, map_bytes: None }).expect("opens");
        let (sequencer, domain) =
            LmdbSequencer::open(Arc::clone(&folder), Arc::clone(&clock), u64::MAX, DomainId(1))
                .expect("opens");
        let hook = Hook::default();
        let rows = LmdbStorage::open(folder, Limits::default(), None, None).expect("opens");
        let rows = Arc::new(Slow(rows, Arc::clone(&hook)));
        let cache = Cache::assemble(Parts {
            asks_each_time: false,
            storage: MemoryStorage::new(Limits::default()),
            resting: Some(Resting::new(rows, Arc::new(Number), 0)),
            engine: Arc::new(NativeEngine::following_a_log(domain, 1)),
            sequencer: Arc::new(sequencer),
            clock,
            observer: None,
            weigher: None,
            default_lifetime: Lifetime::FOREVER,
            flight_timeout: std::time::Duration::from_secs(30),
            sweep_interval: std::time::Duration::from_hours(1),
            node: "test".to_owned(),
            timings: None,
            times_trips: false,
        });
        cache.listen_to_others();
        (cache, hook)
    }
}

fn policy() -> Policy {
    Policy::default().with_tags([Tag::parse("a").expect("valid tag")])
}

/// How many of three hits were read from below.
fn hits_below(cache: &Cache<u64>, expected: u64) -> u64 {
    let before = cache.stats().shared_hits;
    for _ in 0..3 {
        assert_eq!(cache.get("k"), Some(expected));
    }
    cache.stats().shared_hits - before
}

#[test]
fn others_forget_before_the_change_is_seen_and_remember_when_it_is() {
    let scratch = Scratch::new("order");
    let ((one, _), (two, _)) = (scratch.open(), scratch.open());
    one.put("k", 1, &policy());
    assert_eq!(hits_below(&two, 1), 1, "then from its near cache");
    let resting = one.shared.parts.resting.as_ref().expect("a folder");
    let deleted = resting.rows.delete(b"k", &mut |number| {
        let (told, gone) = one.tell_replaced(resting, b"k", number);
        assert!(told.is_ok() && gone.is_some());
        assert_eq!(hits_below(&two, 1), 3, "it is there still, and is not remembered");
        assert_eq!(hits_below(&one, 1), 3, "nor by who replaces it");
        true
    });
    assert!(deleted.expect("can be written").is_some());
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    one.put("k", 2, &policy());
    assert_eq!((hits_below(&one, 2), hits_below(&two, 2)), (0, 1));
}

#[test]
fn who_dies_after_telling_costs_reads_until_somebody_else_stores() {
    let scratch = Scratch::new("death");
    let ((one, _), (two, _)) = (scratch.open(), scratch.open());
    one.put("k", 1, &policy());
    assert_eq!(hits_below(&two, 1), 1);
    let next = one.rows_number() + 1;
    one.shared.parts.sequencer.replaced(b"k", next).expect("can be written");
    assert_eq!(hits_below(&two, 1), 3);
    one.put("other", 1, &policy());
    assert_eq!(hits_below(&two, 1), 1);
}

#[test]
fn what_another_replaces_just_after_it_was_stored_is_not_kept() {
    for supersedes in [true, false] {
        let scratch = Scratch::new(if supersedes { "put" } else { "computed" });
        let ((one, hook), (two, _)) = (scratch.open(), scratch.open());
        let leader = one.lead_alone(b"k", None, supersedes);
        leader.declare(&policy());
        let reader = one.clone();
        *hook.lock().expect("no panic") = Some(Box::new(move || {
            assert!(two.put("k", 2, &policy()));
            // Another thread is told of it.
            assert_eq!(reader.get("k"), Some(2));
        }));
        assert!(leader.finish(1, None).1, "it was, below");
        assert_eq!(one.get("k"), Some(2));
    }
}

#[test]
fn what_others_cannot_be_told_of_is_not_deleted() {
    let scratch = Scratch::new("untold");
    let ((one, _), (two, _)) = (scratch.open(), scratch.open());
    one.put("k", 1, &policy());
    assert_eq!(hits_below(&two, 1), 1);
    let resting = one.shared.parts.resting.as_ref().expect("a folder");
    let deleted = resting.rows.delete(b"k", &mut |_| false);
    assert!(deleted.expect("can be written").is_none());
    // Else it would be computed anew here, and the other would go on with the older value.
    assert_eq!((one.get("k"), two.get("k")), (Some(1), Some(1)));
}
