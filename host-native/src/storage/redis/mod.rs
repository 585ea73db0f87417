//! Entries that machines share, on a Redis server: one text for each key (`row.rs`), which expires there.
//!
//! A read brings what has changed in the domain with it. What is damaged, or of another key, is a miss. How much the
//! server holds is the server's business (`maxmemory`).

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod row;

use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;
use redis::{Value, cmd};
use zoocache_core::{Header, Tag};

use super::{Admission, Found, Glimpse, Lease, NewRow, Row, Rows, StorageStats, Use};
use crate::clock::WallClock;
use crate::codec::Secret;
use crate::error::Error;
use crate::server::{Asked, Feed, NewEntry, Prefetch, ServerError, Stored};

use row::NUMBER_DIGITS;

/// Keys that one step of a walk looks at.
const STEP: usize = 200;
/// Steps of one sweep.
const SWEEP_STEPS: usize = 20;
/// What is read of an entry that a walk comes by: enough for most keys and headers. Others are passed over.
const HEAD_BYTES: usize = 4_096;
/// The same for those who look at entries.
const GLANCE_BYTES: usize = 16_384;
/// How often an entry is offered while others store theirs.
const ATTEMPTS: usize = 8;
/// Of more tags than these, only the reader checks whether they were invalidated.
const MAX_CHECKED: usize = 2_000;

/// Entries on a server.
pub(crate) struct RedisStorage {
    feed: Arc<Feed>,
    clock: Arc<dyn WallClock>,
    secret: Option<Secret>,
    max_age_ms: u64,
    /// Where the sweeper goes on; 0 for the beginning.
    swept_to: Mutex<u64>,
}

impl RedisStorage {
    pub(crate) fn new(
        feed: Arc<Feed>,
        clock: Arc<dyn WallClock>,
        secret: Option<Secret>,
        max_age_us: u64,
    ) -> Self {
        Self { feed, clock, secret, max_age_ms: (max_age_us / 1_000).max(1), swept_to: Mutex::new(0) }
    }

    /// The row of stored bytes.
    fn read(&self, stored: &[u8], key: &[u8]) -> Option<Row> {
        let row::Stored { mut row, expires_us, .. } = row::read(stored, Some(key), self.secret.as_ref())?;
        let now_us = self.clock.now_us();
        // By this machine's clock: the server knows how long it lives, and other machines' clocks may be wrong.
        if row.header.expires_us != 0 && row.idle_us == 0 {
            row.header.expires_us = now_us.saturating_add(self.feed.left_us(expires_us)).max(1);
        }
        row.header.created_us = row.header.created_us.min(now_us);
        row.expires_us = if row.idle_us == 0 { row.header.expires_us } else { 0 };
        Some(row)
    }

    /// When an entry with a time to idle ends if nobody uses it, by this machine's clock: only the server knows.
    fn idles_until_us(&self, key: &[u8]) -> Result<u64, Error> {
        // Before the server is asked: no more is told than it has.
        let now_us = self.clock.now_us();
        let sizes = self.feed.sizes(&[self.feed.names().entry(key).into_bytes()])?;
        let left_ms = sizes.first().and_then(|(_, left_ms)| *left_ms).unwrap_or(0);
        Ok(now_us.saturating_add(left_ms.saturating_mul(1_000)).max(1))
    }

    fn live_ms(&self, row: &NewRow<'_>) -> u64 {
        let bound_ms = match row.header.expires_us {
            0 => u64::MAX,
            at => at.saturating_sub(row.header.created_us).div_ceil(1_000),
        };
        let idle_ms = if row.idle_us == 0 { u64::MAX } else { row.idle_us.div_ceil(1_000) };
        bound_ms.min(idle_ms).min(self.max_age_ms).max(1)
    }

    /// Some keys of entries, and where to go on.
    fn scan(&self, from: u64) -> Result<(u64, Vec<Vec<u8>>), ServerError> {
        let mut scan = cmd("SCAN");
        scan.arg(from).arg("MATCH").arg(self.feed.names().all_entries()).arg("COUNT").arg(STEP);
        let unexpected =
            || ServerError::Failed { server: String::new(), cause: "an unexpected reply".to_owned() };
        let Value::Array(reply) = self.feed.ask(&scan)? else { return Err(unexpected()) };
        let [Value::BulkString(next), Value::Array(names)] = &reply[..] else { return Err(unexpected()) };
        let next =
            std::str::from_utf8(next).ok().and_then(|next| next.parse().ok()).ok_or_else(unexpected)?;
        let names = names.iter().filter_map(|name| match name {
            Value::BulkString(name) => Some(name.clone()),
            _ => None,
        });
        Ok((next, names.collect()))
    }

    /// What the entries under these names say of themselves, as far as they can be read. Values stay where they are.
    fn heads(&self, names: &[Vec<u8>]) -> Result<Vec<Walked>, ServerError> {
        let heads = self.feed.heads(names, HEAD_BYTES)?;
        let walked = names.iter().zip(heads).filter_map(|(name, head)| {
            let head = head?;
            let row::Stored { key, row, .. } = row::peek(&head)?;
            Some(Walked { name: name.clone(), key: key.to_vec(), row })
        });
        Ok(walked.collect())
    }

    /// Is it this process that sweeps now? For so many milliseconds nobody else does.
    fn may_sweep(&self, for_ms: u64) -> Result<bool, ServerError> {
        let mut claim = cmd("SET");
        claim.arg(&self.feed.names().sweeper).arg(self.feed.node()).arg("NX").arg("PX").arg(for_ms);
        Ok(matches!(self.feed.ask(&claim)?, Value::Okay))
    }
}

/// An entry that a walk came by.
struct Walked {
    name: Vec<u8>,
    key: Vec<u8>,
    row: Row,
}

/// Where a look goes on: the server's own place, and how many of the keys from there have been seen.
fn place_of(place: &[u8]) -> (u64, usize) {
    let text = std::str::from_utf8(place).unwrap_or_default();
    let (from, passed) = text.split_once(':').unwrap_or((text, ""));
    (from.parse().unwrap_or(0), passed.parse().unwrap_or(0))
}

/// What a row depends on, and everything above: nobody may have invalidated that.
fn checked_tags(header: &Header) -> Vec<Tag> {
    let mut tags = std::collections::BTreeSet::from([String::new()]);
    for dependency in &header.dependencies {
        let path = dependency.tag.as_str();
        tags.extend(path.match_indices(':').map(|(end, _)| path[..end].to_owned()));
        tags.insert(path.to_owned());
        if tags.len() > MAX_CHECKED {
            break;
        }
    }
    let tag = |path: String| if path.is_empty() { Some(Tag::root()) } else { Tag::parse(&path).ok() };
    tags.into_iter().filter_map(tag).collect()
}

impl Rows for RedisStorage {
    fn number(&self) -> u64 {
        self.feed.clock().as_micros()
    }

    fn brings_news(&self) -> bool {
        true
    }

    fn get(&self, key: &[u8]) -> Result<Found, Error> {
        let fetched = self.feed.get(key)?;
        let Some(stored) = fetched.stored else { return Ok(Found::Nothing) };
        Ok(self.read(&stored, key).map_or(Found::Rejected, Found::Row))
    }

    fn put(
        &self,
        key: &[u8],
        row: &NewRow<'_>,
        admits: &mut dyn FnMut(Option<&Row>, u64) -> Admission,
    ) -> Result<bool, Error> {
        let unwritable = |error: crate::codec::TooLong| ServerError::Failed {
            server: "any address".to_owned(),
            cause: error.to_string(),
        };
        let entry = row::write(key, row, self.secret.as_ref()).map_err(unwritable)?;
        let tags = checked_tags(row.header);
        let (mut current, mut expected): (Option<Row>, Vec<u8>) = (None, Vec::new());
        for _ in 0..ATTEMPTS {
            // Number 0: the server tells the others in the same step.
            let admission = admits(current.as_ref(), 0);
            if admission == Admission::Refused {
                return Ok(false);
            }
            let new = NewEntry {
                key,
                as_of: row.header.as_of,
                expected: &expected,
                live_ms: self.live_ms(row),
                token: row.unlocks,
                replaces: admission == Admission::Replacing,
                supersedes: row.supersedes,
                bytes: &entry,
                tags: &tags,
            };
            match self.feed.put(&new)? {
                Stored::Done => return Ok(true),
                Stored::Stale => return Ok(false),
                Stored::Other(stored) => {
                    current = stored.as_ref().and_then(|stored| self.read(stored, key));
                    let number = stored.as_ref().and_then(|stored| stored.get(..NUMBER_DIGITS));
                    expected = number.or(stored.as_deref()).unwrap_or_default().to_vec();
                }
            }
        }
        Ok(false)
    }

    fn delete(&self, key: &[u8], tell: &mut dyn FnMut(u64) -> bool) -> Result<Option<Row>, Error> {
        if !tell(0) {
            return Ok(None);
        }
        let stored = self.feed.delete(key)?;
        Ok(stored.and_then(|stored| self.read(&stored, key)))
    }

    fn touch(&self, uses: &[Use], _now_us: u64) -> Result<(), Error> {
        // Which entries go when the server is full is its own business; that one does not idle must be told.
        let idling: Vec<_> = uses.iter().filter(|used| used.left_ms != 0).collect();
        for some in idling.chunks(STEP) {
            let lives = some.iter().map(|used| (self.feed.names().entry(&used.key), used.left_ms));
            self.feed.extend(&lives.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn lock(&self, key: &[u8], lease: &Lease) -> Result<Option<u64>, Error> {
        let name = self.feed.names().lock(key);
        let for_ms = (lease.deadline_us.saturating_sub(lease.now_us) / 1_000).clamp(1, self.max_age_ms);
        let mut lock = cmd("SET");
        lock.arg(&name).arg(lease.token).arg("NX").arg("PX").arg(for_ms);
        if matches!(self.feed.ask(&lock)?, Value::Okay) {
            return Ok(None);
        }
        let mut get = cmd("GET");
        get.arg(&name);
        let owner = match self.feed.ask(&get)? {
            Value::BulkString(owner) => std::str::from_utf8(&owner).ok().and_then(|owner| owner.parse().ok()),
            _ => None,
        };
        // Given back in between, or foreign: asked again after the pause.
        Ok(Some(owner.unwrap_or(0)))
    }

    fn unlock(&self, key: &[u8], token: u64) -> Result<(), Error> {
        Ok(self.feed.unlock(&self.feed.names().lock(key), token)?)
    }

    fn pause(&self, key: &[u8], pause: Duration) {
        self.feed.wait_for_lock(key, pause);
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &Row)) -> Result<(), Error> {
        let mut from = 0;
        loop {
            let (next, names) = self.scan(from)?;
            for walked in self.heads(&names)? {
                visit(&walked.key, &walked.row);
            }
            if next == 0 {
                return Ok(());
            }
            from = next;
        }
    }

    fn clear(&self, _last: u64) -> Result<(), Error> {
        // Everything is stale already; the sweeper frees it, a little at a time.
        *self.swept_to.lock() = 0;
        Ok(())
    }

    fn sweep(&self, _now_us: u64, is_dead: &dyn Fn(&Header) -> bool) -> Result<usize, Error> {
        if !self.may_sweep(1_000)? {
            return Ok(0);
        }
        let mut removed = 0;
        let mut from = *self.swept_to.lock();
        for _ in 0..SWEEP_STEPS {
            let (next, names) = self.scan(from)?;
            let dead = self.heads(&names)?.into_iter().filter(|walked| is_dead(&walked.row.header));
            let dead: Vec<_> = dead.map(|walked| (walked.name, walked.row.number)).collect();
            removed += self.feed.remove(&dead)?;
            from = next;
            if from == 0 {
                break;
            }
        }
        *self.swept_to.lock() = from;
        Ok(removed)
    }

    fn glance(&self, from: &[u8]) -> Result<(Vec<Glimpse>, Vec<u8>), Error> {
        let (from, passed) = place_of(from);
        let (next, names) = self.scan(from)?;
        let names = names.get(passed..).unwrap_or_default();
        let sizes = self.feed.sizes(names)?;
        let heads = self.feed.heads(names, GLANCE_BYTES)?;
        let now_us = self.clock.now_us();
        let mut seen = Vec::new();
        for ((head, (bytes, left_ms)), number) in heads.into_iter().zip(sizes).zip(passed + 1..) {
            let Some((key, header, idle_us)) = head.as_deref().and_then(row::glance) else { continue };
            // Everything expires on the server, at the latest when nobody would know any more what it depends on.
            let expires = (header.expires_us != 0 || idle_us != 0).then_some(left_ms).flatten();
            let expires_us =
                expires.map_or(0, |left_ms| now_us.saturating_add(left_ms.saturating_mul(1_000)));
            let place = format!("{from}:{number}").into_bytes();
            seen.push(Glimpse { key: key.to_vec(), header, expires_us, bytes, place });
        }
        let end = if next == 0 { Vec::new() } else { format!("{next}:0").into_bytes() };
        Ok((seen, end))
    }

    fn glance_at(&self, key: &[u8]) -> Result<Option<Glimpse>, Error> {
        let fetched = if self.secret.is_some() { None } else { self.feed.get(key)?.stored };
        let Some(stored) = fetched else { return Ok(None) };
        let Some((header, idle_us, expires_us)) = row::foreign(&stored, key) else { return Ok(None) };
        let expires_us = match (idle_us, header.expires_us) {
            (0, 0) => 0,
            (0, _) => self.clock.now_us().saturating_add(self.feed.left_us(expires_us)).max(1),
            _ => self.idles_until_us(key)?,
        };
        let (bytes, place) = (stored.len() as u64, Vec::new());
        Ok(Some(Glimpse { key: key.to_vec(), header, expires_us, bytes, place }))
    }

    fn expires_us(&self, key: &[u8], row: &Row) -> Result<u64, Error> {
        if row.idle_us == 0 { Ok(row.expires_us) } else { self.idles_until_us(key) }
    }

    fn stats(&self) -> Option<StorageStats> {
        None
    }

    fn prefetch(&self, keys: Vec<Asked>, must: bool) -> Option<Prefetch> {
        Some(self.feed.prefetch(keys, must))
    }
}
