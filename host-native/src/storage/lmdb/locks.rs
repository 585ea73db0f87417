//! Which process computes which key: at most one, among those that ask.
//!
//! A lock ends with the row that is stored, with its owner, or at its deadline, whatever comes first. It keeps
//! nobody from storing: two who compute the same key cost time, and are told apart where rows are stored.

use heed::RwTxn;

use super::LOCKS;
use super::owner::Owner;
use super::places::{Hash, hash_of};
use crate::folder::{FolderError, Rooms};
use crate::storage::Lease;

/// Locks that one call of the sweeper looks at; there are few, as a rule.
const SWEEP_LOCKS: usize = 256;
/// So much later than this process another one may have read the same clock.
const SLACK_US: u64 = 1_000_000;
const LOCK_BYTES: usize = 6 * 8;

#[derive(Clone, Copy)]
struct Lock {
    owner: Owner,
    token: u64,
    since_us: u64,
    deadline_us: u64,
}

impl Lock {
    fn bytes(&self) -> [u8; LOCK_BYTES] {
        let Owner { pid, start, namespace } = self.owner;
        let numbers = [pid, start, namespace, self.token, self.since_us, self.deadline_us];
        let mut bytes = [0; LOCK_BYTES];
        for (chunk, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            chunk.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LOCK_BYTES] = bytes.try_into().ok()?;
        let mut numbers =
            bytes.chunks_exact(8).filter_map(|bytes| bytes.first_chunk()).copied().map(u64::from_be_bytes);
        let mut number = || numbers.next().unwrap_or(0);
        let owner = Owner { pid: number(), start: number(), namespace: number() };
        Some(Self { owner, token: number(), since_us: number(), deadline_us: number() })
    }

    /// A clock that was put back keeps no lock.
    fn holds(&self, now_us: u64) -> bool {
        now_us < self.deadline_us && self.since_us <= now_us.saturating_add(SLACK_US) && !self.owner.is_dead()
    }
}

/// Takes the lock of a key, or says whose token holds it.
pub(super) fn lock(rooms: &Rooms, hash: &Hash, lease: &Lease) -> Result<Option<u64>, FolderError> {
    let locks = rooms.entries.table(LOCKS);
    let holder = |bytes: Option<&[u8]>| {
        let lock = bytes.and_then(Lock::read).filter(|lock| lock.token != lease.token);
        lock.filter(|lock| lock.holds(lease.now_us)).map(|lock| lock.token)
    };
    // Who asks again and again does not take the writer's place for it.
    let held = rooms.entries.read(|txn| Ok(holder(locks.get(txn, hash)?)))?;
    if held.is_some() {
        return Ok(held);
    }
    let own = Lock {
        owner: Owner::current(),
        token: lease.token,
        since_us: lease.now_us,
        deadline_us: lease.deadline_us,
    };
    rooms.entries.write(|txn| {
        let held = holder(locks.get(txn, hash)?);
        if held.is_none() {
            locks.put(txn, hash, &own.bytes())?;
        }
        Ok(held)
    })
}

/// Gives a lock back, unless somebody has taken it over.
pub(super) fn unlock(rooms: &Rooms, txn: &mut RwTxn<'_>, hash: &Hash, token: u64) -> heed::Result<()> {
    let locks = rooms.entries.table(LOCKS);
    // A forked child has no lock of its parent's.
    let is_own = locks
        .get(txn, hash)?
        .and_then(Lock::read)
        .is_some_and(|lock| lock.token == token && lock.owner.pid == u64::from(std::process::id()));
    if is_own {
        locks.delete(txn, hash)?;
    }
    Ok(())
}

/// Frees some locks whose time is over or whose owner is dead.
pub(super) fn sweep_locks(rooms: &Rooms, now_us: u64) -> Result<(), FolderError> {
    let locks = rooms.entries.table(LOCKS);
    let over = rooms.entries.read(|txn| {
        let mut over = Vec::new();
        for row in locks.iter(txn)?.take(SWEEP_LOCKS) {
            let (hash, bytes) = row?;
            if Lock::read(bytes).is_none_or(|lock| !lock.holds(now_us)) {
                over.push((hash_of(hash), bytes.to_vec()));
            }
        }
        Ok(over)
    })?;
    if over.is_empty() {
        return Ok(());
    }
    rooms.entries.write(|txn| {
        for (hash, bytes) in &over {
            if locks.get(txn, hash)? == Some(bytes) {
                locks.delete(txn, hash)?;
            }
        }
        Ok(())
    })
}
