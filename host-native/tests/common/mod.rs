//! What the tests of the cache share: a cache on a clock that stands still, and waiting with a deadline.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[cfg(feature = "lmdb")]
pub(crate) mod folder;
#[cfg(feature = "lmdb")]
pub(crate) mod pair;
#[cfg(unix)]
pub(crate) mod process;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod runs;
pub(crate) mod search;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Builder, Cache, Error, Event, Fill, ManualClock, Observer, Policy, Tag};

/// Long enough for a loaded machine; nothing waits for so long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Noon of some day, in microseconds.
pub(crate) const NOON_US: u64 = 1_800_000_000_000_000;

/// Stores a number; 666 is none.
pub(crate) struct Number;

impl ValueCodec<u64> for Number {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        if *value == 666 { Err("no such value".into()) } else { Ok(value.to_le_bytes().to_vec()) }
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }
}

pub(crate) type Never = Result<u64, Error>;

pub(crate) fn builder() -> (Builder<u64>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOON_US));
    // The sweeper looks at no test that does not ask for it.
    let builder = Cache::builder().clock(clock.clone()).sweep_interval(Duration::from_hours(1));
    (builder, clock)
}

pub(crate) fn cache() -> (Cache<u64>, Arc<ManualClock>) {
    let (builder, clock) = builder();
    (builder.build().expect("valid settings"), clock)
}

pub(crate) fn on(tags: &[&str]) -> Policy {
    Policy::default().with_tags(tags.iter().map(|tag| tag_of(tag)))
}

pub(crate) fn tag_of(text: &str) -> Tag {
    Tag::parse(text).expect("valid tag")
}

pub(crate) fn value(value: u64) -> impl Fn(&Fill) -> Never {
    move |_| Ok(value)
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let (_never, wake) = std::sync::mpsc::channel::<()>();
    for _ in 0..30_000 {
        if condition() {
            return;
        }
        let _ = wake.recv_timeout(Duration::from_millis(1));
    }
    panic!("waited in vain: {what}");
}

/// A folder of its own, removed at the end.
pub(crate) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("zoocache-test-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What observers were told of storage.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Told {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Observer for Told {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::StartedOver { cause } => self.0.lock().expect("no panic").push((*cause).to_owned()),
            Event::StorageFailed { error } => self.0.lock().expect("no panic").push(error.to_string()),
            _ => {}
        }
    }
}
