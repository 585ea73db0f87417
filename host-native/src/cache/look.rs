//! Looking at entries that rest outside of the process, without taking them into the near cache.
//!
//! For explanations and counts: nothing here is served, counted or noted as a use. A storage that cannot be read
//! holds nothing.

use zoocache_core::Verdict;

use super::inspect::{Explanation, Stored};
use super::{Cache, Resting};
use crate::storage::Row;

impl<V: Send + Sync + 'static> Cache<V> {
    /// Calls `visit` with the key and the row of each entry below, and whether it is fresh.
    pub(super) fn visit_below(&self, resting: &Resting<V>, visit: &mut dyn FnMut(&[u8], &Row, bool)) {
        let parts = &self.shared.parts;
        let now_us = parts.clock.now_us();
        let visited = resting.rows.visit(&mut |key, row| {
            let is_fresh =
                !row.is_expired(now_us) && parts.engine.judge_header(&row.header, now_us) == Verdict::Fresh;
            visit(key, row, is_fresh);
        });
        if let Err(error) = visited {
            self.storage_failed(&error);
        }
    }

    /// Why the entry below is what it is, if there is one.
    pub(super) fn explain_below(&self, resting: &Resting<V>, key: &[u8]) -> Option<Explanation> {
        let found = resting.rows.get(key);
        let row = match found {
            Ok(found) => found.row()?,
            Err(error) => {
                self.storage_failed(&error);
                return None;
            }
        };
        let now_us = self.shared.parts.clock.now_us();
        // Of a domain that is gone: it will never be served.
        let sealed = self.shared.parts.engine.inspect(&row.header)?;
        let left_us = row.expires_us.saturating_sub(now_us);
        Some(self.explain_stored(&Stored {
            sealed: &sealed,
            age_ms: now_us.saturating_sub(row.header.created_us) / 1_000,
            expires_in_ms: (row.expires_us != 0).then_some(left_us / 1_000),
            is_expired: row.is_expired(now_us),
        }))
    }
}
