//! A reference to a Python object that is released at once.
//!
//! `PyO3`'s `Py` asks whether `PyO3` itself attached the thread; where the interpreter calls us past `PyO3` (the
//! vectorcall entry and the slots made by hand) the answer is no, and the release would be put off until
//! somebody else calls `PyO3`: on a path of hits only, for ever.

#![expect(unsafe_code, reason = "reference counts by hand")]

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

/// A reference that is released at once: unlike `Py` it does not ask whether the thread is attached.
/// It may be dropped only with the interpreter lock held, which is so for all of a Python object's life.
#[repr(transparent)]
pub(crate) struct Owned(NonNull<ffi::PyObject>);

impl Owned {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        Self::take(object.clone())
    }

    pub(crate) fn take(object: Bound<'_, PyAny>) -> Self {
        Self(NonNull::new(object.into_ptr()).expect("invariant: objects are never null"))
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    pub(crate) fn borrow<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: we own a reference for as long as `self` lives.
        unsafe { Borrowed::from_ptr(py, self.0.as_ptr()) }
    }
}

// SAFETY: as with `Py`, the reference can be handed between threads; all that is done with it is done with
// the interpreter lock held.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: we own the reference, and the interpreter lock is held (see the type).
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}
