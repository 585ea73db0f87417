//! The vectorcall entry of the cached function (PEP 590), the C API's fastest way to call an object.
//!
//! `PyO3` maps `__call__` to `tp_call`, for which the interpreter packs a tuple and a dictionary: more than
//! a whole hit costs. So the type that users see derives from the `PyO3` class and adds one field at the
//! end of the object, the function pointer. This file, `bound.rs` and `awaitable.rs` are the only ones that
//! build types by hand.
//!
//! `Py_TPFLAGS_HAVE_VECTORCALL` is public in the limited API from 3.12 on, but the flag's bit, the
//! `__vectorcalloffset__` member and the protocol are the same in every `CPython` from 3.9 to 3.15, so one
//! abi3 wheel serves all; `docs/design/0001-one-abi3-wheel.md` has the measurements.

#![expect(unsafe_code, reason = "a type with a vectorcall slot cannot be made through PyO3")]

use std::os::raw::{c_int, c_uint};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::arguments::from_vectorcall;
use crate::errors::guard;
use crate::function::FunctionBase;

pub(crate) const HAVE_VECTORCALL: c_uint = 1 << 11;
/// The call `x.method(…)` then needs no bound method object: PEP 590.
const METHOD_DESCRIPTOR: c_uint = 1 << 17;
/// Set if the callee may use the place before the arguments.
pub(crate) const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

struct FunctionType {
    class: Py<PyType>,
    /// Where in the object the function pointer lies.
    offset: usize,
}

fn made(py: Python<'_>) -> PyResult<&FunctionType> {
    static MADE: PyOnceLock<FunctionType> = PyOnceLock::new();
    MADE.get_or_try_init(py, || make(py))
}

/// The class of cached functions.
pub(crate) fn function_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    Ok(made(py)?.class.clone_ref(py))
}

fn make(py: Python<'_>) -> PyResult<FunctionType> {
    let base = py.get_type::<FunctionBase>();
    let offset: usize = base.getattr("__basicsize__")?.extract()?;
    let size = offset + size_of::<ffi::vectorcallfunc>();
    let too_big = |_| pyo3::exceptions::PySystemError::new_err("the cached function object is too big");
    let mut members = [
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: ffi::Py_ssize_t::try_from(offset).map_err(too_big)?,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ];
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.as_mut_ptr().cast() },
        ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"zoocache._native.CachedFunction".as_ptr(),
        basicsize: c_int::try_from(size).map_err(too_big)?,
        itemsize: 0,
        // Not immutable: its base is not, and Python 3.14 insists.
        flags: c_uint::try_from(ffi::Py_TPFLAGS_DEFAULT).map_err(too_big)?
            | HAVE_VECTORCALL
            | METHOD_DESCRIPTOR,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification and what it points to outlive the call, which copies them; the base is a
    // type whose objects are `offset` bytes long, so the new field lies behind them.
    let class = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, base.as_ptr()))?
    };
    Ok(FunctionType { class: class.cast_into::<PyType>()?.unbind(), offset })
}

/// A new cached function.
pub(crate) fn new_function<'py>(
    function: &Bound<'py, PyAny>,
    options: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = made(function.py())?;
    let object = made.class.bind(function.py()).call1((function, options))?;
    // SAFETY: objects of this class have room for a function pointer at `offset`; nobody else has seen
    // the object yet.
    unsafe {
        object.as_ptr().byte_add(made.offset).cast::<ffi::vectorcallfunc>().write(enter);
    }
    Ok(object)
}

/// Where the interpreter enters.
pub(crate) unsafe extern "C" fn enter(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter calls with the arguments of PEP 590; only objects of our class carry this
        // function.
        let object = unsafe {
            let call = from_vectorcall(py, args, nargsf & !ARGUMENTS_OFFSET, names);
            FunctionBase::call(Borrowed::from_ptr(py, callable).cast_unchecked(), call)
        }?;
        Ok(object.into_ptr())
    })
}
