//! The sequencer of one process: the engine's own clock, under the engine's own lock.
//!
//! There is nobody else to hear from, so the engine is always current.

use zoocache_core::{MarkId, Tag, Timestamp};

use super::{Change, Sequencer};
use crate::engine::Engine;
use crate::error::Error;

/// Orders invalidations inside one process.
#[derive(Debug, Default, Clone, Copy)]
pub struct MemorySequencer;

impl Sequencer for MemorySequencer {
    fn invalidate(&self, engine: &dyn Engine, tags: &[Tag], now_us: u64) -> Result<Timestamp, Error> {
        Ok(engine.invalidate(tags, now_us)?)
    }

    fn change(&self, engine: &dyn Engine, change: &Change<'_>) -> Result<MarkId, Error> {
        Ok(engine.change(change.tags, change.deadline_us, change.now_us))
    }

    fn settle(&self, engine: &dyn Engine, mark: MarkId, now_us: u64) -> Result<Timestamp, Error> {
        Ok(engine.settle(mark, now_us)?)
    }

    fn follows_log(&self) -> bool {
        false
    }

    fn is_current(&self) -> bool {
        true
    }

    fn catch_up(&self, _engine: &dyn Engine) -> Result<(), Error> {
        Ok(())
    }
}
