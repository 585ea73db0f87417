//! What becomes of a function's result: whether it is stored, for how long, and how it is copied.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use zoocache::{Fill, Finish, Lifetime, Retention};

use crate::errors::Class;
use crate::state::State;
use crate::value::{CopyMode, Value};
use crate::{context, shared};

/// The options of a cached function that concern its results; see `zoocache._options`.
#[derive(FromPyObject)]
pub(crate) struct Keeping {
    #[pyo3(attribute)]
    ttl_ms: Option<u64>,
    /// Called with the result: milliseconds, or `None` for the cache's default.
    #[pyo3(attribute)]
    ttl_of: Option<Py<PyAny>>,
    #[pyo3(attribute)]
    jitter: f64,
    /// Whether no hit extends the lifetime, whatever the cache does otherwise.
    #[pyo3(attribute)]
    fixed_ttl: bool,
    /// Called with the result: whether to store it.
    #[pyo3(attribute)]
    cache_if: Option<Py<PyAny>>,
    /// Milliseconds for which a result is kept after its time, and whether also after an invalidation.
    #[pyo3(attribute)]
    grace_ms: u32,
    #[pyo3(attribute)]
    keep_invalidated: bool,
    #[pyo3(attribute, from_py_with = copy_mode)]
    copy: CopyMode,
    /// Whether a result that cannot be stored is returned all the same.
    #[pyo3(attribute)]
    return_unserializable: bool,
}

fn copy_mode(name: &Bound<'_, PyAny>) -> PyResult<CopyMode> {
    CopyMode::parse(&name.extract::<String>()?)
}

/// A result as it is stored, and how.
pub(crate) struct Kept {
    pub(crate) value: Value,
    pub(crate) how: Finish,
    /// What stands for it where processes share it, if they do.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// Answers of the user's own functions about a result.
struct Answers {
    store: bool,
    ttl_ms: Option<u64>,
}

impl Keeping {
    /// The result as it is stored; `None` for one that cannot be stored and is returned all the
    /// same. The user's functions run as part of the computation `fill`.
    ///
    /// # Errors
    /// What these functions raise, and `SerializationError` for what cannot be stored.
    pub(crate) fn prepare(
        &self,
        state: &State,
        fill: &std::sync::Arc<Fill>,
        object: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Kept>> {
        let answers = if self.cache_if.is_none() && self.ttl_of.is_none() {
            Answers { store: true, ttl_ms: self.ttl_ms }
        } else {
            context::within(object.py(), fill, || self.ask(object))?
        };
        let stored = Value::store(object, self.copy).and_then(|value| {
            let has_bytes = state.is_shared && answers.store;
            let bytes = has_bytes.then(|| shared::bytes_of(object, self.copy)).transpose()?;
            Ok((value, bytes))
        });
        let (value, bytes) = match stored {
            Ok(stored) => stored,
            Err(error) if self.return_unserializable && Class::Serialization.holds(object.py(), &error) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let retention = Retention { grace_ms: self.grace_ms, keep_invalidated: self.keep_invalidated };
        let lifetime = Some(self.lifetime(state, answers.ttl_ms));
        Ok(Some(Kept { value, how: Finish { lifetime, retention, store: answers.store }, bytes }))
    }

    fn ask(&self, object: &Bound<'_, PyAny>) -> PyResult<Answers> {
        let py = object.py();
        let wanted = match &self.cache_if {
            Some(cache_if) => cache_if.bind(py).call1((object,))?.is_truthy()?,
            None => true,
        };
        let ttl_ms = match &self.ttl_of {
            Some(ttl_of) if wanted => ttl_of.bind(py).call1((object,))?.extract()?,
            _ => self.ttl_ms,
        };
        // No time at all: good for those who asked for it, and not stored.
        Ok(Answers { store: wanted && ttl_ms != Some(0), ttl_ms })
    }

    fn lifetime(&self, state: &State, ttl_ms: Option<u64>) -> Lifetime {
        let mut lifetime = state.lifetime(ttl_ms);
        lifetime.extend_on_hit &= !self.fixed_ttl;
        if self.jitter > 0.0 { lifetime.jittered(self.jitter, fastrand::f64()) } else { lifetime }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.ttl_of)?;
        visit.call(&self.cache_if)
    }
}
