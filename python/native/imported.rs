//! Python objects that native code looks up once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// An attribute of a module, imported at its first use.
///
/// Unlike `PyOnceLock::import` nobody waits for a thread that is importing, so a child forked meanwhile,
/// in which that thread is not, does not wait for ever.
pub(crate) struct Imported {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyAny>>,
}

impl Imported {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, found: PyOnceLock::new() }
    }

    /// The object.
    ///
    /// # Errors
    /// What importing the module raises.
    #[inline]
    pub(crate) fn get<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        match self.found.get(py) {
            Some(found) => Ok(found.bind(py)),
            None => self.import(py),
        }
    }

    #[cold]
    fn import<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        let found = py.import(self.module)?.getattr(self.name)?.unbind();
        // Without running Python code: only this may not be interrupted by a fork. Two threads that
        // import at once find the same object.
        Ok(self.found.get_or_init(py, || found).bind(py))
    }
}
