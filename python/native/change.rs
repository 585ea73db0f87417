//! Changes that were begun and must be settled.

use std::sync::Arc;

use pyo3::prelude::*;
use zoocache::{Error, MarkId, SettleError, Timestamp};

use crate::cache::SmallTags;
use crate::state::{Home, State};

/// A mark in the cache, until the change that it stands for is settled.
#[pyclass(frozen, module = "zoocache._native")]
pub(crate) struct Mark {
    home: Home,
    state: Arc<State>,
    id: MarkId,
    tags: SmallTags,
}

impl Mark {
    pub(crate) fn new(home: &Home, state: Arc<State>, id: MarkId, tags: SmallTags) -> Self {
        Self { home: home.clone(), state, id, tags }
    }
}

#[pymethods]
impl Mark {
    /// Ends the change: invalidates its tags and removes the mark, in one step. Returns the position.
    fn settle(&self, py: Python<'_>) -> PyResult<u64> {
        let state = &*self.state;
        let settled = match state.unlocked(py, || state.cache.settle(self.id)) {
            // Its deadline passed so long ago that the mark is forgotten: the change may be younger.
            Err(Error::Settle(SettleError::Unknown(_))) => state.invalidate(py, &self.tags),
            settled => state.told(py, &self.tags, settled),
        };
        // A cache that took the place of this one meanwhile knows nothing of the mark.
        match self.home.site().present() {
            Some(present) if !Arc::ptr_eq(&present, &self.state) => {
                present.invalidate(py, &self.tags).map(Timestamp::as_micros)
            }
            _ => settled.map(Timestamp::as_micros),
        }
    }
}
