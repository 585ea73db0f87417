//! An object as `MessagePack`.

use std::collections::HashMap;
use std::os::raw::c_int;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyComplex, PyComplexMethods, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple, PyType,
};
use rmp::encode::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_sint, write_str,
    write_uint,
};
use zoocache::codec::MAX_VALUE_BYTES;

use super::fail::{Fail, Result, Segment};
use super::{Encoded, MAX_DEPTH, ext};
use crate::imported::Imported;

const WRITE: &str = "invariant: writing to memory does not fail";

/// The containers around a value.
struct Within<'a> {
    object: *mut ffi::PyObject,
    depth: u32,
    up: Option<&'a Within<'a>>,
}

/// How objects of a class are taken apart.
struct Shape<'py> {
    class: Bound<'py, PyType>,
    code: i8,
    /// For the classes that are named in the bytes.
    name: Option<Bound<'py, PyString>>,
    fields: Bound<'py, PyTuple>,
    /// Python code that takes an object apart into a tuple; `None` when its fields are its parts.
    take: Option<Bound<'py, PyAny>>,
    /// Refuses an object that holds more than its fields.
    check: Option<Bound<'py, PyAny>>,
}

/// What is noted when the bytes serve to make copies in this process.
#[derive(Default)]
struct Copies<'py> {
    /// Containers that were met, kept alive so that no address is used twice.
    met: HashMap<usize, Bound<'py, PyAny>>,
}

pub(super) struct Encoder<'py> {
    py: Python<'py>,
    out: Vec<u8>,
    /// The shapes of the classes met so far, by the address of the class.
    shapes: HashMap<usize, usize>,
    found: Vec<Shape<'py>>,
    /// How many classes are named in the bytes so far, and under which number.
    named: HashMap<usize, u32>,
    copies: Option<Copies<'py>>,
}

/// Encodes a value to be copied for each caller. `None` if the copies could differ from what
/// `copy.deepcopy` makes: for values that the codec refuses, for those in which an object occurs twice or is
/// not a number, and for classes with their own way of being copied.
pub(crate) fn encode_for_copies(object: &Bound<'_, PyAny>) -> PyResult<Option<Encoded>> {
    static PIN: Imported = Imported::new("zoocache._registry", "pin");
    let py = object.py();
    let mut encoder = Encoder::new(py);
    encoder.copies = Some(Copies::default());
    match encoder.value(object, None) {
        Ok(()) => {}
        Err(fail) => {
            let error = fail.into_error(py, "encode");
            let is_exception = error.is_instance_of::<pyo3::exceptions::PyException>(py);
            return if is_exception { Ok(None) } else { Err(error) };
        }
    }
    let classes = PyDict::new(py);
    for shape in &encoder.found {
        let Some(name) = &shape.name else { continue };
        if classes.contains(name)? {
            return Ok(None);
        }
        classes.set_item(name, PIN.get(py)?.call1((&shape.class,))?)?;
    }
    let copy = Encoded { payload: encoder.out.into_boxed_slice(), classes: classes.unbind() };
    // What cannot be decoded is found out now, not at the first hit.
    Ok(copy.decode(py).is_ok().then_some(copy))
}

impl<'py> Encoder<'py> {
    pub(super) fn new(py: Python<'py>) -> Self {
        Self::after(py, Vec::new())
    }

    /// Writes after what is in `out` already.
    pub(super) fn after(py: Python<'py>, out: Vec<u8>) -> Self {
        Self { py, out, shapes: HashMap::new(), found: Vec::new(), named: HashMap::new(), copies: None }
    }

    /// The bytes of a value.
    pub(super) fn encode(mut self, value: &Bound<'py, PyAny>) -> PyResult<Vec<u8>> {
        match self.value(value, None) {
            Ok(()) => Ok(self.out),
            Err(fail) => Err(fail.into_error(self.py, "encode")),
        }
    }

    fn value(&mut self, value: &Bound<'py, PyAny>, within: Option<&Within<'_>>) -> Result<()> {
        if self.scalar(value) { Ok(()) } else { self.other(value, within) }
    }

    /// Writes `None`, `bool`, `int` of 64 bits, `float` and most `str`; answers `false` for all else.
    #[inline]
    fn scalar(&mut self, value: &Bound<'py, PyAny>) -> bool {
        let object = value.as_ptr();
        #[expect(unsafe_code, reason = "type checks and conversions without PyO3's error objects")]
        // SAFETY: `object` is alive and we are attached. The conversions are called only on the exact
        // types, for which they run no foreign code; the text lives as long as its object.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyUnicode_Type {
                let mut length: ffi::Py_ssize_t = 0;
                let text = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut length);
                if text.is_null() {
                    ffi::PyErr_Clear();
                    return false;
                }
                if length.cast_unsigned() > MAX_VALUE_BYTES {
                    return false;
                }
                let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length.cast_unsigned());
                write_str(&mut self.out, std::str::from_utf8_unchecked(bytes)).expect(WRITE);
            } else if kind == &raw mut ffi::PyLong_Type {
                let mut overflow: c_int = 0;
                let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
                if overflow != 0 {
                    return false;
                }
                write_sint(&mut self.out, number).expect(WRITE);
            } else if kind == &raw mut ffi::PyFloat_Type {
                let number = ffi::PyFloat_AsDouble(object);
                if number.is_nan() && self.copies.is_some() {
                    return false;
                }
                write_f64(&mut self.out, number).expect(WRITE);
            } else if object == ffi::Py_None() {
                write_nil(&mut self.out).expect(WRITE);
            } else if object == ffi::Py_True() {
                write_bool(&mut self.out, true).expect(WRITE);
            } else if object == ffi::Py_False() {
                write_bool(&mut self.out, false).expect(WRITE);
            } else {
                return false;
            }
            true
        }
    }

    fn other(&mut self, value: &Bound<'py, PyAny>, within: Option<&Within<'_>>) -> Result<()> {
        let depth = within.map_or(0, |within| within.depth) + 1;
        if depth > MAX_DEPTH {
            return Err(too_deep(value, within));
        }
        self.check_room(0)?;
        let inner = Within { object: value.as_ptr(), depth, up: within };
        if let Ok(list) = value.cast_exact::<PyList>() {
            self.meet(value)?;
            self.list(list, &inner)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.meet(value)?;
            self.dict(dict, &inner)
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            if !tuple.is_empty() {
                self.meet(value)?;
            }
            self.tuple(tuple, &inner)
        } else if self.flat(value)? {
            Ok(())
        } else if value.is_exact_instance_of::<PySet>() || value.is_exact_instance_of::<PyFrozenSet>() {
            self.meet(value)?;
            self.set(value, &inner)
        } else {
            self.object(value, &inner)
        }
    }

    #[inline(never)]
    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>, within: &Within<'_>) -> Result<()> {
        let start = self.begin_ext(ext::TUPLE);
        for (index, item) in tuple.iter().enumerate() {
            self.value(&item, Some(within)).map_err(|fail| fail.within(Segment::Index(index)))?;
        }
        self.end_ext(start)
    }

    #[inline(never)]
    fn list(&mut self, list: &Bound<'py, PyList>, within: &Within<'_>) -> Result<()> {
        let count = list.len();
        self.count(count, write_array_len)?;
        for index in 0..count {
            // An error if the list became shorter: encoding an item may run foreign code.
            let item = list.get_item(index)?;
            self.value(&item, Some(within)).map_err(|fail| fail.within(Segment::Index(index)))?;
        }
        Ok(())
    }

    #[inline(never)]
    fn dict(&mut self, dict: &Bound<'py, PyDict>, within: &Within<'_>) -> Result<()> {
        // All of them first: encoding one may run foreign code, which may change the dictionary.
        let pairs: Vec<_> = dict.iter().collect();
        self.count(pairs.len(), write_map_len)?;
        for (key, value) in pairs {
            let inside = |fail: Fail| fail.within(Segment::Key(key.clone().unbind()));
            self.value(&key, Some(within)).map_err(inside)?;
            self.value(&value, Some(within)).map_err(inside)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn set(&mut self, set: &Bound<'py, PyAny>, within: &Within<'_>) -> Result<()> {
        let (code, members): (_, Vec<_>) = match set.cast_exact::<PySet>() {
            Ok(set) => (ext::SET, set.iter().collect()),
            Err(_) => (ext::FROZENSET, set.cast::<PyFrozenSet>().map_err(PyErr::from)?.iter().collect()),
        };
        let start = self.begin_ext(code);
        for member in members {
            self.value(&member, Some(within)).map_err(|fail| fail.within(Segment::Member))?;
        }
        self.end_ext(start)
    }

    /// Writes the builtin types that hold no other objects.
    #[inline(never)]
    fn flat(&mut self, value: &Bound<'py, PyAny>) -> Result<bool> {
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.check_room(bytes.as_bytes().len())?;
            write_bin(&mut self.out, bytes.as_bytes()).expect(WRITE);
        } else if let Ok(array) = value.cast_exact::<PyByteArray>() {
            self.meet(value)?;
            self.check_room(array.len())?;
            let start = self.begin_ext(ext::BYTEARRAY);
            self.out.extend_from_slice(&array.to_vec());
            self.end_ext(start)?;
        } else if let Ok(number) = value.cast_exact::<PyComplex>() {
            if number.real().is_nan() || number.imag().is_nan() {
                self.meet_nan()?;
            }
            let start = self.begin_ext(ext::COMPLEX);
            self.out.extend_from_slice(&number.real().to_be_bytes());
            self.out.extend_from_slice(&number.imag().to_be_bytes());
            self.end_ext(start)?;
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.big_int(number)?;
        } else if value.is_exact_instance_of::<PyFloat>() {
            self.meet_nan()?;
        } else if let Ok(text) = value.cast_exact::<PyString>() {
            self.check_room(text.len()?)?;
            let bytes = text.call_method1(intern!(self.py, "encode"), ("utf-8", "surrogatepass"))?;
            let bytes = bytes.cast::<PyBytes>().map_err(PyErr::from)?;
            self.check_room(bytes.as_bytes().len())?;
            let start = self.begin_ext(ext::SURROGATES);
            self.out.extend_from_slice(bytes.as_bytes());
            self.end_ext(start)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    #[inline(never)]
    fn big_int(&mut self, number: &Bound<'py, PyInt>) -> Result<()> {
        if let Ok(number) = number.extract::<u64>() {
            write_uint(&mut self.out, number).expect(WRITE);
            return Ok(());
        }
        let bits: usize = number.call_method0(intern!(self.py, "bit_length"))?.extract()?;
        self.check_room(bits / 8)?;
        let signed = PyDict::new(self.py);
        signed.set_item("signed", true)?;
        let bytes = number.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&signed))?;
        let start = self.begin_ext(ext::BIG_INT);
        self.out.extend_from_slice(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes());
        self.end_ext(start)
    }

    /// Writes an object of any other class.
    #[inline(never)]
    fn object(&mut self, value: &Bound<'py, PyAny>, within: &Within<'_>) -> Result<()> {
        let shape = self.shape_of(value)?;
        if let Some(check) = &self.found[shape].check {
            check.call1((value,))?;
        }
        let start = self.begin_ext(self.found[shape].code);
        if ext::is_named(self.found[shape].code) {
            self.class(shape)?;
        }
        let Some(take) = &self.found[shape].take else {
            return self.fields(value, shape, start, within);
        };
        let parts = take.call1((value,))?;
        let parts = parts.cast::<PyTuple>().map_err(PyErr::from)?;
        let attributes = self.found[shape].fields.clone();
        for (index, part) in parts.iter().enumerate() {
            let segment = |fail: Fail| fail.within(attribute(&attributes, index));
            self.value(&part, Some(within)).map_err(segment)?;
        }
        self.end_ext(start)
    }

    /// Writes the fields of an object that is nothing but them.
    #[inline(never)]
    fn fields(
        &mut self,
        value: &Bound<'py, PyAny>,
        shape: usize,
        start: usize,
        within: &Within<'_>,
    ) -> Result<()> {
        let fields = self.found[shape].fields.clone();
        for (index, name) in fields.iter().enumerate() {
            if let Some(part) = plain_attribute(value, &name)? {
                let inside = |fail: Fail| fail.within(attribute(&fields, index));
                self.value(&part, Some(within)).map_err(inside)?;
            } else {
                let start = self.begin_ext(ext::ABSENT);
                self.end_ext(start)?;
            }
        }
        self.end_ext(start)
    }

    /// Writes which class: its name and fields the first time, then its number.
    #[inline(never)]
    fn class(&mut self, shape: usize) -> Result<()> {
        let next = u32::try_from(self.named.len()).unwrap_or(u32::MAX);
        if let Some(number) = self.named.get(&shape) {
            write_uint(&mut self.out, u64::from(*number)).expect(WRITE);
            return Ok(());
        }
        self.named.insert(shape, next);
        let Some(name) = self.found[shape].name.clone() else {
            return Err(Fail::refused("its class has no name"));
        };
        self.value(name.as_any(), None)?;
        let fields = self.found[shape].fields.clone();
        self.count(fields.len(), write_array_len)?;
        for field in fields.iter() {
            self.value(&field, None)?;
        }
        Ok(())
    }

    /// How objects of this class are taken apart.
    #[inline(never)]
    fn shape_of(&mut self, value: &Bound<'py, PyAny>) -> Result<usize> {
        static SHAPE: Imported = Imported::new("zoocache._registry", "shape_of");
        let class = value.get_type();
        let address = class.as_ptr() as usize;
        if let Some(shape) = self.shapes.get(&address) {
            let shape = *shape;
            self.meet_object(value, shape)?;
            return Ok(shape);
        }
        let is_stored = self.copies.is_none();
        let described = SHAPE.get(self.py)?.call1((&class, is_stored))?;
        let (code, name, fields, take, check, own_copy): (_, _, Bound<'py, PyTuple>, _, _, bool) =
            described.extract()?;
        if own_copy && self.copies.is_some() {
            return Err(Fail::refused("its class has its own way of being copied"));
        }
        self.found.push(Shape { class, code, name, fields, take, check });
        let shape = self.found.len() - 1;
        self.shapes.insert(address, shape);
        self.meet_object(value, shape)?;
        Ok(shape)
    }

    fn meet_object(&mut self, value: &Bound<'py, PyAny>, shape: usize) -> Result<()> {
        let code = self.found[shape].code;
        if code == ext::DECIMAL
            && self.copies.is_some()
            && value.call_method0(intern!(self.py, "is_nan"))?.is_truthy()?
        {
            self.meet_nan()?;
        }
        if code >= ext::FIRST_CHANGEABLE && code != ext::ENUM { self.meet(value) } else { Ok(()) }
    }

    /// Notes an object that must stay one in a copy.
    fn meet(&mut self, value: &Bound<'py, PyAny>) -> Result<()> {
        let Some(copies) = &mut self.copies else { return Ok(()) };
        match copies.met.insert(value.as_ptr() as usize, value.clone()) {
            None => Ok(()),
            Some(_) => Err(Fail::refused("it occurs twice in the value")),
        }
    }

    /// Not a number equals nothing but, in a container, the very same object: copies must hold that one.
    fn meet_nan(&self) -> Result<()> {
        if self.copies.is_some() { Err(Fail::refused("it is not a number")) } else { Ok(()) }
    }

    fn count(
        &mut self,
        count: usize,
        write: fn(&mut Vec<u8>, u32) -> std::result::Result<rmp::Marker, rmp::encode::ValueWriteError>,
    ) -> Result<()> {
        self.check_room(count)?;
        let count = u32::try_from(count).map_err(|_| too_long(count))?;
        write(&mut self.out, count).expect(WRITE);
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<()> {
        let bytes = self.out.len().saturating_add(more);
        if bytes <= MAX_VALUE_BYTES { Ok(()) } else { Err(too_long(bytes)) }
    }

    /// Begins an extension type whose length is not known yet.
    fn begin_ext(&mut self, code: i8) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(&[0xC9, 0, 0, 0, 0, code.cast_unsigned()]);
        start
    }

    fn end_ext(&mut self, start: usize) -> Result<()> {
        let length = self.out.len() - start - 6;
        self.check_room(0)?;
        if let Ok(short) = u8::try_from(length) {
            let code = self.out[start + 5];
            self.out[start..start + 3].copy_from_slice(&[0xC7, short, code]);
            self.out.copy_within(start + 6.., start + 3);
            self.out.truncate(start + 3 + length);
        } else {
            let length = u32::try_from(length).map_err(|_| too_long(length))?;
            self.out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

fn attribute(fields: &Bound<'_, PyTuple>, index: usize) -> Segment {
    let name = fields.get_item(index).ok().and_then(|name| name.cast_into::<PyString>().ok());
    name.map_or(Segment::Through, |name| Segment::Attribute(name.unbind()))
}

/// The attribute as `object` finds it, whatever the class says about it.
fn plain_attribute<'py>(
    value: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    #[expect(unsafe_code, reason = "PyO3 has no `object.__getattribute__`")]
    // SAFETY: live objects; the result is a new reference, or null with an exception set.
    let found = unsafe {
        let found = ffi::PyObject_GenericGetAttr(value.as_ptr(), name.as_ptr());
        Bound::from_owned_ptr_or_err(value.py(), found)
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyAttributeError>(value.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cold]
fn too_long(bytes: usize) -> Fail {
    Fail::refused(format!(
        "the value takes {bytes} bytes, more than {MAX_VALUE_BYTES}; cache its parts one by one"
    ))
}

/// Too deep, or endless? Only now is it worth looking.
#[cold]
fn too_deep(value: &Bound<'_, PyAny>, within: Option<&Within<'_>>) -> Fail {
    let mut above = vec![value.as_ptr()];
    let mut next = within;
    while let Some(within) = next {
        above.push(within.object);
        next = within.up;
    }
    above.reverse();
    let mut seen = HashMap::new();
    for (level, object) in above.iter().enumerate() {
        if seen.insert(*object, level).is_some() {
            return Fail::refused_at("it refers to itself there", level);
        }
    }
    let message = format!("it is nested more than {MAX_DEPTH} levels deep; store something flatter");
    Fail::refused_at(message, 3)
}
