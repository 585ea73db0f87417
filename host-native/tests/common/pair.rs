//! What the tests of shared folders share: two caches on one folder, and looking into its files.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use heed::types::Bytes;
use zoocache::{Builder, Cache, ManualClock, Policy, WallClock};

use super::{NOON_US, Number, Scratch, value};

pub(crate) fn builder(path: &Path, clock: &Arc<ManualClock>) -> Builder<u64> {
    let clock: Arc<dyn WallClock> = clock.clone();
    Cache::builder().clock(clock).sweep_interval(Duration::from_hours(1)).lmdb(path, Number)
}

pub(crate) struct Pair {
    pub(crate) one: Cache<u64>,
    pub(crate) two: Cache<u64>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) scratch: Scratch,
}

pub(crate) fn pair() -> Pair {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || builder(scratch.path(), &clock).build().expect("a folder that can be opened");
    Pair { one: open(), two: open(), clock, scratch }
}

pub(crate) fn compute(cache: &Cache<u64>, key: &str, policy: &Policy, result: u64) -> u64 {
    cache.get_or_compute(key, policy, value(result)).expect("computes")
}

/// Changes a table of a folder that nobody has open.
pub(crate) fn with_table(folder: &Path, room: &str, table: &str, change: impl Fn(&[u8], &mut Vec<u8>)) {
    let mut options = heed::EnvOpenOptions::new();
    options.max_dbs(8).map_size(64 << 20);
    #[expect(unsafe_code, reason = "LMDB maps a file")]
    // SAFETY: the folder is this test's own.
    let env = unsafe { options.open(folder.join(room)) }.expect("opens");
    let mut txn = env.write_txn().expect("begins");
    let table = env.create_database::<Bytes, Bytes>(&mut txn, Some(table)).expect("there");
    let rows: Vec<(Vec<u8>, Vec<u8>)> = table
        .iter(&txn)
        .expect("can be read")
        .map(|row| row.map(|(key, bytes)| (key.to_vec(), bytes.to_vec())).expect("can be read"))
        .collect();
    for (key, mut bytes) in rows {
        change(&key, &mut bytes);
        table.put(&mut txn, &key, &bytes).expect("can be written");
    }
    txn.commit().expect("can be written");
    env.prepare_for_closing().wait();
}

/// The number of the latest commit to an environment.
pub(crate) fn latest_commit(folder: &Path, room: &str) -> u64 {
    let file = std::fs::File::open(folder.join(room).join("data.mdb")).expect("there");
    let number = |page: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, page * 4_096 + 144).expect("two meta pages");
        u64::from_ne_bytes(bytes)
    };
    number(0).max(number(1))
}

/// Exchanges the envelopes of two keys, as somebody would who may write there: with the checksums that belong.
pub(crate) fn swap_rows(folder: &Path, one: &[u8], two: &[u8]) {
    let rows = rows_of(folder, "entries", "rows");
    let envelope = |key: &[u8]| {
        let row = rows.iter().find(|row| row[20..].starts_with(key)).expect("it is stored");
        row[20 + key.len()..].to_vec()
    };
    let envelopes = [(one, envelope(two)), (two, envelope(one))];
    with_table(folder, "entries", "rows", |_, bytes| {
        for (key, envelope) in &envelopes {
            if bytes[20..].starts_with(key) {
                bytes.truncate(20 + key.len());
                bytes.extend_from_slice(envelope);
                let sum = blake3::hash(&bytes[8..]);
                bytes[..8].copy_from_slice(&sum.as_bytes()[..8]);
                return;
            }
        }
    });
}

/// What a table of a folder holds that nobody has open.
pub(crate) fn rows_of(folder: &Path, room: &str, table: &str) -> Vec<Vec<u8>> {
    let rows = std::cell::RefCell::new(Vec::new());
    with_table(folder, room, table, |_, bytes| rows.borrow_mut().push(bytes.clone()));
    rows.into_inner()
}
