//! From what the component answers to what the host means by it, and back.

use zoocache_core::{Cause, DomainId, EngineConfig, Order, Rejected, Tag, Timestamp, Verdict};

use super::bindings::exports::zoocache::engine::engine as wit;
use super::bindings::exports::zoocache::engine::types;

/// A tag as it crosses: everything is `*`, since the root has no text of its own.
pub(super) fn as_text(tag: &Tag) -> String {
    if tag.depth() == 0 { "*".to_owned() } else { tag.to_string() }
}

fn tag(text: &str) -> Option<Tag> {
    if text == "*" { Some(Tag::root()) } else { Tag::parse(text).ok() }
}

pub(super) fn domain(domain: DomainId) -> types::DomainId {
    let half = |shift: u32| u64::try_from((domain.0 >> shift) & u128::from(u64::MAX)).unwrap_or_default();
    types::DomainId { high: half(64), low: half(0) }
}

pub(super) fn config(config: &EngineConfig) -> wit::Config {
    wit::Config {
        domain: domain(config.domain),
        order: match config.order {
            Order::Own => wit::Order::Alone,
            Order::Log => wit::Order::Log,
            Order::Gossip => wit::Order::Gossip,
        },
        max_drift: config.max_drift_us,
        hash_seed: config.hash_seed,
        node_id: config.node_id,
        entries_outside: config.entries_outside,
    }
}

pub(super) fn verdict(verdict: &types::Verdict) -> Verdict {
    match verdict {
        types::Verdict::Fresh => Verdict::Fresh,
        types::Verdict::Stale(_) => Verdict::Stale,
        types::Verdict::Pending(_) => Verdict::Pending,
        types::Verdict::Expired => Verdict::Expired,
        types::Verdict::Unknown => Verdict::Unknown,
        types::Verdict::Foreign => Verdict::Foreign,
    }
}

pub(super) fn cause(cause: &types::Cause) -> Option<Cause> {
    Some(Cause { tag: tag(&cause.tag)?, at: Timestamp::from_micros(cause.at) })
}

pub(super) fn rejected(rejected: wit::Rejected) -> Rejected {
    match rejected {
        wit::Rejected::Verdict(types::Verdict::Stale(stale)) => {
            cause(&stale).map_or(Rejected::Unknown, Rejected::Stale)
        }
        wit::Rejected::Verdict(types::Verdict::Pending(text)) => {
            tag(&text).map_or(Rejected::Unknown, Rejected::Pending)
        }
        wit::Rejected::Verdict(types::Verdict::Foreign) => Rejected::Foreign,
        wit::Rejected::Verdict(types::Verdict::Expired) => Rejected::Expired,
        wit::Rejected::Verdict(types::Verdict::Fresh | types::Verdict::Unknown)
        | wit::Rejected::BadTag(_)
        | wit::Rejected::BadHeader(_) => Rejected::Unknown,
        wit::Rejected::TooManyDependencies => {
            Rejected::TooManyDependencies { count: zoocache_core::limits::MAX_DEPENDENCIES + 1 }
        }
    }
}
