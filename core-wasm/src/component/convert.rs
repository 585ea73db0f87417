//! From what crosses to what the engine takes, and back. What comes in is checked here.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bindings::exports::zoocache::engine::engine as wit;
use super::bindings::exports::zoocache::engine::headers::{self, DecodeError, EncodeError};
use super::bindings::exports::zoocache::engine::types::{Cause, DomainId, TagError, TagRule, Verdict};
use crate::limits::MAX_DEPENDENCIES;
use crate::{Header, HeaderDependency, Tag, Timestamp};

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

pub(super) fn domain_in(domain: DomainId) -> crate::DomainId {
    crate::DomainId(u128::from(domain.high) << 64 | u128::from(domain.low))
}

pub(super) fn domain_out(domain: crate::DomainId) -> DomainId {
    let half = |shift: u32| u64::try_from(domain.0 >> shift & u128::from(u64::MAX)).unwrap_or_default();
    DomainId { high: half(64), low: half(0) }
}

pub(super) fn cause_out(cause: &crate::Cause, engine: &crate::Engine) -> Cause {
    Cause { tag: tag_out(&cause.tag), at: cause.at.as_micros(), node: engine.origin_of(cause.at) }
}

/// What a verdict that has no more to say than its name is called.
pub(super) fn verdict_out(rejected: crate::Rejected, engine: &crate::Engine) -> Verdict {
    match rejected {
        crate::Rejected::Stale(cause) => Verdict::Stale(cause_out(&cause, engine)),
        crate::Rejected::Pending(tag) => Verdict::Pending(tag_out(&tag)),
        crate::Rejected::Foreign => Verdict::Foreign,
        crate::Rejected::Expired => Verdict::Expired,
        crate::Rejected::Unknown | crate::Rejected::TooManyDependencies { .. } => Verdict::Unknown,
    }
}

pub(super) fn rejected_out(rejected: crate::Rejected, engine: &crate::Engine) -> wit::Rejected {
    match rejected {
        crate::Rejected::TooManyDependencies { .. } => wit::Rejected::TooManyDependencies,
        other => wit::Rejected::Verdict(verdict_out(other, engine)),
    }
}

pub(super) fn states_out(states: Vec<crate::DependencyState>) -> Vec<wit::DependencyState> {
    let out = |state: crate::DependencyState| wit::DependencyState {
        tag: tag_out(&state.tag),
        latest: state.latest.as_micros(),
        stale: state.stale,
        pending: state.pending,
    };
    states.into_iter().map(out).collect()
}

pub(super) fn header_error(error: crate::HeaderError) -> DecodeError {
    match error {
        crate::HeaderError::NoHeader => DecodeError::NoHeader,
        crate::HeaderError::Version { version } => DecodeError::Version(version),
        crate::HeaderError::Truncated => DecodeError::Truncated,
        crate::HeaderError::Malformed => DecodeError::Malformed,
        crate::HeaderError::TooManyDependencies { .. } => DecodeError::TooManyDependencies,
    }
}

pub(super) fn header_in(header: &headers::Header) -> Result<Header, EncodeError> {
    if header.dependencies.len() > MAX_DEPENDENCIES {
        return Err(EncodeError::TooManyDependencies);
    }
    let position = |micros| Timestamp::checked(micros).ok_or(EncodeError::BadTimestamp(micros));
    let mut dependencies = Vec::with_capacity(header.dependencies.len());
    for (place, dependency) in header.dependencies.iter().enumerate() {
        let tag = match dependency.tag.as_str() {
            "" => Tag::root(),
            text => parse(text, place).map_err(EncodeError::BadTag)?,
        };
        dependencies.push(HeaderDependency { tag, stamp: position(dependency.stamp)? });
    }
    Ok(Header {
        domain: domain_in(header.domain),
        as_of: position(header.as_of)?,
        created_us: header.created,
        expires_us: header.expires,
        dependencies,
    })
}

pub(super) fn header_out(header: &Header) -> headers::Header {
    let dependency = |dependency: &HeaderDependency| headers::Dependency {
        tag: dependency.tag.to_string(),
        stamp: dependency.stamp.as_micros(),
    };
    headers::Header {
        domain: domain_out(header.domain),
        as_of: header.as_of.as_micros(),
        created: header.created_us,
        expires: header.expires_us,
        dependencies: header.dependencies.iter().map(dependency).collect(),
    }
}
