//! Entries with what must be known to judge them, in one trip: `GET` of each, then the range of the table.
//!
//! Entries first, then tags: newer knowledge is the safe side.

use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Pipeline, Value, pipe};

use super::Feed;
use super::error::ServerError;
use super::line::Connection;
use super::range::{PAGE, Range, ask};
use crate::clock::boot_ns;

/// What was fetched of one key.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The feed it belongs to, by its place in memory.
    pub(super) feed: usize,
    pub(super) key: Box<[u8]>,
    /// The sequence of the key's stripe when it was asked for, if its reader asked for it earlier.
    pub(super) sequence: Option<u64>,
    /// What is stored there, and for how many more milliseconds; none if it is no text.
    pub(crate) stored: Option<(Vec<u8>, Option<u64>)>,
    /// Shared by all that were fetched together.
    pub(super) range: Arc<Mutex<Option<Range>>>,
}

/// What a request brought.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) fetched: Vec<Fetched>,
    /// Shared by all that were fetched together.
    pub(super) range: Arc<Mutex<Option<Range>>>,
}

/// A request for entries.
pub(super) struct Request {
    pipeline: Pipeline,
    incarnation: u128,
    from: zoocache_core::Timestamp,
    pub(super) asked_ns: u64,
}

impl Request {
    pub(super) fn new(feed: &Feed, connection: &Connection, keys: &[&[u8]]) -> Self {
        let mut pipeline = pipe();
        for key in keys {
            let name = feed.names().entry(key);
            pipeline.cmd("GET").arg(&name);
            pipeline.cmd("PTTL").arg(&name);
        }
        let from = feed.from(connection.incarnation);
        pipeline.add_command(ask(&feed.names().table, from, PAGE));
        Self { pipeline, incarnation: connection.incarnation, from, asked_ns: boot_ns() }
    }

    pub(super) async fn send(&self, connection: &Connection) -> redis::RedisResult<Vec<Value>> {
        connection.send(&self.pipeline).await
    }

    /// Reads the reply.
    pub(super) fn read(
        &self,
        feed: &Feed,
        keys: &[(impl AsRef<[u8]>, impl Into<Option<u64>> + Copy)],
        mut reply: Vec<Value>,
    ) -> Result<Answer, ServerError> {
        let unexpected = || feed.failed("an unexpected reply");
        if reply.len() != keys.len() * 2 + 1 {
            return Err(unexpected());
        }
        let table = reply.pop().ok_or_else(unexpected)?;
        let range = Range::read(&table, (self.incarnation, self.from), PAGE, self.asked_ns);
        let range = Arc::new(Mutex::new(Some(range)));
        let mut replies = reply.into_iter();
        let fetched = keys.iter().map(|(key, sequence)| {
            let (stored, left) = (replies.next(), replies.next());
            let left_ms = match left {
                Some(Value::Int(left)) => u64::try_from(left).ok(),
                _ => None,
            };
            let stored = match stored {
                Some(Value::BulkString(bytes)) => Some((bytes, left_ms)),
                Some(Value::Nil) | None => None,
                // Foreign: of another kind.
                Some(_) => Some((Vec::new(), None)),
            };
            let (key, sequence) = (Box::from(key.as_ref()), (*sequence).into());
            Fetched { feed: feed.number(), key, sequence, stored, range: Arc::clone(&range) }
        });
        let mut fetched: Vec<_> = fetched.collect();
        // Whoever reads many reads them in order, and each is looked for from the end.
        fetched.reverse();
        Ok(Answer { fetched, range })
    }
}
