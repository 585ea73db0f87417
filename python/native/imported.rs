//! Python objects that native code looks up once.

#![expect(
    unsafe_code,
    reason = "PyO3's cells let a thread hold one while it waits for the interpreter's lock"
)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

/// An attribute of a module, imported at its first use.
///
/// Nobody waits for a thread that is importing, or that is about to note what it found: a child forked meanwhile,
/// in which that thread is not, would wait for ever. So this is no `PyOnceLock`.
pub(crate) struct Imported {
    module: &'static str,
    name: &'static str,
    /// A reference of its own, which is never given back; null at first.
    found: AtomicPtr<ffi::PyObject>,
}

impl Imported {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, found: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The object.
    ///
    /// # Errors
    /// What importing the module raises.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Borrowed<'static, 'py, PyAny>> {
        let mut found = self.found.load(Ordering::Acquire);
        if found.is_null() {
            found = self.import(py)?;
        }
        // SAFETY: an object that lives for ever, as its reference is never given back.
        Ok(unsafe { Borrowed::from_ptr(py, found) })
    }

    #[cold]
    fn import(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let found = py.import(self.module)?.getattr(self.name)?;
        let noted =
            self.found.compare_exchange(ptr::null_mut(), found.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        match noted {
            Ok(_) => Ok(found.into_ptr()),
            // Two threads that import at once find the same object.
            Err(first) => Ok(first),
        }
    }
}
