//! Looking at entries that rest outside of the process, without taking them into the near cache.
//!
//! For explanations and counts: nothing here is served, counted or noted as a use. A storage that cannot be read
//! holds nothing.

use zoocache_core::{Header, Verdict};

use super::inspect::{Explanation, Stored};
use super::{Cache, EntryState, Resting};
use crate::storage::{Found, Row};

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

    /// Calls `visit` with the header of each entry below, and whether it is fresh. Values are not read, so nothing is
    /// authenticated.
    pub(super) fn glance_below(&self, resting: &Resting<V>, visit: &mut dyn FnMut(&Header, bool)) {
        let mut from = Vec::new();
        loop {
            let (seen, end) = match resting.rows.glance(&from) {
                Ok(seen) => seen,
                Err(error) => return self.storage_failed(&error),
            };
            for glimpse in seen {
                let is_fresh = self.state_below(&glimpse.header, glimpse.expires_us) == EntryState::Fresh;
                visit(&glimpse.header, is_fresh);
            }
            if end.is_empty() {
                return;
            }
            from = end;
        }
    }

    /// Why the entry below is what it is, if there is one.
    pub(super) fn explain_below(&self, resting: &Resting<V>, key: &[u8]) -> Option<Explanation> {
        let now_us = self.shared.parts.clock.now_us();
        let found = match resting.rows.get(key) {
            Ok(Found::Row(row)) => {
                let expires_us = resting.rows.expires_us(key, &row);
                let expires_us = expires_us.inspect_err(|error| self.storage_failed(error));
                Some((row.header, expires_us.unwrap_or(row.expires_us)))
            }
            Ok(Found::Rejected) => {
                let glimpse = resting.rows.glance_at(key).ok().flatten();
                glimpse.map(|glimpse| (glimpse.header, glimpse.expires_us))
            }
            Ok(Found::Nothing) => None,
            Err(error) => {
                self.storage_failed(&error);
                None
            }
        };
        let (header, expires_us) = found?;
        // Of a domain that is gone: it will never be served.
        let sealed = self.shared.parts.engine.inspect(&header)?;
        let left_us = expires_us.saturating_sub(now_us);
        Some(self.explain_stored(&Stored {
            sealed: &sealed,
            age_ms: now_us.saturating_sub(header.created_us) / 1_000,
            expires_in_ms: (expires_us != 0).then_some(left_us / 1_000),
            is_expired: expires_us != 0 && expires_us <= now_us,
        }))
    }
}
