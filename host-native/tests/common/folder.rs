//! A folder that was filled so that it is known which value is right under which key, and how to use it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Cache, Error, Event, ManualClock, Observer};

use super::{NOON_US, Scratch, on, tag_of};

pub(crate) const KEYS: u32 = 300;
pub(crate) const ROOMS: [&str; 2] = ["tags", "entries"];

pub(crate) struct Plain;

impl ValueCodec<Vec<u8>> for Plain {
    fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

/// What observers were told of starting over.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Told {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Observer for Told {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::StartedOver { cause } = event {
            self.0.lock().expect("no panic").push((*cause).to_owned());
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<(Cache<Vec<u8>>, Arc<Told>), Error> {
    let told = Arc::new(Told::default());
    let builder = Cache::builder().clock(Arc::new(ManualClock::at(NOON_US))).observer(told.clone());
    Ok((builder.sweep_interval(Duration::from_hours(1)).lmdb(path, Plain).build()?, told))
}

/// The one right value; every tenth is too long for a page.
pub(crate) fn value(key: &str, version: u64) -> Vec<u8> {
    let hash = blake3::hash(format!("{key} {version}").as_bytes());
    let mut noise =
        Rng::with_seed(u64::from(u32::from_le_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))));
    let length = if noise.u8(..10) == 0 { noise.usize(4_000..12_000) } else { noise.usize(0..200) };
    let mut value = vec![0; length];
    noise.fill(&mut value);
    value
}

/// The version under each key that may be served; no other key has one.
pub(crate) type Truth = HashMap<String, u64>;

pub(crate) fn tag(key: u32) -> String {
    format!("t:{}", key % 40)
}

/// Fills a folder: with entries, with some that were invalidated, deleted or replaced, and with an announced change.
pub(crate) fn fill(path: &Path) -> Truth {
    let (cache, _) = open(path).expect("an empty folder");
    let mut truth = Truth::new();
    let mut put = |key: &str, version: u64, tag: &str| {
        assert!(cache.put(key, value(key, version), &on(&[tag])));
        truth.insert(key.to_owned(), version);
    };
    for key in 0..KEYS {
        put(&format!("{key}"), 1, &tag(key));
    }
    for key in (0..KEYS).step_by(7) {
        put(&format!("{key}"), 2, &tag(key));
    }
    put("marked", 1, "m");
    put("stale", 1, "last");
    put("replaced", 1, "r");
    for key in (0..KEYS).step_by(11) {
        cache.delete(format!("{key}"));
        truth.remove(&format!("{key}"));
    }
    for round in 0..200 {
        cache.invalidate(&[format!("unused:{round}")]).expect("valid tag");
    }
    for number in [3, 17] {
        cache.invalidate(&[tag(number)]).expect("valid tag");
        truth.retain(|key, _| key.parse::<u32>().map_or(true, |key| key % 40 != number));
    }
    cache.sweep();
    cache.change(&[tag_of("m")], Duration::from_hours(1)).expect("can be written");
    assert!(cache.put("replaced", value("replaced", 2), &on(&["r"])));
    cache.invalidate(&["last"]).expect("valid tag");
    truth.insert("replaced".to_owned(), 2);
    truth.remove("marked");
    truth.remove("stale");
    truth
}

/// A folder in which the same files (an inode tells that) are as they were, as often as needed.
pub(crate) struct Master {
    pub(crate) scratch: Scratch,
    files: [(PathBuf, Vec<u8>); 2],
    pub(crate) boot: Vec<u8>,
    pub(crate) truth: Truth,
}

impl Master {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().join("folder");
        let truth = fill(&folder);
        let files = ROOMS.map(|room| {
            let kept = scratch.path().join(room);
            let data = folder.join(room).join("data.mdb");
            fs::hard_link(&data, &kept).expect("can be linked");
            (kept, fs::read(&data).expect("there"))
        });
        let boot = fs::read(folder.join("boot")).expect("there");
        Self { scratch, files, boot, truth }
    }

    pub(crate) fn restore(&self) -> PathBuf {
        let folder = self.scratch.path().join("folder");
        let _ = fs::remove_dir_all(&folder);
        for (room, (kept, bytes)) in ROOMS.iter().zip(&self.files) {
            fs::create_dir_all(folder.join(room)).expect("can be made");
            fs::write(kept, bytes).expect("can be written");
            fs::hard_link(kept, folder.join(room).join("data.mdb")).expect("can be linked");
        }
        fs::write(folder.join("boot"), &self.boot).expect("can be written");
        folder
    }
}

/// Nothing is served but what is right. Returns how much is.
pub(crate) fn read_all(cache: &Cache<Vec<u8>>, truth: &Truth, what: &str) -> usize {
    let keys =
        (0..KEYS).map(|key| format!("{key}")).chain(["marked", "stale", "replaced"].map(str::to_owned));
    let mut hits = 0;
    for key in keys {
        if let Some(found) = cache.get(&key) {
            hits += 1;
            let right = truth.get(&key).map(|version| value(&key, *version));
            assert!(Some(&found) == right.as_ref(), "{what}: the value of {key} is wrong or was invalidated");
        }
    }
    hits
}

/// Uses the cache as a program would.
pub(crate) fn work(cache: &Cache<Vec<u8>>, truth: &mut Truth, what: &str) {
    for key in (0..KEYS).step_by(5) {
        let name = format!("{key}");
        let found = cache.get_or_compute(&name, &on(&[&tag(key)]), |_| Ok::<_, Error>(value(&name, 3)));
        let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
        let served = truth.get(&name).is_some_and(|version| found == value(&name, *version));
        assert!(served || found == value(&name, 3), "{what}: the value of {name} is wrong");
        truth.insert(name.clone(), if served { truth[&name] } else { 3 });
    }
    for key in (0..KEYS).step_by(9) {
        let name = format!("{key}");
        assert!(cache.put(&name, value(&name, 4), &on(&[&tag(key)])), "{what}");
        truth.insert(name, 4);
    }
    for number in [5, 21] {
        cache.invalidate(&[tag(number)]).unwrap_or_else(|error| panic!("{what}: {error}"));
        truth.retain(|key, _| key.parse::<u32>().map_or(true, |key| key % 40 != number));
    }
    for key in (0..KEYS).step_by(13) {
        cache.delete(format!("{key}"));
        truth.remove(&format!("{key}"));
    }
    cache.sweep();
}
