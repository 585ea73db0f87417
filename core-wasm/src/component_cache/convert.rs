//! From what crosses to what the engine takes, and back: as in the engine's component, whose generated types are others.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bindings::exports::zoocache::engine::cache::{DependencyState, NotStored, Refused};
use super::bindings::exports::zoocache::engine::types::{Cause, TagError, TagRule, Verdict};
use crate::{ClockError, Engine, Rejected, Tag};

pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Tag>, TagError> {
    let mut tags = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        let place = number(place);
        tags.push(Tag::parse(text).map_err(|error| TagError { place, broken: rule_out(&error) })?);
    }
    Ok(tags)
}

fn rule_out(error: &crate::TagError) -> TagRule {
    match *error {
        crate::TagError::Empty => TagRule::Empty,
        crate::TagError::TooLong { length, .. } => TagRule::TooLong(number(length)),
        crate::TagError::TooDeep { depth } => TagRule::TooDeep(number(depth)),
        crate::TagError::Edge => TagRule::Edge,
        crate::TagError::ConsecutiveSeparators => TagRule::ConsecutiveSeparators,
        crate::TagError::InvalidCharacter { character, .. } => TagRule::InvalidCharacter(character),
    }
}

/// A tag as it crosses: everything is `*`, since the root has no text of its own.
pub(super) fn tag_out(tag: &Tag) -> String {
    if tag.as_str().is_empty() { "*".to_string() } else { tag.to_string() }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn verdict_out(rejected: Rejected, engine: &Engine) -> Verdict {
    match rejected {
        Rejected::Stale(crate::Cause { tag, at }) => {
            Verdict::Stale(Cause { tag: tag_out(&tag), at: at.as_micros(), node: engine.origin_of(at) })
        }
        Rejected::Pending(tag) => Verdict::Pending(tag_out(&tag)),
        Rejected::Foreign => Verdict::Foreign,
        Rejected::Expired => Verdict::Expired,
        Rejected::Unknown | Rejected::TooManyDependencies { .. } => Verdict::Unknown,
    }
}

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
