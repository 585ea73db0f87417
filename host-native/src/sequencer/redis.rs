//! The sequencer of many machines: scripts on a Redis server give out the positions.
//!
//! What is invalidated here is pending in the engine before the call leaves, so this process serves nothing that it
//! covers, whatever becomes of the call; the answer ends that. What cannot be sent stays pending, and is sent by the
//! background as soon as possible. How the log is followed is the [`Feed`]'s business.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sync::Mutex;
use zoocache_core::{MarkId, SettleError, Tag, Timestamp};

use super::{Change, Forget, Invalidated, Sequencer, Wanted};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::mutant;
use crate::random::random_nonzero;
use crate::server::{Feed, Prefetch};

/// Orders invalidations among the machines that use one server.
pub(crate) struct RedisSequencer {
    feed: Arc<Feed>,
    max_age_us: u64,
    observer: Option<Arc<dyn Observer>>,
    /// The changes that this process has announced.
    changes: Mutex<HashMap<MarkId, Announced>>,
}

struct Announced {
    id: u64,
    /// As it stands in the table; empty if it does not.
    row: Vec<u8>,
    tags: Vec<Tag>,
}

impl RedisSequencer {
    pub(crate) fn new(feed: Arc<Feed>, max_age_us: u64, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { feed, max_age_us, observer, changes: Mutex::default() }
    }
}

impl Sequencer for RedisSequencer {
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], _now_us: u64) -> Result<Timestamp, Error> {
        if tags.is_empty() {
            return Ok(engine.signals().applied());
        }
        let pending = if mutant::is_on("not_pending") { &[] } else { tags };
        let mark = engine.change(pending, u64::MAX, 0);
        let is_clear = matches!(tags, [tag] if tag.depth() == 0);
        let at = if is_clear { self.feed.clear(mark) } else { self.feed.invalidate(tags, None, mark) };
        Ok(at?)
    }

    fn change(&self, engine: &dyn Engine, change: &Change<'_>) -> Result<MarkId, Error> {
        let &Change { tags, deadline_us, now_us } = change;
        let (id, mark) = (random_nonzero(), engine.change(tags, u64::MAX, 0));
        let timeout_us = deadline_us.saturating_sub(now_us);
        let row = match self.feed.announce_change(id, tags, timeout_us, mark) {
            Ok(row) => row,
            Err(error) => {
                // The change goes on: this process at least serves nothing that it covers. A mark with a deadline would end
                // at a position of its own, which the log may not reach for long.
                self.feed.owe_later(mark, tags, timeout_us);
                if let Some(observer) = &self.observer {
                    observer.on_event(&Event::StorageFailed { error: &error });
                }
                Vec::new()
            }
        };
        self.changes.lock().insert(mark, Announced { id, row, tags: tags.to_vec() });
        Ok(mark)
    }

    fn settle(&self, engine: &dyn Engine, mark: MarkId, _now_us: u64) -> Result<Timestamp, Error> {
        let announced = self.changes.lock().remove(&mark);
        let Announced { id, row, tags } = announced.ok_or(SettleError::Unknown(mark))?;
        // Its deadline may have passed, and the mark with it: the change was made all the same.
        let pending = engine.change(&tags, u64::MAX, 0);
        let settled = self.feed.invalidate(&tags, Some((id, row)), pending);
        let _ = engine.settle_at(mark, Timestamp::ZERO);
        self.feed.paid(&[mark]);
        Ok(settled?)
    }

    fn follows_log(&self) -> bool {
        true
    }

    #[inline]
    fn is_current(&self) -> bool {
        self.feed.is_current()
    }

    fn catch_up(&self, _engine: &dyn Engine) -> Result<(), Error> {
        Ok(self.feed.catch_up()?)
    }

    fn sync(&self, _engine: &dyn Engine) -> Result<(), Error> {
        Ok(self.feed.sync()?)
    }

    fn would_wait(&self) -> bool {
        self.feed.needs_trip()
    }

    fn prefetch(&self) -> Option<Prefetch> {
        Some(self.feed.prefetch(Vec::new(), true))
    }

    fn when_replaced(&self, forget: Forget) {
        self.feed.when_replaced(forget);
    }

    fn history(&self, wanted: &Wanted) -> Result<Vec<Invalidated>, Error> {
        Ok(self.feed.history(wanted)?)
    }

    fn tidy(&self, engine: &dyn Engine, now_us: u64) -> Result<(), Error> {
        self.feed.tidy(self.max_age_us)?;
        engine.set_horizon(Timestamp::from_micros(now_us.saturating_sub(self.max_age_us)));
        Ok(())
    }

    fn catch_ups(&self) -> u64 {
        self.feed.catch_ups()
    }

    fn domain_changes(&self) -> u64 {
        self.feed.domain_changes()
    }

    fn after_fork(&self) {
        self.feed.after_fork();
    }
}
