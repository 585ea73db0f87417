//! From what crosses to what the engine takes, and back. What comes in is checked here.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::bindings::exports::zoocache::engine::engine as wit;
use super::bindings::exports::zoocache::engine::headers::{self, DecodeError, EncodeError};
use super::bindings::exports::zoocache::engine::types::DomainId;
use super::words::{self, parse, tag_out, verdict_out};
use crate::limits::MAX_DEPENDENCIES;
use crate::{Header, HeaderDependency, Tag, Timestamp};

pub(super) fn domain_in(domain: DomainId) -> crate::DomainId {
    words::domain(domain.high, domain.low)
}

pub(super) fn domain_out(domain: crate::DomainId) -> DomainId {
    let half = |shift: u32| u64::try_from(domain.0 >> shift & u128::from(u64::MAX)).unwrap_or_default();
    DomainId { high: half(64), low: half(0) }
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
