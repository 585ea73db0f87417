//! Computing a value that can still be served: ahead of its expiry, or behind a stand-in.
//!
//! A refresh is a flight like any other: who misses meanwhile waits for it, and its result is stored by
//! the same rules. Only the caller who begins it need not wait.

use super::{Cache, Leader};
use crate::counters::Count;
use crate::entry::Entry;
use crate::flight::Flight;

impl<V: Send + Sync + 'static> Cache<V> {
    /// The duty to compute `key`, whether or not what is stored is fresh; `None` if it is being computed
    /// already. The computation is part of no other, so nobody's dependencies grow by it.
    ///
    /// The leader may be sent to another thread. Its result replaces what is stored, unless another was
    /// stored meanwhile (and is fresh), the key was deleted, or a dependency was invalidated.
    pub fn lead_refresh(&self, key: &[u8]) -> Option<Leader<V>> {
        // Before the stripe is locked: reading the log may take its time.
        self.shared.keep_up();
        let (flight, began) = {
            let mut stripe = self.shared.flights.stripe(key);
            if stripe.flight(key).is_some() {
                return None;
            }
            let flight = Flight::new(self.begin_fill(key, None));
            let began = stripe.depart(key, Some(&flight));
            (flight, began)
        };
        self.count(Count::Refreshes);
        let fill = std::sync::Arc::clone(&flight.fill);
        let mut leader = self.leader(fill, Some(flight), began);
        leader.why = Count::Refreshes;
        Some(leader)
    }

    /// Should a reader who was served `entry` begin to compute it anew before it expires? See
    /// [`Entry::wants_refresh`]; costs nothing for what cannot expire.
    #[inline]
    pub fn wants_refresh(&self, entry: &Entry<V>, beta: f64) -> bool {
        entry.can_expire()
            // 1 minus a number below 1, as the logarithm of 0 is none.
            && entry.wants_refresh(self.shared.parts.clock.monotonic_ms(), beta, 1.0 - fastrand::f64())
    }
}
