//! What is compared: a cache, and LMDB without one around it.

use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{EnvFlags, EnvOpenOptions};
use zoocache::{Builder, Cache};

use crate::load::{Plain, VALUE, Value};

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

pub(crate) fn shared(folder: &Path) -> Builder<Value> {
    Cache::builder().lmdb(folder.join("ours"), Plain)
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
