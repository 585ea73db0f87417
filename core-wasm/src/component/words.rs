//! Interface `types`: what tags, causes and verdicts are when they cross. Each component includes this file, as the types
//! that are generated for each are its own.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bindings::exports::zoocache::engine::types::{Cause, TagError, TagRule, Verdict};
use crate::{Engine, Header, Rejected, Tag};

pub(super) fn parse(text: &str, place: usize) -> Result<Tag, TagError> {
    Tag::parse(text).map_err(|error| {
        let broken = match error {
            crate::TagError::Empty => TagRule::Empty,
            crate::TagError::TooLong { length, .. } => TagRule::TooLong(number(length)),
            crate::TagError::TooDeep { depth } => TagRule::TooDeep(number(depth)),
            crate::TagError::Edge => TagRule::Edge,
            crate::TagError::ConsecutiveSeparators => TagRule::ConsecutiveSeparators,
            crate::TagError::InvalidCharacter { character, .. } => TagRule::InvalidCharacter(character),
        };
        TagError { place: number(place), broken }
    })
}

pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Tag>, TagError> {
    // Loops here, as collecting into a result costs a function for each kind of it.
    let mut tags = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        tags.push(parse(text, place)?);
    }
    Ok(tags)
}

/// A tag as it crosses: everything is `*`, since the root has no text of its own.
pub(super) fn tag_out(tag: &Tag) -> String {
    if tag.as_str().is_empty() { "*".to_string() } else { tag.to_string() }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn cause_out(cause: &crate::Cause, engine: &Engine) -> Cause {
    Cause { tag: tag_out(&cause.tag), at: cause.at.as_micros(), node: engine.origin_of(cause.at) }
}

pub(super) fn verdict_out(rejected: Rejected, engine: &Engine) -> Verdict {
    match rejected {
        Rejected::Stale(cause) => Verdict::Stale(cause_out(&cause, engine)),
        Rejected::Pending(tag) => Verdict::Pending(tag_out(&tag)),
        Rejected::Foreign => Verdict::Foreign,
        Rejected::Expired => Verdict::Expired,
        Rejected::Unknown | Rejected::TooManyDependencies { .. } => Verdict::Unknown,
    }
}

/// Whether a stored entry may be served.
pub(super) fn judged(engine: &mut Engine, header: &Header, now: u64) -> Verdict {
    match engine.assess(header, now) {
        Ok(_) => Verdict::Fresh,
        Err(rejected) => verdict_out(rejected, engine),
    }
}

pub(super) fn domain(high: u64, low: u64) -> crate::DomainId {
    crate::DomainId(u128::from(high) << 64 | u128::from(low))
}
