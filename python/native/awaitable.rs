//! The call of an async cached function: a coroutine that looks its key up when it is awaited.
//!
//! Like a coroutine of Python's own it does nothing before its first step, so what it returns is fresh at
//! that moment. A hit ends at the first step, in native code; a miss goes on in a real coroutine
//! (`zoocache._async.fill`), to which every `send`, `throw` and `close` is passed.
//!
//! `PyO3` has no `am_send`, without which each result would travel in a `StopIteration`. So this type, too,
//! is built by hand: one allocation per call, whose contents are Rust values written in place.

#![expect(unsafe_code, reason = "a type with an am_send slot cannot be made through PyO3")]

use std::os::raw::{c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{
    PyBaseException, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};
use smallvec::SmallVec;

use crate::arguments::Call;
use crate::errors::guard;
use crate::function::{FunctionBase, Keyed};
use crate::imported::Imported;
use crate::key::KeyBuffer;
use crate::owned::Owned;

/// How far the call has come.
enum Stage {
    Created,
    /// A miss, going on in this coroutine.
    Running(Owned),
    /// Inside of a step, with everything else moved out.
    Executing,
    Finished,
}

/// What the object holds behind its header.
struct Contents {
    function: Owned,
    values: SmallVec<[Owned; 3]>,
    names: Option<Owned>,
    stage: Stage,
}

#[repr(C)]
struct CallObject {
    header: ffi::PyObject,
    weak_references: *mut ffi::PyObject,
    contents: Contents,
}

/// One step of a coroutine.
enum Step {
    Yield(Py<PyAny>),
    Return(Py<PyAny>),
}

/// The class of calls.
pub(crate) fn call_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    Ok(class(py)?.clone_ref(py))
}

fn class(py: Python<'_>) -> PyResult<&Py<PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.get_or_try_init(py, || make(py))
}

/// The coroutine of a call. With arguments that do not fit the function itself is called: it raises its
/// `TypeError` now, as any function does, unless it is a decorated one that takes more than it shows.
#[inline]
pub(crate) fn begin<'py>(
    function: Borrowed<'_, 'py, FunctionBase>,
    call: Call<'_, 'py>,
) -> PyResult<Py<PyAny>> {
    let py = call.py;
    if !function.get().signature.fits(call) {
        return call.through(function.get().function.bind(py)).map(Bound::unbind);
    }
    let contents = Contents {
        function: Owned::new(function.as_any()),
        values: call.values.iter().map(|value| Owned::new(value)).collect(),
        names: call.names.map(|names| Owned::new(names.as_any())),
        stage: Stage::Created,
    };
    let class = class(py)?;
    // SAFETY: the class has room for a `CallObject`; its contents are written before anyone sees it.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        (&raw mut (*object.cast::<CallObject>()).contents).write(contents);
        Ok(Bound::from_owned_ptr(py, object).unbind())
    }
}

impl Contents {
    /// Runs `body` with the arguments of the call.
    fn with_call<'py, R>(&self, py: Python<'py>, body: impl FnOnce(Call<'_, 'py>) -> R) -> R {
        let values: SmallVec<[Borrowed<'_, 'py, PyAny>; 3]> =
            self.values.iter().map(|value| value.borrow(py)).collect();
        // SAFETY: `names` was made from a tuple.
        let names = self.names.as_ref().map(|names| unsafe { names.borrow(py).cast_unchecked::<PyTuple>() });
        body(Call { py, values: &values, names })
    }

    fn function<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, FunctionBase> {
        // SAFETY: `function` was made from a `FunctionBase`.
        unsafe { self.function.borrow(py).cast_unchecked() }
    }

    /// The first step: a hit, or the coroutine that computes.
    fn start(&self, py: Python<'_>) -> PyResult<Result<Py<PyAny>, Owned>> {
        let function = self.function(py);
        self.with_call(py, |call| {
            if let Some(object) = function.get().recent_hit(call)? {
                return Ok(Ok(object));
            }
            let needs_care = function.get().home.site().needs_care();
            if needs_care && function.get().home.site().is_bypassed() {
                return call.through(function.get().function.bind(py)).map(Owned::take).map(Err);
            }
            let mut key = KeyBuffer::new();
            if matches!(function.get().key_of(call, &mut key)?, Keyed::Misfit) {
                return Err(function.get().misfit(call));
            }
            let found = if needs_care {
                FunctionBase::hit_with_care(function, call, &key)
            } else {
                FunctionBase::hit(function, call, &key)
            };
            match found? {
                Some(object) => Ok(Ok(object)),
                None => coroutine(function, call, &key).map(Err),
            }
        })
    }
}

fn coroutine(function: Borrowed<'_, '_, FunctionBase>, call: Call<'_, '_>, key: &[u8]) -> PyResult<Owned> {
    static FILL: Imported = Imported::new("zoocache._async", "fill");
    static TOLERANT: Imported = Imported::new("zoocache._async", "fill_tolerant");
    let py = call.py;
    let (args, kwargs) = call.to_python()?;
    let key = PyBytes::new(py, key);
    let fill = if function.get().tolerant.is_some() { &TOLERANT } else { &FILL };
    fill.get(py)?.call1((function, key, args, kwargs)).map(Owned::take)
}

/// The object's contents. Nobody else touches them meanwhile: the interpreter lock is held, and `step`
/// moves the stage out before it runs foreign code.
///
/// # Safety
/// `object` is a live `CallObject`.
unsafe fn contents<'a>(object: *mut ffi::PyObject) -> &'a mut Contents {
    // SAFETY: promised by the caller.
    unsafe { &mut (*object.cast::<CallObject>()).contents }
}

/// Takes the stage out for a step, so that foreign code that comes back to this object finds it executing
/// instead of half way. To be followed by [`put`].
///
/// # Safety
/// `object` is a live `CallObject`.
unsafe fn take(object: *mut ffi::PyObject) -> PyResult<Stage> {
    // SAFETY: promised by the caller.
    let stage = unsafe { std::mem::replace(&mut contents(object).stage, Stage::Executing) };
    match stage {
        Stage::Executing => Err(PyValueError::new_err("coroutine already executing")),
        stage => Ok(stage),
    }
}

/// Ends a step: `inner` goes on, or everything is over.
///
/// # Safety
/// `object` is a live `CallObject`.
unsafe fn put(object: *mut ffi::PyObject, inner: Option<Owned>) {
    // SAFETY: promised by the caller.
    unsafe { contents(object) }.stage = inner.map_or(Stage::Finished, Stage::Running);
}

fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

/// # Safety
/// `object` is a live `CallObject` and `value` a live object.
unsafe fn step(py: Python<'_>, object: *mut ffi::PyObject, value: *mut ffi::PyObject) -> PyResult<Step> {
    // SAFETY: promised by the caller.
    unsafe {
        if matches!(contents(object).stage, Stage::Created) && value != ffi::Py_None() {
            let text = "can't send non-None value to a just-started coroutine";
            return Err(PyTypeError::new_err(text));
        }
        let stage = take(object)?;
        let stepped = advance(py, object, stage, value);
        match stepped {
            Ok((step, inner)) => {
                put(object, inner);
                Ok(step)
            }
            Err(error) => {
                put(object, None);
                Err(error)
            }
        }
    }
}

/// One step, and the coroutine that goes on after it.
///
/// # Safety
/// As of [`step`].
unsafe fn advance(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    stage: Stage,
    value: *mut ffi::PyObject,
) -> PyResult<(Step, Option<Owned>)> {
    let inner = match stage {
        // SAFETY: promised by the caller; `start` only reads.
        Stage::Created => match unsafe { contents(object) }.start(py)? {
            Ok(found) => return Ok((Step::Return(found), None)),
            Err(inner) => inner,
        },
        Stage::Running(inner) => inner,
        Stage::Executing | Stage::Finished => return Err(reused()),
    };
    let mut result = ptr::null_mut();
    // SAFETY: both are live objects; `result` receives a new reference or null.
    let (sent, result) = unsafe {
        let sent = ffi::PyIter_Send(inner.as_ptr(), value, &raw mut result);
        (sent, Bound::from_owned_ptr_or_opt(py, result).map(Bound::unbind))
    };
    match (sent, result) {
        (ffi::PySendResult::PYGEN_RETURN, Some(result)) => Ok((Step::Return(result), None)),
        (ffi::PySendResult::PYGEN_NEXT, Some(result)) => Ok((Step::Yield(result), Some(inner))),
        _ => Err(PyErr::fetch(py)),
    }
}

unsafe extern "C" fn am_send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the interpreter passes a live object, a live value and a place for the result.
    unsafe { result.write(ptr::null_mut()) };
    guard(ffi::PySendResult::PYGEN_ERROR, |py| {
        // SAFETY: as above.
        let (sent, object) = match unsafe { step(py, object, value) }? {
            Step::Return(object) => (ffi::PySendResult::PYGEN_RETURN, object),
            Step::Yield(object) => (ffi::PySendResult::PYGEN_NEXT, object),
        };
        // SAFETY: as above.
        unsafe { result.write(object.into_ptr()) };
        Ok(sent)
    })
}

/// `send(value)`: a result is raised as `StopIteration`.
unsafe extern "C" fn send(object: *mut ffi::PyObject, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes live objects.
    guard(ptr::null_mut(), |py| match unsafe { step(py, object, value) }? {
        Step::Yield(object) => Ok(object.into_ptr()),
        Step::Return(object) => stop_with(object.bind(py)).map(|()| ptr::null_mut()),
    })
}

/// Sets `StopIteration(result)`. `CPython` 3.12 and later step a coroutine that is not their own through
/// `tp_iternext`, so this is on the path of a hit there.
fn stop_with(result: &Bound<'_, PyAny>) -> PyResult<()> {
    if result.is_instance_of::<PyTuple>() || result.is_instance_of::<PyBaseException>() {
        // The interpreter would take these for the exception's arguments, or for the exception itself.
        return Err(PyStopIteration::new_err((result.clone().unbind(),)));
    }
    // SAFETY: both are live objects.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr()) };
    Ok(())
}

unsafe extern "C" fn next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `None` lives for ever; `object` is live.
    unsafe { send(object, ffi::Py_None()) }
}

/// The coroutine, unless it is over. It may go on after an error: one that was not thrown because it is no
/// exception, or `GeneratorExit` that was ignored.
fn going_on(py: Python<'_>, inner: Owned) -> Option<Owned> {
    let frame = inner.borrow(py).getattr("cr_frame");
    if frame.is_ok_and(|frame| !frame.is_none()) { Some(inner) } else { None }
}

/// What comes of throwing into a coroutine without a body, and whether it is over then.
fn throw_into_nothing<'py>(
    py: Python<'py>,
    is_new: bool,
    args: &Bound<'py, PyTuple>,
) -> (PyResult<Bound<'py, PyAny>>, bool) {
    let empty = || {
        let empty = py.import("zoocache._async")?.call_method0("empty")?;
        if !is_new {
            empty.call_method0("close")?;
        }
        Ok(empty)
    };
    let empty: Bound<'py, PyAny> = match empty() {
        Ok(empty) => empty,
        Err(error) => return (Err(error), true),
    };
    let thrown = empty.call_method1("throw", args);
    let is_over = going_on(py, Owned::new(&empty)).is_none();
    // Or it would warn that it was never awaited.
    let closed = empty.call_method0("close");
    (thrown.and_then(|thrown| closed.map(|_| thrown)), is_over)
}

/// `throw(type[, value[, traceback]])`.
unsafe extern "C" fn throw(object: *mut ffi::PyObject, args: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: live objects; `args` is the tuple of a METH_VARARGS call.
        let (stage, args) =
            unsafe { (take(object)?, Borrowed::from_ptr(py, args).cast_unchecked::<PyTuple>().to_owned()) };
        let (thrown, inner) = match stage {
            Stage::Running(inner) => {
                let thrown = inner.borrow(py).call_method1("throw", &args);
                (thrown, going_on(py, inner))
            }
            // Not started, or over: an empty coroutine answers as this one should.
            stage => {
                let is_new = matches!(stage, Stage::Created);
                let (thrown, is_over) = throw_into_nothing(py, is_new, &args);
                if is_new && !is_over {
                    // SAFETY: as above.
                    unsafe { contents(object) }.stage = Stage::Created;
                    return thrown.map(Bound::into_ptr);
                }
                (thrown, None)
            }
        };
        // SAFETY: as above.
        unsafe { put(object, inner) };
        thrown.map(Bound::into_ptr)
    })
}

unsafe extern "C" fn close(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: a live object.
        let stage = unsafe { take(object) }?;
        let (closed, inner) = match stage {
            Stage::Running(inner) => {
                let closed = inner.borrow(py).call_method0("close").map(drop);
                (closed, going_on(py, inner))
            }
            _ => (Ok(()), None),
        };
        // SAFETY: as above.
        unsafe { put(object, inner) };
        closed.map(|()| py.None().into_ptr())
    })
}

/// What `await` steps: the call itself.
unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object.
    unsafe {
        if matches!(contents(object).stage, Stage::Running(_)) {
            let awaited = || PyRuntimeError::new_err("coroutine is being awaited already");
            return guard(ptr::null_mut(), |_| Err(awaited()));
        }
        ffi::Py_NewRef(object)
    }
}

/// `__await__()` for Python code: an iterator, for `yield from`. `await` itself uses the slot.
unsafe extern "C" fn awaited(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: a live object.
        let call = unsafe { Borrowed::from_ptr(py, object) };
        let coroutine = py.import("zoocache._async")?.call_method1("awaited", (call,))?;
        Ok(coroutine.call_method0("__await__")?.into_ptr())
    })
}

/// `__name__` and `__qualname__`: those of the function.
unsafe extern "C" fn name(object: *mut ffi::PyObject, attribute: *mut c_void) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        let attribute = if attribute.is_null() { "__name__" } else { "__qualname__" };
        // SAFETY: a live object.
        let contents = unsafe { contents(object) };
        Ok(contents.function.borrow(py).getattr(attribute)?.into_ptr())
    })
}

unsafe extern "C" fn traverse(object: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the collector passes a live object; nothing is changed here.
    unsafe {
        let contents = &(*object.cast::<CallObject>()).contents;
        let inner = match &contents.stage {
            Stage::Running(inner) => Some(inner),
            Stage::Created | Stage::Executing | Stage::Finished => None,
        };
        let class = visit(ffi::Py_TYPE(object).cast(), arg);
        if class != 0 {
            return class;
        }
        for owned in contents.values.iter().chain(inner).chain([&contents.function]) {
            let visited = visit(owned.as_ptr(), arg);
            if visited != 0 {
                return visited;
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector passes a live object that nobody can reach any more.
    let (values, stage) = unsafe {
        let contents = contents(object);
        (std::mem::take(&mut contents.values), std::mem::replace(&mut contents.stage, Stage::Finished))
    };
    // Only now: this may run foreign code.
    drop((values, stage));
    0
}

/// Called by the collector for a call in a reference cycle, while all of the cycle is still intact.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: a live object whose contents were written by `begin`.
    unsafe {
        if matches!(contents(object).stage, Stage::Created) {
            contents(object).stage = Stage::Finished;
            // A panic must not cross into C; there is nobody to tell about it either.
            drop(catch_unwind(AssertUnwindSafe(|| warn_never_awaited(object))));
        }
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the contents were written by `begin` and are dropped once.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        finalize(object);
        if !(*object.cast::<CallObject>()).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        ptr::drop_in_place(&raw mut (*object.cast::<CallObject>()).contents);
        let class = ffi::Py_TYPE(object);
        let free = ffi::PyType_GetSlot(class, ffi::Py_tp_free);
        let free: unsafe extern "C" fn(*mut c_void) = std::mem::transmute(free);
        free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// # Safety
/// `object` is being deallocated and its contents are intact.
#[cold]
unsafe fn warn_never_awaited(object: *mut ffi::PyObject) {
    // SAFETY: objects die with the interpreter's lock held; `Python::attach` would refuse to work while
    // the interpreter shuts down.
    let py = unsafe { Python::assume_attached() };
    // An exception may be on its way while this object dies.
    let pending = PyErr::take(py);
    // SAFETY: promised by the caller.
    let function = unsafe { contents(object) }.function.borrow(py);
    let name = function.getattr("__qualname__").map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let text = std::ffi::CString::new(format!("coroutine '{name}' was never awaited")).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1) {
        error.write_unraisable(py, None);
    }
    if let Some(pending) = pending {
        pending.restore(py);
    }
}

pub(crate) fn slot(slot: c_int, function: *const ()) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc: function.cast_mut().cast() }
}

fn method(name: &'static std::ffi::CStr, function: ffi::PyCFunction, flags: c_int) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: flags,
        ml_doc: ptr::null(),
    }
}

fn make(py: Python<'_>) -> PyResult<Py<PyType>> {
    let too_big = |_| pyo3::exceptions::PySystemError::new_err("the call object is too big");
    let attribute = |attribute: &'static std::ffi::CStr, closure: *mut c_void| ffi::PyGetSetDef {
        name: attribute.as_ptr(),
        get: Some(name),
        set: None,
        doc: ptr::null(),
        closure,
    };
    // The type refers to these tables for ever, so they are leaked, once for the process.
    let methods = Box::leak(Box::new([
        method(c"send", send, ffi::METH_O),
        method(c"throw", throw, ffi::METH_VARARGS),
        method(c"close", close, ffi::METH_NOARGS),
        method(c"__await__", awaited, ffi::METH_NOARGS | ffi::METH_COEXIST),
        ffi::PyMethodDef::zeroed(),
    ]));
    let attributes = Box::leak(Box::new([
        attribute(c"__name__", ptr::null_mut()),
        attribute(c"__qualname__", ptr::without_provenance_mut(1)),
        ffi::PyGetSetDef::default(),
    ]));
    let offset = std::mem::offset_of!(CallObject, weak_references);
    let members = Box::leak(Box::new([
        ffi::PyMemberDef {
            name: c"__weaklistoffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: ffi::Py_ssize_t::try_from(offset).map_err(too_big)?,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ]));
    let mut slots = [
        slot(ffi::Py_am_send, am_send as *const ()),
        slot(ffi::Py_am_await, itself as *const ()),
        slot(ffi::Py_tp_iternext, next as *const ()),
        slot(ffi::Py_tp_traverse, traverse as *const ()),
        slot(ffi::Py_tp_clear, clear as *const ()),
        slot(ffi::Py_tp_dealloc, dealloc as *const ()),
        slot(ffi::Py_tp_finalize, finalize as *const ()),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast::<()>()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast::<()>()),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast::<()>()),
        slot(0, ptr::null()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_HAVE_GC
        | ffi::Py_TPFLAGS_IMMUTABLETYPE
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let mut spec = ffi::PyType_Spec {
        name: c"zoocache._native.CachedCall".as_ptr(),
        basicsize: c_int::try_from(size_of::<CallObject>()).map_err(too_big)?,
        itemsize: 0,
        flags: c_uint::try_from(flags).map_err(too_big)?,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification is complete and its slots have the signatures the C API documents.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec))? };
    Ok(class.cast_into::<PyType>()?.unbind())
}

/// The coroutine that computes a call in any case.
pub(crate) fn refresh(function: &Bound<'_, FunctionBase>, call: Call<'_, '_>) -> PyResult<Py<PyAny>> {
    let key = function.get().key_or_error(call)?;
    let (args, kwargs) = call.to_python()?;
    let module = call.py.import("zoocache._async")?;
    let arguments = (function, PyBytes::new(call.py, &key), args, kwargs);
    module.call_method1("refresh", arguments).map(Bound::unbind)
}
