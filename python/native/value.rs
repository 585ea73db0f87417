//! What the cache stores for Python: an object, and how it is handed out.
//!
//! With `copy="auto"` no caller can damage the cache: builtin containers are copied when they are stored
//! and again for each caller; everything else is shared. The copy keeps the structure: an object that
//! occurs twice in the original is one object in the copy, and cycles stay cycles.

use std::collections::{HashMap, HashSet};

use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

use crate::codec::{Encoded, encode_for_copies};
use crate::errors::Class;
use crate::imported::Imported;

/// Deepest nesting of containers that is copied.
const MAX_DEPTH: u32 = 500;

/// How many named tuples, nested in one, are looked at: there may be no end to them.
const MAX_NAMED_TUPLES: u32 = 200;

/// How a stored object is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyMode {
    /// Builtin containers are copied, everything else is shared.
    Auto,
    /// Every caller gets the same object.
    Share,
    /// `copy.deepcopy` for every caller.
    Deep,
}

impl CopyMode {
    /// As stored values say it.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Auto => 0,
            Self::Share => 1,
            Self::Deep => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Auto),
            1 => Some(Self::Share),
            2 => Some(Self::Deep),
            _ => None,
        }
    }

    pub(crate) fn parse(name: &str) -> PyResult<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "share" => Ok(Self::Share),
            "deep" => Ok(Self::Deep),
            other => Err(PyValueError::new_err(format!(
                "copy must be \"auto\", \"share\" or \"deep\", not {other:?}"
            ))),
        }
    }
}

/// A stored object.
#[derive(Debug)]
pub(crate) enum Value {
    /// Every caller gets it.
    Shared(Py<PyAny>),
    /// Every caller gets a copy, made in this way.
    Copied(Py<PyAny>, CopyMode),
    /// Every caller gets what these bytes say: the same as `copy.deepcopy` makes, in less time.
    Bytes(Encoded),
}

impl Value {
    /// Takes an object into the cache. The caller keeps its own: a container is copied here.
    pub(crate) fn store(object: &Bound<'_, PyAny>, mode: CopyMode) -> PyResult<Self> {
        refuse_one_shot(object)?;
        if !needs_copies(object, mode)? {
            return Ok(Self::Shared(object.clone().unbind()));
        }
        if mode == CopyMode::Deep
            && let Some(encoded) = encode_for_copies(object)?
        {
            return Ok(Self::Bytes(encoded));
        }
        Ok(Self::Copied(copied(object, mode)?.unbind(), mode))
    }

    /// Takes an object into the cache that nobody else has.
    pub(crate) fn adopt(object: Bound<'_, PyAny>, mode: CopyMode) -> PyResult<Self> {
        let is_copied = needs_copies(&object, mode)?;
        let object = object.unbind();
        Ok(if is_copied { Self::Copied(object, mode) } else { Self::Shared(object) })
    }

    /// How it is handed out.
    pub(crate) fn mode(&self) -> CopyMode {
        match self {
            Self::Shared(_) => CopyMode::Share,
            Self::Copied(_, mode) => *mode,
            Self::Bytes(_) => CopyMode::Deep,
        }
    }

    /// The object itself, if every caller may have it.
    #[inline]
    pub(crate) fn shared(&self) -> Option<&Py<PyAny>> {
        if let Self::Shared(object) = self { Some(object) } else { None }
    }

    /// The object for a caller.
    pub(crate) fn hand_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Shared(object) => Ok(object.bind(py).clone()),
            Self::Copied(object, mode) => copied(object.bind(py), *mode),
            Self::Bytes(encoded) => encoded.decode(py),
        }
    }
}

fn needs_copies(object: &Bound<'_, PyAny>, mode: CopyMode) -> PyResult<bool> {
    match mode {
        CopyMode::Share => Ok(false),
        CopyMode::Deep => Ok(!is_plain(object)),
        CopyMode::Auto => holds_container(object, &mut HashSet::new(), 0),
    }
}

fn copied<'py>(object: &Bound<'py, PyAny>, mode: CopyMode) -> PyResult<Bound<'py, PyAny>> {
    if mode == CopyMode::Deep {
        return deepcopy(object);
    }
    match copy_flat(object)? {
        Some(flat) => Ok(flat),
        None => Copier::default().copy(object, 0),
    }
}

/// Objects that `copy.deepcopy` returns as they are.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_none()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
}

/// A coroutine, a generator, a file: the second caller would find it used up.
fn refuse_one_shot(object: &Bound<'_, PyAny>) -> PyResult<()> {
    if kind(object) != Kind::Other {
        return Ok(());
    }
    #[expect(unsafe_code, reason = "looking an attribute up would make an exception for each result")]
    // SAFETY: a live object; a type's slots may be read from 3.10 on.
    let (is_iterator, is_awaitable) = unsafe {
        let kind = ffi::Py_TYPE(object.as_ptr());
        let awaits = !ffi::PyType_GetSlot(kind, ffi::Py_am_await).is_null();
        (ffi::PyIter_Check(object.as_ptr()) != 0, awaits)
    };
    let what = if is_awaitable {
        "is awaited only once; make the cached function async, and await it there"
    } else if is_iterator {
        "is read only once; return a list of what it yields"
    } else {
        return Ok(());
    };
    let class = object.get_type();
    Err(Class::Serialization
        .err(format!("a result of type {} cannot be cached: it {what}", class.qualname()?)))
}

fn deepcopy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static DEEPCOPY: Imported = Imported::new("copy", "deepcopy");
    let py = object.py();
    let copied = DEEPCOPY.get(py)?.call1((object,));
    copied.map_err(|error| {
        if error.is_instance_of::<PyRecursionError>(py) {
            return too_deep();
        }
        if !error.is_instance_of::<PyTypeError>(py) {
            return error;
        }
        let class = object.get_type().qualname().map_or_else(|_| "value".to_owned(), |name| name.to_string());
        let explained = Class::Serialization.err(format!(
            "a {class} cannot be copied for each caller ({}); give copy=\"share\" and do not change it",
            error.value(py)
        ));
        explained.set_cause(py, Some(error));
        explained
    })
}

/// What a type is to the copier.
#[derive(PartialEq, Eq)]
enum Kind {
    List,
    Dict,
    Set,
    Bytearray,
    Tuple,
    /// A subclass of a builtin container, such as `OrderedDict`: copied by Python's own rules.
    Derived,
    Other,
}

fn kind(object: &Bound<'_, PyAny>) -> Kind {
    kind_within(object, &mut { MAX_NAMED_TUPLES })
}

fn kind_within(object: &Bound<'_, PyAny>, left: &mut u32) -> Kind {
    #[expect(unsafe_code, reason = "comparing type pointers")]
    // SAFETY: the types are static and `object` is alive.
    unsafe {
        let kind = ffi::Py_TYPE(object.as_ptr());
        if kind == &raw mut ffi::PyUnicode_Type || kind == &raw mut ffi::PyLong_Type {
            return Kind::Other;
        }
        if kind == &raw mut ffi::PyList_Type {
            return Kind::List;
        }
        if kind == &raw mut ffi::PyDict_Type {
            return Kind::Dict;
        }
        if kind == &raw mut ffi::PySet_Type {
            return Kind::Set;
        }
        if kind == &raw mut ffi::PyTuple_Type {
            return Kind::Tuple;
        }
        if kind == &raw mut ffi::PyByteArray_Type {
            return Kind::Bytearray;
        }
    }
    let derived = object.is_instance_of::<PyDict>()
        || object.is_instance_of::<PyList>()
        || object.is_instance_of::<PySet>()
        || object.is_instance_of::<PyByteArray>()
        // A named tuple: to be copied if what it holds has to be, or if there is too much to find out.
        || object.cast::<PyTuple>().is_ok_and(|tuple| {
            let Some(others) = left.checked_sub(1) else { return true };
            *left = others;
            tuple.iter().any(|item| kind_within(&item, left) != Kind::Other)
        });
    if derived { Kind::Derived } else { Kind::Other }
}

/// Must the object be copied? Only a tuple needs a look inside. `seen` holds the addresses of inner tuples
/// that were looked at, so that one that occurs many times is looked at once.
fn holds_container(object: &Bound<'_, PyAny>, seen: &mut HashSet<usize>, depth: u32) -> PyResult<bool> {
    match kind(object) {
        Kind::Other => Ok(false),
        Kind::Tuple => {
            check_depth(depth)?;
            if depth > 0 && !seen.insert(object.as_ptr() as usize) {
                return Ok(false);
            }
            for item in object.cast::<PyTuple>()?.iter() {
                if holds_container(&item, seen, depth + 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(true),
    }
}

fn check_depth(depth: u32) -> PyResult<()> {
    if depth < MAX_DEPTH { Ok(()) } else { Err(too_deep()) }
}

fn too_deep() -> PyErr {
    PyRecursionError::new_err(format!(
        "the value is nested more than {MAX_DEPTH} levels deep; give copy=\"share\" and do not change it"
    ))
}

/// Copies a list, dict, set or bytearray that holds no container: no bookkeeping is needed for it.
fn copy_flat<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let is_leaf = |item: &Bound<'py, PyAny>| kind(item) == Kind::Other;
    Ok(match kind(object) {
        Kind::List => {
            let list = object.cast::<PyList>()?;
            if !list.iter().all(|item| is_leaf(&item)) {
                return Ok(None);
            }
            Some(list.get_slice(0, list.len()).into_any())
        }
        Kind::Dict => {
            let dict = object.cast::<PyDict>()?;
            if !dict.iter().all(|(_, value)| is_leaf(&value)) {
                return Ok(None);
            }
            Some(dict.copy()?.into_any())
        }
        // Members are hashable, so none is a container that could change. The set copies itself without
        // asking them for their hashes, which could run foreign code.
        Kind::Set => Some(object.py().get_type::<PySet>().call1((object,))?),
        Kind::Bytearray => Some(PyByteArray::from(object)?.into_any()),
        _ => None,
    })
}

/// Copies nested containers; remembers what it copied, by identity.
#[derive(Default)]
struct Copier<'py> {
    /// Originals and their copies. The originals are kept alive, so that no address is used twice.
    copied: HashMap<usize, [Bound<'py, PyAny>; 2]>,
}

impl<'py> Copier<'py> {
    fn copy(&mut self, object: &Bound<'py, PyAny>, depth: u32) -> PyResult<Bound<'py, PyAny>> {
        let kind = kind(object);
        if kind == Kind::Other {
            return Ok(object.clone());
        }
        if let Some(copy) = self.known(object) {
            return Ok(copy);
        }
        check_depth(depth)?;
        match kind {
            Kind::List => {
                let copy = PyList::empty(object.py());
                self.keep(object, copy.clone().into_any());
                for item in object.cast::<PyList>()?.iter() {
                    copy.append(self.copy(&item, depth + 1)?)?;
                }
                Ok(copy.into_any())
            }
            Kind::Dict => {
                let copy = PyDict::new(object.py());
                self.keep(object, copy.clone().into_any());
                // All of them first: copying one may run foreign code, which may change the dictionary.
                let pairs: Vec<_> = object.cast::<PyDict>()?.iter().collect();
                for (key, value) in pairs {
                    copy.set_item(key, self.copy(&value, depth + 1)?)?;
                }
                Ok(copy.into_any())
            }
            Kind::Tuple => {
                let mut items = Vec::new();
                let mut same = true;
                for item in object.cast::<PyTuple>()?.iter() {
                    let copy = self.copy(&item, depth + 1)?;
                    same &= copy.is(&item);
                    items.push(copy);
                }
                // A cycle through a tuple has copied it meanwhile.
                if let Some(copy) = self.known(object) {
                    return Ok(copy);
                }
                let copy = if same { object.clone() } else { PyTuple::new(object.py(), items)?.into_any() };
                Ok(self.keep(object, copy))
            }
            Kind::Other => Ok(object.clone()),
            Kind::Derived => {
                let copy = deepcopy(object)?;
                Ok(self.keep(object, copy))
            }
            Kind::Set | Kind::Bytearray => {
                let flat = copy_flat(object)?.unwrap_or_else(|| object.clone());
                Ok(self.keep(object, flat))
            }
        }
    }

    fn known(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.copied.get(&(object.as_ptr() as usize)).map(|[_, copy]| copy.clone())
    }

    fn keep(&mut self, object: &Bound<'py, PyAny>, copy: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        self.copied.insert(object.as_ptr() as usize, [object.clone(), copy.clone()]);
        copy
    }
}
