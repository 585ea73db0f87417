//! `MessagePack` as an object.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple, PyType,
};
use rmp::Marker;

use super::fail::{Fail, Result, Segment};
use super::{MAX_DEPTH, ext};
use crate::imported::Imported;

/// Most items for which room is made before they are seen. Containers that claim more grow.
const MAX_RESERVED: usize = 64;
/// Keys of dictionaries that are remembered, since records in a list have the same ones. A power of two.
const KEYS: usize = 64;
/// Longest key that is remembered.
const MAX_KEY_BYTES: usize = 32;
/// Shorter values hardly repeat their keys.
const REMEMBER_ABOVE: usize = 512;

/// A class that the bytes name.
struct Class<'py> {
    made: Bound<'py, PyType>,
    code: i8,
    fields: Bound<'py, PyTuple>,
    /// Python code that makes an object of its parts; `None` when they are its fields.
    make: Option<Bound<'py, PyAny>>,
}

type Key<'a, 'py> = Option<(&'a [u8], Bound<'py, PyString>)>;

pub(super) struct Decoder<'a, 'py> {
    py: Python<'py>,
    /// What is left to read.
    bytes: &'a [u8],
    classes: Vec<Class<'py>>,
    /// Classes by name that come before those of the registry.
    known: Option<&'a Bound<'py, PyDict>>,
    keys: Vec<Key<'a, 'py>>,
}

impl<'a, 'py> Decoder<'a, 'py> {
    pub(super) fn new(py: Python<'py>, bytes: &'a [u8], known: Option<&'a Bound<'py, PyDict>>) -> Self {
        let keys = if bytes.len() > REMEMBER_ABOVE { vec![None; KEYS] } else { Vec::new() };
        Self { py, bytes, classes: Vec::new(), known, keys }
    }

    /// The value; nothing may follow it.
    pub(super) fn decode(mut self) -> PyResult<Bound<'py, PyAny>> {
        let decoded = self.value(0).and_then(|value| match self.bytes.len() {
            0 => Ok(value),
            more => Err(Fail::refused(format!("{more} bytes follow the value"))),
        });
        decoded.map_err(|fail| fail.into_error(self.py, "decode"))
    }

    fn value(&mut self, depth: u32) -> Result<Bound<'py, PyAny>> {
        let py = self.py;
        let marker = Marker::from_u8(self.byte()?);
        Ok(match marker {
            Marker::FixPos(number) => int(py, i64::from(number)),
            Marker::FixNeg(number) => int(py, i64::from(number)),
            Marker::FixStr(length) => self.text(usize::from(length))?,
            Marker::FixMap(count) => self.dict(usize::from(count), depth)?,
            Marker::FixArray(count) => self.list(usize::from(count), depth)?,
            Marker::Null => py.None().into_bound(py),
            Marker::True => PyBool::new(py, true).to_owned().into_any(),
            Marker::False => PyBool::new(py, false).to_owned().into_any(),
            Marker::F64 => PyFloat::new(py, f64::from_be_bytes(self.array()?)).into_any(),
            Marker::U8 => int(py, i64::from(self.byte()?)),
            Marker::U16 => int(py, i64::from(u16::from_be_bytes(self.array()?))),
            Marker::U32 => int(py, i64::from(u32::from_be_bytes(self.array()?))),
            Marker::U64 => self.u64()?,
            Marker::I8 => int(py, i64::from(self.byte()?.cast_signed())),
            Marker::I16 => int(py, i64::from(i16::from_be_bytes(self.array()?))),
            Marker::I32 => int(py, i64::from(i32::from_be_bytes(self.array()?))),
            Marker::I64 => int(py, i64::from_be_bytes(self.array()?)),
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let length = self.length(marker)?;
                self.text(length)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = self.length(marker)?;
                PyBytes::new(py, self.take(length)?).into_any()
            }
            Marker::Array16 | Marker::Array32 => {
                let count = self.length(marker)?;
                self.list(count, depth)?
            }
            Marker::Map16 | Marker::Map32 => {
                let count = self.length(marker)?;
                self.dict(count, depth)?
            }
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let length = self.length(marker)?;
                self.extension(length, depth)?
            }
            _ => return Err(malformed()),
        })
    }

    #[inline(never)]
    fn u64(&mut self) -> Result<Bound<'py, PyAny>> {
        Ok(u64::from_be_bytes(self.array()?).into_pyobject(self.py).map_err(PyErr::from)?.into_any())
    }

    fn text(&mut self, length: usize) -> Result<Bound<'py, PyAny>> {
        let text = str::from_utf8(self.take(length)?).map_err(|_| malformed())?;
        Ok(PyString::new(self.py, text).into_any())
    }

    #[inline(never)]
    fn list(&mut self, count: usize, depth: u32) -> Result<Bound<'py, PyAny>> {
        let items = self.items(count, depth)?;
        Ok(PyList::new(self.py, items)?.into_any())
    }

    fn items(&mut self, count: usize, depth: u32) -> Result<Vec<Bound<'py, PyAny>>> {
        let depth = self.enter(count, depth)?;
        let mut items = Vec::with_capacity(count.min(MAX_RESERVED));
        for index in 0..count {
            items.push(self.value(depth).map_err(|fail| fail.within(Segment::Index(index)))?);
        }
        Ok(items)
    }

    #[inline(never)]
    fn dict(&mut self, count: usize, depth: u32) -> Result<Bound<'py, PyAny>> {
        let depth = self.enter(count, depth)?;
        let dict = PyDict::new(self.py);
        for _ in 0..count {
            let key = self.key(depth)?;
            let inside = |fail: Fail| fail.within(Segment::Key(key.clone().unbind()));
            let value = self.value(depth).map_err(inside)?;
            dict.set_item(&key, value).map_err(|error| inside(error.into()))?;
        }
        if dict.len() == count { Ok(dict.into_any()) } else { Err(Fail::refused("a key occurs twice")) }
    }

    /// The key of a dictionary.
    #[inline(never)]
    fn key(&mut self, depth: u32) -> Result<Bound<'py, PyAny>> {
        let length = match self.bytes.first().map(|byte| Marker::from_u8(*byte)) {
            Some(Marker::FixStr(length)) if !self.keys.is_empty() => usize::from(length),
            _ => return self.value(depth),
        };
        let Some(bytes) = self.bytes.get(1..=length).filter(|_| length <= MAX_KEY_BYTES) else {
            return self.value(depth);
        };
        let ends = bytes.first().copied().zip(bytes.last().copied()).unwrap_or_default();
        let slot = usize::from(ends.0).wrapping_mul(31).wrapping_add(usize::from(ends.1)) + 7 * length;
        let slot = slot % KEYS;
        if let Some((known, key)) = &self.keys[slot]
            && *known == bytes
        {
            self.bytes = &self.bytes[length + 1..];
            return Ok(key.clone().into_any());
        }
        let key = self.value(depth)?;
        if let Ok(text) = key.cast::<PyString>() {
            self.keys[slot] = Some((bytes, text.clone()));
        }
        Ok(key)
    }

    /// Begins a container of `count` items, each of which takes at least a byte.
    fn enter(&self, count: usize, depth: u32) -> Result<u32> {
        if depth >= MAX_DEPTH {
            let message = format!("it is nested more than {MAX_DEPTH} levels deep");
            return Err(Fail::refused_at(message, 3));
        }
        if count > self.bytes.len() { Err(truncated()) } else { Ok(depth + 1) }
    }

    /// Reads an extension type: what is in it, and no more.
    #[inline(never)]
    fn extension(&mut self, length: usize, depth: u32) -> Result<Bound<'py, PyAny>> {
        let code = self.byte()?.cast_signed();
        let content = self.take(length)?;
        if let Some(flat) = self.flat(code, content)? {
            return Ok(flat);
        }
        let after = std::mem::replace(&mut self.bytes, content);
        let made = match code {
            ext::TUPLE | ext::SET | ext::FROZENSET => self.collection(code, depth),
            _ if ext::is_named(code) => self.object(code, depth),
            _ => self.described(code, depth),
        }?;
        if !self.bytes.is_empty() {
            return Err(malformed());
        }
        self.bytes = after;
        Ok(made)
    }

    /// Makes the builtin types that hold no other objects.
    #[inline(never)]
    fn flat(&self, code: i8, content: &[u8]) -> Result<Option<Bound<'py, PyAny>>> {
        let py = self.py;
        Ok(Some(match code {
            ext::BYTEARRAY => PyByteArray::new(py, content).into_any(),
            ext::COMPLEX => {
                let (real, imag) = content.split_first_chunk::<8>().ok_or_else(malformed)?;
                let imag: [u8; 8] = imag.try_into().map_err(|_| malformed())?;
                PyComplex::from_doubles(py, f64::from_be_bytes(*real), f64::from_be_bytes(imag)).into_any()
            }
            ext::BIG_INT => {
                let signed = PyDict::new(py);
                signed.set_item("signed", true)?;
                let bytes = PyBytes::new(py, content);
                py.get_type::<PyInt>().call_method("from_bytes", (bytes, "little"), Some(&signed))?
            }
            ext::SURROGATES => {
                let bytes = PyBytes::new(py, content);
                bytes.call_method1(intern!(py, "decode"), ("utf-8", "surrogatepass"))?
            }
            _ => return Ok(None),
        }))
    }

    /// The values up to the end of this extension.
    fn rest(&mut self, depth: u32, segment: impl Fn(usize) -> Segment) -> Result<Vec<Bound<'py, PyAny>>> {
        let depth = self.enter(0, depth)?;
        let mut parts = Vec::new();
        while !self.bytes.is_empty() {
            parts.push(self.value(depth).map_err(|fail| fail.within(segment(parts.len())))?);
        }
        Ok(parts)
    }

    #[inline(never)]
    fn collection(&mut self, code: i8, depth: u32) -> Result<Bound<'py, PyAny>> {
        if code == ext::TUPLE {
            let items = self.rest(depth, Segment::Index)?;
            return Ok(PyTuple::new(self.py, items)?.into_any());
        }
        let members = self.rest(depth, |_| Segment::Member)?;
        let count = members.len();
        let set = match code {
            ext::SET => PySet::new(self.py, members)?.into_any(),
            _ => PyFrozenSet::new(self.py, members)?.into_any(),
        };
        if set.len()? == count { Ok(set) } else { Err(Fail::refused("a member occurs twice")) }
    }

    /// A value of a type that Python code makes.
    #[inline(never)]
    fn described(&mut self, code: i8, depth: u32) -> Result<Bound<'py, PyAny>> {
        static MAKE: Imported = Imported::new("zoocache._values", "make");
        if code < ext::FIRST_DESCRIBED {
            return Err(malformed());
        }
        let parts = self.rest(depth, |_| Segment::Through)?;
        Ok(MAKE.get(self.py)?.call1((code, PyTuple::new(self.py, parts)?))?)
    }

    /// An object of a class that is named.
    #[inline(never)]
    fn object(&mut self, code: i8, depth: u32) -> Result<Bound<'py, PyAny>> {
        let number = self.class(code)?;
        let fields = self.classes[number].fields.clone();
        if self.classes[number].make.is_none() {
            return self.record(number, &fields, depth);
        }
        let parts = self.rest(depth, |index| attribute(&fields, index))?;
        let parts = PyTuple::new(self.py, parts)?;
        let class = &self.classes[number];
        match &class.make {
            Some(make) => Ok(make.call1((&class.made, parts))?),
            None => Err(malformed()),
        }
    }

    /// An object that is nothing but its fields. Neither `__init__` nor any other method runs.
    #[inline(never)]
    fn record(
        &mut self,
        number: usize,
        fields: &Bound<'py, PyTuple>,
        depth: u32,
    ) -> Result<Bound<'py, PyAny>> {
        static NEW: Imported = Imported::new("zoocache._shapes", "new");
        let depth = self.enter(fields.len(), depth)?;
        let object = NEW.get(self.py)?.call1((&self.classes[number].made,))?;
        for (index, name) in fields.iter().enumerate() {
            if self.bytes.starts_with(&[0xC7, 0, ext::ABSENT.cast_unsigned()]) {
                self.bytes = &self.bytes[3..];
                continue;
            }
            let part = self.value(depth).map_err(|fail| fail.within(attribute(fields, index)))?;
            set_plain_attribute(&object, &name, &part)?;
        }
        Ok(object)
    }

    /// Reads which class: its name and fields the first time, later its number.
    #[inline(never)]
    fn class(&mut self, code: i8) -> Result<usize> {
        static RESOLVE: Imported = Imported::new("zoocache._registry", "resolve");
        let first = self.value(MAX_DEPTH)?;
        if let Ok(number) = first.extract::<usize>() {
            return match self.classes.get(number) {
                Some(class) if class.code == code => Ok(number),
                _ => Err(malformed()),
            };
        }
        let name = first.cast_into::<PyString>().map_err(|_| malformed())?;
        let count = match Marker::from_u8(self.byte()?) {
            Marker::FixArray(count) => usize::from(count),
            marker @ (Marker::Array16 | Marker::Array32) => self.length(marker)?,
            _ => return Err(malformed()),
        };
        // Scalars only: nothing may be nested at this depth.
        let fields = self.items(count, MAX_DEPTH - 1)?;
        let fields = PyTuple::new(self.py, fields)?;
        let known = self.known;
        let resolved = RESOLVE.get(self.py)?.call1((code, name, fields, known))?;
        let (class, fields, make) = resolved.extract()?;
        self.classes.push(Class { made: class, code, fields, make });
        Ok(self.classes.len() - 1)
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.bytes.split_first().ok_or_else(truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The length that follows such a marker.
    fn length(&mut self, marker: Marker) -> Result<usize> {
        Ok(match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => usize::from(self.byte()?),
            Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => {
                usize::from(u16::from_be_bytes(self.array()?))
            }
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }
}

fn int(py: Python<'_>, number: i64) -> Bound<'_, PyAny> {
    PyInt::new(py, number).into_any()
}

fn attribute(fields: &Bound<'_, PyTuple>, index: usize) -> Segment {
    let name = fields.get_item(index).ok().and_then(|name| name.cast_into::<PyString>().ok());
    name.map_or(Segment::Through, |name| Segment::Attribute(name.unbind()))
}

/// Sets an attribute as `object` does, whatever the class says about it.
fn set_plain_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if !name.is_exact_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("the name of a field is no text"));
    }
    #[expect(unsafe_code, reason = "PyO3 has no `object.__setattr__`")]
    // SAFETY: live objects, and a name that is a text.
    let done = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
}

#[cold]
fn truncated() -> Fail {
    Fail::refused("the bytes end early")
}

#[cold]
fn malformed() -> Fail {
    Fail::refused("the bytes are damaged, or of another version of zoocache")
}
