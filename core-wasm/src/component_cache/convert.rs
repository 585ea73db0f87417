//! From what the engine says to what interface `cache` says.

use super::bindings::exports::zoocache::engine::cache::{DependencyState, NotStored, Refused};
use super::bindings::exports::zoocache::engine::types::TagError;
use super::words::{tag_out, verdict_out};
use crate::{ClockError, Engine, Rejected};

pub(super) fn not_stored(rejected: Rejected, engine: &Engine) -> NotStored {
    match rejected {
        Rejected::TooManyDependencies { .. } => NotStored::TooManyDependencies,
        other => NotStored::Verdict(verdict_out(other, engine)),
    }
}

pub(super) fn state_out(state: &crate::DependencyState) -> DependencyState {
    DependencyState { tag: tag_out(&state.tag), latest: state.latest.as_micros(), is_stale: state.stale }
}

impl From<TagError> for Refused {
    fn from(error: TagError) -> Self {
        Self::BadTag(error)
    }
}

impl From<ClockError> for Refused {
    fn from(_: ClockError) -> Self {
        Self::ClockExhausted
    }
}
