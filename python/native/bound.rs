//! A cached method as it is found on an instance: the cached function and its first argument.
//!
//! What `types.MethodType` is to a function, and beside that the operations of the cached function, which
//! pass the instance on. `instance.method(…)` does not come here (the interpreter calls the function with
//! the instance as an argument); `bound = instance.method` does. It is built by hand for the same reason
//! as the cached function: see `vectorcall.rs`.

#![expect(unsafe_code, reason = "a type with a vectorcall slot cannot be made through PyO3")]

use std::ffi::CStr;
use std::mem::offset_of;
use std::os::raw::{c_int, c_uint, c_void};
use std::ptr;

use pyo3::exceptions::{PyAttributeError, PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use smallvec::SmallVec;

use crate::awaitable::slot;
use crate::errors::guard;
use crate::function::FunctionBase;
use crate::imported::Imported;
use crate::owned::Owned;
use crate::vectorcall::{ARGUMENTS_OFFSET, HAVE_VECTORCALL, enter};

/// The operations of a cached function that concern one call.
const OPERATIONS: [&str; 5] = ["key", "invalidate", "bypass", "refresh", "_many_of"];

#[repr(C)]
struct MethodObject {
    header: ffi::PyObject,
    vectorcall: ffi::vectorcallfunc,
    weak_references: *mut ffi::PyObject,
    /// A [`FunctionBase`].
    function: Owned,
    instance: Owned,
}

/// The class of bound methods.
pub(crate) fn method_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    Ok(class(py)?.clone_ref(py))
}

#[inline]
fn class(py: Python<'_>) -> PyResult<&Py<PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.get_or_try_init(py, || make(py))
}

/// `function` with `instance` as its first argument.
#[inline]
pub(crate) fn bind<'py>(
    function: &Bound<'py, FunctionBase>,
    instance: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let class = class(py)?;
    // SAFETY: the class has room for a `MethodObject`; what `PyType_GenericAlloc` did not write is written
    // before anyone sees the object.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        let method = object.cast::<MethodObject>();
        (&raw mut (*method).vectorcall).write(call_fast);
        (&raw mut (*method).function).write(Owned::new(function.as_any()));
        (&raw mut (*method).instance).write(Owned::new(instance));
        Ok(Bound::from_owned_ptr(py, object))
    }
}

/// For class methods: binds the function of `method` to the class, as `classmethod.__get__` did before
/// Python 3.13.
#[pyfunction]
#[pyo3(signature = (method, instance, owner = None, /))]
pub(crate) fn bind_to_class<'py>(
    method: &Bound<'py, PyAny>,
    instance: &Bound<'py, PyAny>,
    owner: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let function = method.getattr(intern!(method.py(), "__func__"))?.cast_into::<FunctionBase>()?;
    match owner {
        Some(owner) => bind(&function, owner),
        None => bind(&function, instance.get_type().as_any()),
    }
}

/// # Safety
/// `object` is a live `MethodObject`, for as long as the result is used.
unsafe fn parts<'a>(object: *mut ffi::PyObject) -> &'a MethodObject {
    // SAFETY: promised by the caller; the parts are never changed.
    unsafe { &*object.cast::<MethodObject>() }
}

/// Where the interpreter enters.
unsafe extern "C" fn call_fast(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter keeps the object and its arguments alive for the call. With the flag of
    // PEP 590 the place before the arguments is ours until we return; `enter` does not unwind.
    unsafe {
        let method = parts(object);
        let (function, instance) = (method.function.as_ptr(), method.instance.as_ptr());
        let positional = nargsf & !ARGUMENTS_OFFSET;
        if nargsf & ARGUMENTS_OFFSET != 0 {
            let start = args.cast_mut().sub(1);
            let theirs = start.replace(instance);
            let result = enter(function, start, positional + 1, names);
            start.write(theirs);
            return result;
        }
        let keywords = if names.is_null() { 0 } else { ffi::PyTuple_Size(names).cast_unsigned() };
        let mut all: SmallVec<[*mut ffi::PyObject; 8]> = SmallVec::new();
        all.push(instance);
        if positional + keywords > 0 {
            all.extend_from_slice(std::slice::from_raw_parts(args, positional + keywords));
        }
        enter(function, all.as_ptr(), positional + 1, names)
    }
}

/// Calls `function` with the instance before the other arguments.
///
/// # Safety
/// `object` is a live `MethodObject`, `args` a tuple and `kwargs` a dictionary or null.
unsafe fn call_with_instance<'py>(
    py: Python<'py>,
    object: *mut ffi::PyObject,
    function: &Bound<'py, PyAny>,
    (args, kwargs): (*mut ffi::PyObject, *mut ffi::PyObject),
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: promised by the caller.
    let (instance, args, kwargs) = unsafe {
        let args = Borrowed::from_ptr(py, args).cast_unchecked::<PyTuple>();
        let kwargs = Borrowed::from_ptr_or_opt(py, kwargs).map(|kwargs| kwargs.cast_unchecked::<PyDict>());
        (parts(object).instance.borrow(py), args, kwargs)
    };
    let all = PyTuple::new(py, std::iter::once(instance.to_owned()).chain(args.iter()).collect::<Vec<_>>())?;
    function.call(all, kwargs.as_deref()).map(Bound::into_ptr)
}

unsafe extern "C" fn call(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes what `tp_call` asks for.
    guard(ptr::null_mut(), |py| unsafe {
        call_with_instance(py, object, &parts(object).function.borrow(py), (args, kwargs))
    })
}

unsafe extern "C" fn operation<const INDEX: usize>(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes what a METH_VARARGS | METH_KEYWORDS method asks for.
    guard(ptr::null_mut(), |py| unsafe {
        let operation = parts(object).function.borrow(py).getattr(OPERATIONS[INDEX])?;
        call_with_instance(py, object, &operation, (args, kwargs))
    })
}

/// `CachedMethod(function, instance)`: `weakref.WeakMethod` and `copy` make bound methods so.
unsafe extern "C" fn new(
    _class: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a tuple, and a dictionary or null.
        let (args, given) = unsafe { (Borrowed::from_ptr(py, args), !kwargs.is_null()) };
        let parts = args.extract::<(Bound<'_, FunctionBase>, Bound<'_, PyAny>)>();
        match parts {
            Ok((function, instance)) if !given => bind(&function, &instance).map(Bound::into_ptr),
            _ => Err(PyTypeError::new_err(format!(
                "CachedMethod takes a cached function and an instance, not {}",
                args.repr()?
            ))),
        }
    })
}

/// An attribute of its own, else what the function was given: what users know of a method is there.
unsafe extern "C" fn get(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes live objects; the name is a string.
        let (function, text) = unsafe {
            (parts(object).function.borrow(py), Borrowed::from_ptr(py, name).cast_unchecked::<PyString>())
        };
        let text = text.to_str().unwrap_or_default();
        // That of the class is not that of the method.
        if text != "__module__" {
            // SAFETY: as above; the result is a new reference or null.
            let own = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(object, name)) };
            match own {
                Err(error) if error.is_instance_of::<PyAttributeError>(py) => {
                    // A special method of the function (`__copy__`) is not one of the method, and its
                    // `__signature__` has one parameter too many.
                    let is_special = text.starts_with("__") && text.ends_with("__");
                    if is_special && (text == "__signature__" || !has_attribute(function, text)?) {
                        return Err(error);
                    }
                }
                own => return own.map(Bound::into_ptr),
            }
        }
        function.getattr(text).map(Bound::into_ptr)
    })
}

fn has_attribute(function: Borrowed<'_, '_, PyAny>, name: &str) -> PyResult<bool> {
    function.getattr(intern!(function.py(), "__dict__"))?.contains(name)
}

/// An attribute of the function, whose name is `attribute`.
unsafe extern "C" fn forward(object: *mut ffi::PyObject, attribute: *mut c_void) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object, and the name that stands in the table.
        let (function, name) =
            unsafe { (parts(object).function.borrow(py), CStr::from_ptr(attribute.cast_const().cast())) };
        Ok(function.getattr(name.to_string_lossy().as_ref())?.into_ptr())
    })
}

unsafe extern "C" fn stats(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object.
        let function = unsafe { parts(object).function.borrow(py) };
        Ok(function.call_method0(intern!(py, "stats"))?.into_ptr())
    })
}

/// The function without the cache, bound.
unsafe extern "C" fn wrapped(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    static METHOD: Imported = Imported::new("types", "MethodType");
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object.
        let method = unsafe { parts(object) };
        let function = method.function.borrow(py).getattr(intern!(py, "__wrapped__"))?;
        Ok(METHOD.get(py)?.call1((function, method.instance.borrow(py)))?.into_ptr())
    })
}

/// Pickled and copied as `getattr(instance, name)`.
unsafe extern "C" fn reduce(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    static GETATTR: Imported = Imported::new("builtins", "getattr");
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object.
        let method = unsafe { parts(object) };
        let name = method.function.borrow(py).getattr(intern!(py, "__name__"))?;
        let arguments = (method.instance.borrow(py), name);
        Ok((GETATTR.get(py)?, arguments).into_pyobject(py)?.into_any().into_ptr())
    })
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object.
        let method = unsafe { parts(object) };
        let name = method.function.borrow(py).getattr(intern!(py, "__qualname__"))?;
        let text = format!("<bound cached method {name} of {}>", method.instance.borrow(py).repr()?);
        Ok(PyString::new(py, &text).into_any().into_ptr())
    })
}

/// Equal are methods of the very same instance and the same function.
unsafe extern "C" fn compare(
    left: *mut ffi::PyObject,
    right: *mut ffi::PyObject,
    operator: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes live objects, the left one of this class; the other is looked at only
    // if it is of the same.
    unsafe {
        if ffi::Py_TYPE(left) != ffi::Py_TYPE(right) || !matches!(operator, ffi::Py_EQ | ffi::Py_NE) {
            return ffi::Py_NewRef(ffi::Py_NotImplemented());
        }
        let (left, right) = (parts(left), parts(right));
        let equal = left.instance.as_ptr() == right.instance.as_ptr()
            && left.function.as_ptr() == right.function.as_ptr();
        let answer = equal == (operator == ffi::Py_EQ);
        ffi::Py_NewRef(if answer { ffi::Py_True() } else { ffi::Py_False() })
    }
}

unsafe extern "C" fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    // SAFETY: the interpreter passes a live object.
    let method = unsafe { parts(object) };
    let (function, instance) = (method.function.as_ptr() as usize, method.instance.as_ptr() as usize);
    // Objects are aligned: their lowest bits tell nothing.
    let hash = (function.rotate_right(4) ^ instance.rotate_right(8)).cast_signed();
    if hash == -1 { -2 } else { hash }
}

unsafe extern "C" fn traverse(object: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the collector passes a live object; nothing is changed here.
    unsafe {
        let method = parts(object);
        for referent in [ffi::Py_TYPE(object).cast(), method.function.as_ptr(), method.instance.as_ptr()] {
            let visited = visit(referent, arg);
            if visited != 0 {
                return visited;
            }
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the parts were written by `bind` and are dropped once.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let method = object.cast::<MethodObject>();
        if !(*method).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        ptr::drop_in_place(&raw mut (*method).function);
        ptr::drop_in_place(&raw mut (*method).instance);
        let class = ffi::Py_TYPE(object);
        let free = ffi::PyType_GetSlot(class, ffi::Py_tp_free);
        let free: unsafe extern "C" fn(*mut c_void) = std::mem::transmute(free);
        free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

fn too_big(_: std::num::TryFromIntError) -> PyErr {
    PySystemError::new_err("the bound method object is too big")
}

/// The fields of the object that the interpreter knows.
fn members() -> PyResult<[ffi::PyMemberDef; 5]> {
    let member = |name: &'static CStr, type_code: c_int, offset: usize| {
        Ok::<_, PyErr>(ffi::PyMemberDef {
            name: name.as_ptr(),
            type_code,
            offset: ffi::Py_ssize_t::try_from(offset).map_err(too_big)?,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        })
    };
    Ok([
        member(c"__vectorcalloffset__", ffi::Py_T_PYSSIZET, offset_of!(MethodObject, vectorcall))?,
        member(c"__weaklistoffset__", ffi::Py_T_PYSSIZET, offset_of!(MethodObject, weak_references))?,
        member(c"__func__", ffi::Py_T_OBJECT_EX, offset_of!(MethodObject, function))?,
        member(c"__self__", ffi::Py_T_OBJECT_EX, offset_of!(MethodObject, instance))?,
        ffi::PyMemberDef::default(),
    ])
}

fn attributes() -> [ffi::PyGetSetDef; 4] {
    let attribute = |name: &'static CStr, get: ffi::getter| ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(get),
        set: None,
        doc: ptr::null(),
        // What `forward` reads.
        closure: name.as_ptr().cast_mut().cast(),
    };
    [
        attribute(c"__doc__", forward),
        attribute(c"tag", forward),
        attribute(c"__wrapped__", wrapped),
        ffi::PyGetSetDef::default(),
    ]
}

fn methods() -> [ffi::PyMethodDef; 8] {
    let method =
        |name: &'static CStr, doc: &'static CStr, function: ffi::PyCFunctionWithKeywords| ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: function },
            ml_flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        };
    let plain = |name: &'static CStr, doc: &'static CStr, function: ffi::PyCFunction| ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    };
    // In the order of `OPERATIONS`. The text begins with what `inspect.signature` reads.
    [
        method(c"key", c"key($self, /, *args, **kwargs)\n--\n\nThe key of this call.", operation::<0>),
        method(
            c"invalidate",
            c"invalidate($self, /, *args, **kwargs)\n--\n\nDrops this call's entry; says whether a fresh one was there.",
            operation::<1>,
        ),
        method(
            c"bypass",
            c"bypass($self, /, *args, **kwargs)\n--\n\nCalls the method itself: nothing is looked up and nothing is stored.",
            operation::<2>,
        ),
        method(
            c"refresh",
            c"refresh($self, /, *args, **kwargs)\n--\n\nComputes now, whatever is stored, and stores the result.",
            operation::<3>,
        ),
        method(
            c"many",
            c"many($self, calls, /, *, limit=None)\n--\n\nThe results of many calls, each a tuple or a dictionary of its arguments.",
            operation::<4>,
        ),
        plain(
            c"stats",
            c"stats($self, /)\n--\n\nCounters of the function, and how many fresh entries it has.",
            stats,
        ),
        plain(c"__reduce__", c"", reduce),
        ffi::PyMethodDef::zeroed(),
    ]
}

fn make(py: Python<'_>) -> PyResult<Py<PyType>> {
    // The type refers to these tables for ever, so they are leaked, once for the process.
    let members = Box::leak(Box::new(members()?));
    let attributes = Box::leak(Box::new(attributes()));
    let methods = Box::leak(Box::new(methods()));
    let mut slots = [
        slot(ffi::Py_tp_new, new as *const ()),
        slot(ffi::Py_tp_call, call as *const ()),
        slot(ffi::Py_tp_getattro, get as *const ()),
        slot(ffi::Py_tp_repr, repr as *const ()),
        slot(ffi::Py_tp_richcompare, compare as *const ()),
        slot(ffi::Py_tp_hash, hash as *const ()),
        slot(ffi::Py_tp_traverse, traverse as *const ()),
        slot(ffi::Py_tp_dealloc, dealloc as *const ()),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast::<()>()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast::<()>()),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast::<()>()),
        slot(0, ptr::null()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_IMMUTABLETYPE;
    let mut spec = ffi::PyType_Spec {
        name: c"zoocache._native.CachedMethod".as_ptr(),
        basicsize: c_int::try_from(size_of::<MethodObject>()).map_err(too_big)?,
        itemsize: 0,
        flags: c_uint::try_from(flags).map_err(too_big)? | HAVE_VECTORCALL,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification is complete and its slots have the signatures the C API documents.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec))? };
    Ok(class.cast_into::<PyType>()?.unbind())
}
