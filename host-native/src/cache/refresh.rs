//! Computing a value that can still be served: ahead of its expiry, or behind a stand-in.
//!
//! A refresh is a flight like any other: who misses meanwhile waits for it, and its result is stored by
//! the same rules. Only the caller who begins it need not wait.

use std::sync::Arc;

use super::{Cache, Leader};
use crate::counters::Count;
use crate::entry::Entry;
use crate::fill::Fill;
use crate::flight::Flight;

impl<V: Send + Sync + 'static> Cache<V> {
    /// The duty to compute `key`, whether or not what is stored is fresh; `None` if it is being computed
    /// already. The computation is part of no other, so nobody's dependencies grow by it.
    ///
    /// The leader may be sent to another thread. Its result replaces what is stored, unless another was
    /// stored meanwhile (and is fresh), the key was deleted, or a dependency was invalidated.
    pub fn lead_refresh(&self, key: &[u8]) -> Option<Leader<V>> {
        // Before the stripe is locked: reading the log may take its time. What others have stored before counts as
        // older than this.
        self.shared.sync();
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
        self.count(Count::Leads);
        let fill = Arc::clone(&flight.fill);
        let mut leader = self.leader(fill, Some(flight), began);
        leader.why = Count::Refreshes;
        Some(leader)
    }

    /// Is a caller, whose computation is `parent`, part of a computation of `key`? Whatever is served to it
    /// instead would only hide that the key depends on itself.
    pub fn is_computing(&self, key: &[u8], parent: Option<&Arc<Fill>>) -> bool {
        parent.is_some_and(|fill| fill.computes(self.shared.id, key))
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
