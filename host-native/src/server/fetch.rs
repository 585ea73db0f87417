//! Entries with what must be known to judge them, in one trip: `GET` of each, then the range of the table, unless
//! what was read of it lately is enough.
//!
//! Entries first, then tags: newer knowledge is the safe side.

use std::sync::Arc;

use crate::sync::Mutex;
use redis::{Pipeline, Value, pipe};
use zoocache_core::Timestamp;

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
    /// What is stored there.
    pub(crate) stored: Option<Vec<u8>>,
    /// Shared by all that were fetched together; none if it was not asked for.
    pub(super) range: Arc<Mutex<Option<Range>>>,
}

/// What a request brought.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) fetched: Vec<Fetched>,
    /// Shared by all that were fetched together; none if it was not asked for.
    pub(super) range: Arc<Mutex<Option<Range>>>,
}

impl Fetched {
    /// What is found where nothing is stored.
    pub(super) fn nothing(feed: usize, key: &[u8]) -> Self {
        Self { feed, key: Box::from(key), sequence: None, stored: None, range: Arc::default() }
    }
}

/// A request for entries.
pub(super) struct Request {
    pipeline: Pipeline,
    /// What the range is to be read with, if one is asked for.
    range: Option<(u128, Timestamp)>,
    asked_ns: u64,
}

impl Request {
    /// Asks what has changed only if that is not known well enough, or if it `must` be known better.
    pub(super) fn new(feed: &Feed, connection: &Connection, keys: &[&[u8]], must: bool) -> Self {
        let mut pipeline = pipe();
        for key in keys {
            pipeline.cmd("GET").arg(feed.names().entry(key));
        }
        let range =
            (must || !feed.is_current()).then(|| (connection.incarnation, feed.from(connection.incarnation)));
        if let Some((_, from)) = range {
            pipeline.add_command(ask(&feed.names().table, from, PAGE));
        }
        Self { pipeline, range, asked_ns: boot_ns() }
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
        if reply.len() != self.pipeline.len() {
            return Err(feed.failed("an unexpected reply"));
        }
        let range = self
            .range
            .and_then(|expected| reply.pop().map(|table| Range::read(&table, expected, PAGE, self.asked_ns)));
        let range = Arc::new(Mutex::new(range));
        let fetched = keys.iter().zip(reply).map(|((key, sequence), stored)| {
            let stored = match stored {
                Value::BulkString(bytes) => Some(bytes),
                Value::Nil => None,
                // Foreign: of another kind. It cannot be read.
                _ => Some(Vec::new()),
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
