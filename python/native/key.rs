//! A Python value as part of a key.
//!
//! Keys are readable text: a call of `app.views.product(42, 'a')` has the key `app.views.product(42,'a')`.
//! The encoding is injective: different types and different values never give the same text, which is
//! why strings are quoted and escaped and every other type carries its name. Two keys are equal exactly
//! when their bytes are equal; no hash takes part in that.
//!
//! The common types are encoded here without allocation. The others are described by Python code
//! (`zoocache._keys.describe`) as a name and a simpler value, which is then encoded here.

use std::os::raw::c_int;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType};
use smallvec::SmallVec;
use zoocache::lock::Mutex;

use crate::imported::Imported;

/// Classes with a `__zoocache_key__` that are remembered; those beyond are looked up each time.
const MAX_CUSTOM_CLASSES: usize = 64;

/// The bytes of a key. Most keys fit without an allocation.
pub(crate) type KeyBuffer = SmallVec<[u8; 192]>;

/// Deepest nesting of containers inside an argument.
const MAX_DEPTH: u32 = 64;
/// Longest key in bytes. Longer arguments are data, not identity.
const MAX_KEY_BYTES: usize = 1 << 20;

/// How far the encoding of an argument has come.
#[derive(Clone, Copy)]
struct Progress {
    /// Containers around this value.
    depth: u32,
    /// Bytes of this key that are in other buffers: parts of unordered containers wait there to be sorted.
    elsewhere: usize,
    /// Do equal values of different types differ?
    typed: bool,
}

impl Progress {
    fn start(typed: bool) -> Self {
        Self { depth: 0, elsewhere: 0, typed }
    }

    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    /// Is there room for `more` bytes behind those in `out`?
    fn check_room(self, out: &KeyBuffer, more: usize) -> PyResult<()> {
        if self.elsewhere.saturating_add(out.len()).saturating_add(more) <= MAX_KEY_BYTES {
            return Ok(());
        }
        Err(too_long())
    }
}

#[cold]
fn too_long() -> PyErr {
    PyValueError::new_err(format!(
        "the key would be longer than {MAX_KEY_BYTES} bytes; pass something short that identifies it (such \
         as an id or a digest), or leave the argument out of the key with ignore=(\"name\",)"
    ))
}

/// Appends the encoding of `value`. Unless `typed`, values that are equal though of different types have one
/// encoding: that of the integer, of the plain container, and so on.
///
/// # Errors
/// `ValueError` for a value without a stable encoding, one nested too deeply, or one too long.
#[inline]
pub(crate) fn encode(value: &Bound<'_, PyAny>, out: &mut KeyBuffer, typed: bool) -> PyResult<()> {
    if !encode_scalar(value, out, typed) {
        encode_nested(value, out, Progress::start(typed))?;
    }
    if out.len() <= MAX_KEY_BYTES { Ok(()) } else { Err(too_long()) }
}

/// Encodes `int` (of 64 bits), `str` that may fit, `bool` and `None`; answers `false` for everything else.
#[inline]
fn encode_scalar(value: &Bound<'_, PyAny>, out: &mut KeyBuffer, typed: bool) -> bool {
    let object = value.as_ptr();
    #[expect(
        unsafe_code,
        reason = "type checks and conversions of the hot path, without PyO3's error objects"
    )]
    // SAFETY: `object` is a live Python object and we are attached to the interpreter. The conversions
    // are called only on exact `int` and `str`, for which they run no foreign code.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyLong_Type {
            let mut overflow: c_int = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow != 0 {
                return false;
            }
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            true
        } else if kind == &raw mut ffi::PyUnicode_Type {
            let mut length: ffi::Py_ssize_t = 0;
            let text = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut length);
            if text.is_null() {
                // Lone surrogates: the slow path spells them out.
                ffi::PyErr_Clear();
                return false;
            }
            let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length.cast_unsigned());
            if bytes.len() > MAX_KEY_BYTES {
                return false;
            }
            quote(bytes, out);
            true
        } else if object == ffi::Py_None() {
            out.extend_from_slice(b"None");
            true
        } else if object == ffi::Py_True() {
            out.extend_from_slice(if typed { b"True".as_slice() } else { b"1" });
            true
        } else if object == ffi::Py_False() {
            out.extend_from_slice(if typed { b"False".as_slice() } else { b"0" });
            true
        } else {
            false
        }
    }
}

/// Appends `'text'` with quotes and backslashes escaped: the only two bytes that could end it early.
#[inline]
fn quote(text: &[u8], out: &mut KeyBuffer) {
    out.push(b'\'');
    if text.iter().any(|byte| matches!(byte, b'\'' | b'\\')) {
        for byte in text {
            if matches!(byte, b'\'' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'\'');
}

/// Appends `b'bytes'`; everything but printable ASCII is escaped, so that keys stay text.
fn quote_bytes(bytes: &[u8], out: &mut KeyBuffer) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"b'");
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\') {
            out.push(*byte);
        } else {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&digits);
        }
    }
    out.push(b'\'');
}

fn encode_nested(value: &Bound<'_, PyAny>, out: &mut KeyBuffer, progress: Progress) -> PyResult<()> {
    progress.check_room(out, 0)?;
    if encode_scalar(value, out, progress.typed) {
        return Ok(());
    }
    if progress.depth >= MAX_DEPTH {
        return Err(PyValueError::new_err(format!(
            "it is nested more than {MAX_DEPTH} levels deep (or contains itself)"
        )));
    }
    let kind = value.get_type();
    let py = value.py();
    if kind.is(py.get_type::<pyo3::types::PyInt>()) {
        // Hexadecimal: decimal text of huge integers is quadratic, and limited by the interpreter.
        let bits: usize = value.call_method0("bit_length")?.extract()?;
        progress.check_room(out, bits / 4)?;
        let text = value.call_method1("__format__", ("x",))?;
        out.extend_from_slice(b"0x");
        out.extend_from_slice(text.cast::<PyString>()?.to_str()?.as_bytes());
        Ok(())
    } else if kind.is(py.get_type::<pyo3::types::PyFloat>()) {
        let number: f64 = value.extract()?;
        if !progress.typed && number.is_finite() {
            // Equal to an integer or a fraction.
            return encode_described(value, out, progress);
        }
        out.extend_from_slice(ryu::Buffer::new().format(number).as_bytes());
        Ok(())
    } else if kind.is(py.get_type::<PyTuple>()) {
        encode_items(value.cast::<PyTuple>()?.iter(), Brackets(b'(', b')'), out, progress)
    } else if kind.is(py.get_type::<PyList>()) {
        encode_items(value.cast::<PyList>()?.iter(), Brackets(b'[', b']'), out, progress)
    } else if kind.is(py.get_type::<PyDict>()) {
        encode_dict(value.cast::<PyDict>()?, out, progress)
    } else if kind.is(py.get_type::<PySet>()) {
        encode_set(b"set", value.cast::<PySet>()?.iter(), out, progress)
    } else if kind.is(py.get_type::<PyFrozenSet>()) {
        let name: &[u8] = if progress.typed { b"frozenset" } else { b"set" };
        encode_set(name, value.cast::<PyFrozenSet>()?.iter(), out, progress)
    } else if kind.is(py.get_type::<PyBytes>()) {
        let bytes = value.cast::<PyBytes>()?.as_bytes();
        progress.check_room(out, bytes.len())?;
        quote_bytes(bytes, out);
        Ok(())
    } else {
        if kind.is(py.get_type::<PyString>()) {
            // Too long, or with lone surrogates.
            progress.check_room(out, value.len()?)?;
        }
        encode_described(value, out, progress)
    }
}

#[derive(Clone, Copy)]
struct Brackets(u8, u8);

fn encode_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    brackets: Brackets,
    out: &mut KeyBuffer,
    progress: Progress,
) -> PyResult<()> {
    out.push(brackets.0);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode_nested(&item, out, progress.deeper())?;
    }
    out.push(brackets.1);
    Ok(())
}

/// Dictionaries with equal items are equal, in whatever order they were filled.
fn encode_dict(dict: &Bound<'_, PyDict>, out: &mut KeyBuffer, progress: Progress) -> PyResult<()> {
    let mut parts = Parts::new(out, progress);
    // All of them first: describing one may run foreign code, which may change the dictionary.
    let pairs: Vec<_> = dict.iter().collect();
    for (key, value) in pairs {
        parts.push(|part, progress| {
            encode_nested(&key, part, progress)?;
            part.push(b':');
            encode_nested(&value, part, progress)
        })?;
    }
    write_sorted(parts.parts, Brackets(b'{', b'}'), out);
    Ok(())
}

fn encode_set<'py>(
    name: &[u8],
    members: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut KeyBuffer,
    progress: Progress,
) -> PyResult<()> {
    let mut parts = Parts::new(out, progress);
    let members: Vec<_> = members.collect();
    for member in members {
        parts.push(|part, progress| encode_nested(&member, part, progress))?;
    }
    out.extend_from_slice(name);
    write_sorted(parts.parts, Brackets(b'{', b'}'), out);
    Ok(())
}

/// The encoded parts of an unordered container, which count as bytes of the key.
struct Parts {
    parts: Vec<KeyBuffer>,
    progress: Progress,
}

impl Parts {
    fn new(out: &KeyBuffer, progress: Progress) -> Self {
        let mut progress = progress.deeper();
        progress.elsewhere += out.len();
        Self { parts: Vec::new(), progress }
    }

    fn push(&mut self, write: impl FnOnce(&mut KeyBuffer, Progress) -> PyResult<()>) -> PyResult<()> {
        let mut part = KeyBuffer::new();
        write(&mut part, self.progress)?;
        self.progress.elsewhere += part.len() + 1;
        self.parts.push(part);
        Ok(())
    }
}

fn write_sorted(mut items: Vec<KeyBuffer>, brackets: Brackets, out: &mut KeyBuffer) {
    items.sort_unstable();
    out.push(brackets.0);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.push(brackets.1);
}

/// `Name<simpler value>`, as `zoocache._keys.describe` says.
fn encode_described(value: &Bound<'_, PyAny>, out: &mut KeyBuffer, progress: Progress) -> PyResult<()> {
    static DESCRIBE: Imported = Imported::new("zoocache._keys", "describe");
    static PLAIN: Imported = Imported::new("zoocache._keys", "plain");
    if let Some((class, key)) = custom_key(value)? {
        return class.encode_at(&key_of(&key, value)?, out, progress);
    }
    if !progress.typed {
        let plain = PLAIN.get(value.py())?.call1((value,))?;
        if !plain.is(value) {
            return encode_nested(&plain, out, progress.deeper());
        }
    }
    let described = DESCRIBE.get(value.py())?.call1((value,))?;
    let (name, simpler): (String, Bound<'_, PyAny>) = described.extract()?;
    write_named(&name, &simpler, out, progress)
}

/// Appends `name<value>`. A name that could be taken for something else is quoted.
fn write_named(
    name: &str,
    value: &Bound<'_, PyAny>,
    out: &mut KeyBuffer,
    progress: Progress,
) -> PyResult<()> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'#' | 0x80..)) {
        out.extend_from_slice(name.as_bytes());
    } else {
        quote(name.as_bytes(), out);
    }
    out.push(b'<');
    encode_nested(value, out, progress.deeper())?;
    out.push(b'>');
    Ok(())
}

/// A class whose objects say themselves what identifies them.
pub(crate) struct CustomKey {
    /// Kept alive, so that its address means this class for ever.
    class: Py<PyType>,
    name: String,
}

/// What stands for an object with a `__zoocache_key__`: its class and that key.
pub(crate) fn subject<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<(&'static CustomKey, Bound<'py, PyAny>)>> {
    match custom_key(value)? {
        Some((Known::Shared(class), key)) => Ok(Some((class, key_of(&key, value)?))),
        _ => Ok(None),
    }
}

enum Known {
    Shared(&'static CustomKey),
    Owned(Box<CustomKey>),
}

impl std::ops::Deref for Known {
    type Target = CustomKey;

    fn deref(&self) -> &CustomKey {
        match self {
            Self::Shared(known) => known,
            Self::Owned(known) => known,
        }
    }
}

impl CustomKey {
    /// Appends the encoding of an object of this class whose key is `key`.
    pub(crate) fn encode(&self, key: &Bound<'_, PyAny>, out: &mut KeyBuffer, typed: bool) -> PyResult<()> {
        self.encode_at(key, out, Progress::start(typed))
    }

    fn encode_at(&self, key: &Bound<'_, PyAny>, out: &mut KeyBuffer, progress: Progress) -> PyResult<()> {
        write_named(&self.name, key, out, progress)
    }
}

/// Calls a class's `__zoocache_key__` on an object.
fn key_of<'py>(key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    #[expect(unsafe_code, reason = "calls without the tuple that `call1` packs")]
    // SAFETY: live objects, and the null that ends the arguments; the result is a new reference.
    unsafe {
        let end = std::ptr::null_mut::<ffi::PyObject>();
        let key = ffi::PyObject_CallFunctionObjArgs(key.as_ptr(), value.as_ptr(), end);
        Bound::from_owned_ptr_or_err(value.py(), key)
    }
}

/// The value's class and its `__zoocache_key__`, if it has one. That is looked up each time, as methods are.
fn custom_key<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(Known, Bound<'py, PyAny>)>> {
    static KNOWN: Mutex<Vec<&'static CustomKey>> = Mutex::new(Vec::new());
    let class = value.get_type();
    let Some(key) = class.getattr_opt(intern!(value.py(), "__zoocache_key__"))? else { return Ok(None) };
    if let Some(known) = KNOWN.lock().iter().find(|known| known.class.is(&class)) {
        return Ok(Some((Known::Shared(known), key)));
    }
    let name = value.py().import("zoocache._keys")?.call_method1("class_name", (&class,))?.extract()?;
    let custom = Box::new(CustomKey { class: class.unbind(), name });
    let mut known = KNOWN.lock();
    if known.len() >= MAX_CUSTOM_CLASSES {
        return Ok(Some((Known::Owned(custom), key)));
    }
    // Remembered for the life of the process, at most `MAX_CUSTOM_CLASSES` of them.
    let custom: &'static CustomKey = Box::leak(custom);
    known.push(custom);
    Ok(Some((Known::Shared(custom), key)))
}
