//! The other nodes, if there are any: what they tell is applied, what was invalidated here is told.
//!
//! The engine remembers what was not told yet, as it does for nodes that ask.

use super::bindings::zoocache::engine::bus::{self, Identity};
use crate::{DomainId, Engine, Invalidation, Tag, Timestamp};

pub(super) struct Bus {
    node_id: u64,
    /// Own invalidations up to here are told.
    told: Timestamp,
}

impl Bus {
    /// Joins it, if there is one: the domain, this node's name, and the bus.
    pub(super) fn join() -> Option<(DomainId, u64, Self)> {
        let Identity { domain, node_id } = bus::join()?;
        let domain = super::words::domain(domain.high, domain.low);
        Some((domain, node_id, Self { node_id, told: Timestamp::ZERO }))
    }

    /// Hears what others tell, and tells what is still to be told.
    pub(super) fn exchange(&mut self, engine: &mut Engine, now: u64) {
        hear(engine, now);
        self.tell(engine, now);
    }

    /// Tells what others have not been told; says whether they have now.
    pub(super) fn tell(&mut self, engine: &mut Engine, now: u64) -> bool {
        let mut tail = engine.tail(self.told);
        if !tail.is_complete {
            // More is waiting than is remembered: everything, then.
            if engine.clear(now).is_err() {
                return false;
            }
            self.told = tail.to;
            tail = engine.tail(self.told);
        }
        for Invalidation { origin, at, tags } in tail.messages {
            if origin != self.node_id {
                continue;
            }
            let tags = tags.iter().map(super::words::tag_out).collect();
            let message = bus::Invalidation { origin, at: at.as_micros(), tags };
            if bus::publish(&message).is_err() {
                return false;
            }
            self.told = at;
        }
        self.told = tail.to;
        true
    }
}

/// Applies what others told, at positions of now.
///
/// The clock follows the time, also when nothing is told: else a message whose time lies behind would be applied in the past.
fn hear(engine: &mut Engine, now: u64) {
    let news = bus::poll();
    engine.apply_log(&[], Timestamp::checked(now).unwrap_or(Timestamp::ZERO));
    if !news.is_complete {
        forget_all(engine, now);
    }
    for message in news.messages {
        let tags = message.tags.iter().map(|tag| Tag::parse(tag).unwrap_or(Tag::root())).collect();
        let at = Timestamp::from_micros(message.at);
        if engine.apply(&Invalidation { origin: message.origin, at, tags }, now).is_err() {
            engine.raise_floor(Timestamp::MAX); // no position is left to apply it at
        }
    }
}

/// Takes all that was sealed until now for stale.
pub(super) fn forget_all(engine: &mut Engine, now: u64) {
    let now = Timestamp::checked(now).unwrap_or(Timestamp::ZERO);
    engine.raise_floor(engine.stats().clock.max(now));
}
