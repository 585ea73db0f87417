//! What is compared: a cache, and LMDB without one around it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use heed::types::Bytes;
use heed::{EnvFlags, EnvOpenOptions};
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Builder, Cache, Policy, Tag};

/// Entries of the caches that are hit.
pub(crate) const ENTRIES: u64 = 10_000;
pub(crate) const VALUE: [u8; 100] = [7; 100];

pub(crate) type Value = Vec<u8>;

pub(crate) struct Plain;

impl ValueCodec<Value> for Plain {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        Ok(bytes.to_vec())
    }
}

/// A folder that goes with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zoocache-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers that jump about.
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    let mut count = 0;
    move || {
        count += 1;
        count * 7_919 % ENTRIES
    }
}

pub(crate) fn tag(number: u64) -> Tag {
    Tag::parse(&format!("org:{}:item-{number}", number % 10)).unwrap()
}

pub(crate) fn policy(number: u64) -> Policy {
    Policy::default().with_tags([tag(number % 1_000)]).ttl(Duration::from_hours(1))
}

pub(crate) fn shared(folder: &Path) -> Builder<Value> {
    Cache::builder().lmdb(folder.join("ours"), Plain)
}

pub(crate) fn filled(builder: Builder<Value>, entries: u64) -> Cache<Value> {
    let cache = builder.build().unwrap();
    for number in 0..entries {
        assert!(cache.put(number.to_le_bytes(), VALUE.to_vec(), &policy(number)));
    }
    cache
}

/// LMDB without a cache around it, opened as the cache opens it.
pub(crate) struct Raw {
    env: heed::Env<heed::WithoutTls>,
    table: heed::Database<Bytes, Bytes>,
}

impl Raw {
    pub(crate) fn open(folder: &Path) -> Self {
        let folder = folder.join("raw");
        std::fs::create_dir_all(&folder).unwrap();
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(1 << 30).max_dbs(1);
        #[expect(unsafe_code, reason = "LMDB maps a file")]
        // SAFETY: the folder is this benchmark's own.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(&folder) }.unwrap();
        let mut txn = env.write_txn().unwrap();
        let table = env.create_database(&mut txn, Some("rows")).unwrap();
        txn.commit().unwrap();
        Self { env, table }
    }

    pub(crate) fn filled(folder: &Path, entries: u64) -> Self {
        let raw = Self::open(folder);
        (0..entries).for_each(|number| raw.put([number]));
        raw
    }

    pub(crate) fn get(&self, number: u64) -> Option<Value> {
        let txn = self.env.read_txn().unwrap();
        self.table.get(&txn, &number.to_le_bytes()).unwrap().map(<[u8]>::to_vec)
    }

    /// Rows of 100 bytes, in one commit.
    pub(crate) fn put(&self, numbers: impl IntoIterator<Item = u64>) {
        self.put_values(numbers.into_iter().map(|number| (number, VALUE)));
    }

    pub(crate) fn put_values(&self, rows: impl IntoIterator<Item = (u64, [u8; 100])>) {
        let mut txn = self.env.write_txn().unwrap();
        for (number, value) in rows {
            self.table.put(&mut txn, &number.to_le_bytes(), &value).unwrap();
        }
        txn.commit().unwrap();
    }
}
