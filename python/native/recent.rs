//! Calls that hit lately, found by their argument objects alone: no key is made and no table is asked.
//!
//! A direct-mapped table in front of each cached function. It decides nothing: it remembers which entry a
//! call had, weakly, and the entry itself is asked whether it may still be served. Only arguments whose
//! identity or value says everything take part: exact `str`, `int`, `float`, `bytes`, `bool` and `None`.
//! The first argument may also be an object with a `__zoocache_key__`, as `self` of a method is; its key
//! then stands for it. Every few hits a call takes the long way all the same, so that the storage learns that its entry is used.

use std::os::raw::c_int;
use std::sync::{Arc, Weak};

use pyo3::ffi;
use pyo3::prelude::*;
use smallvec::SmallVec;
use zoocache::Entry;

use crate::arguments::Call;
use crate::key::{self, CustomKey, KeyBuffer};
use crate::owned::Owned;
use crate::value::Value;

/// Slots of a table. Together about 10 kB for each function that is used.
const SLOTS: usize = 128;
/// After this many hits one goes to the storage, so that its eviction knows what is in use.
const LONG_WAY: u8 = 63;
/// The same for caches of so few entries that a hit more or less decides what is evicted.
const LONG_WAY_WHEN_SMALL: u8 = 3;
/// Caches of fewer entries are small.
const SMALL: u64 = 1_000;
/// Calls with more arguments always take the long way.
const MAX_ARGUMENTS: usize = 6;

/// What one call had.
struct Slot {
    arguments: SmallVec<[Owned; 2]>,
    /// The class of the first argument, if `arguments[0]` is its `__zoocache_key__`.
    subject: Option<&'static CustomKey>,
    /// The tuple of keyword names, compared by identity: each place that calls has one of its own.
    names: Option<Owned>,
    entry: Weak<Entry<Value>>,
    uses: u8,
}

/// The table of one function.
pub(crate) struct Recent {
    /// The configuration that the entries belong to.
    generation: usize,
    slots: Box<[Option<Slot>]>,
}

/// What stands for a first argument that is no plain value.
pub(crate) struct Subject<'py> {
    class: &'static CustomKey,
    key: Bound<'py, PyAny>,
}

impl Subject<'_> {
    /// Is it the first of these encoded arguments?
    pub(crate) fn begins(&self, arguments: &[u8], typed: bool) -> PyResult<bool> {
        if identity(self.key.as_ptr()).is_none() {
            return Ok(false);
        }
        let mut own = KeyBuffer::new();
        self.class.encode(&self.key, &mut own, typed)?;
        let rest = arguments.strip_prefix(own.as_slice());
        Ok(rest.is_some_and(|rest| matches!(rest.first(), Some(b',' | b')'))))
    }
}

/// Where a call belongs in the table.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a, 'py> {
    index: usize,
    subject: Option<&'a Subject<'py>>,
}

impl<'a, 'py> Place<'a, 'py> {
    /// The place of a call, if all of its arguments may take part.
    #[inline]
    pub(crate) fn of(call: Call<'a, 'py>, subject: Option<&'a Subject<'py>>) -> Option<Self> {
        if call.values.len() > MAX_ARGUMENTS {
            return None;
        }
        let mut place = Self { index: 0, subject };
        let mut hash = 0_u64;
        for value in place.arguments(call) {
            // A multiplicative hash is enough: a collision costs a slot, never a wrong entry.
            hash = (hash.rotate_left(23) ^ identity(value.as_ptr())?).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        place.index = usize::try_from(hash >> 57).unwrap_or(0) % SLOTS;
        Some(place)
    }

    /// The arguments, or what stands for them.
    #[inline]
    fn arguments(self, call: Call<'a, 'py>) -> impl Iterator<Item = &'a Bound<'py, PyAny>> {
        let rest = &call.values[usize::from(self.subject.is_some())..];
        self.subject.map(|subject| &subject.key).into_iter().chain(rest.iter().map(|value| &**value))
    }
}

/// Is the first argument one that needs a [`Subject`] to stand for it?
#[inline]
pub(crate) fn needs_subject(call: Call<'_, '_>) -> bool {
    call.values.first().is_some_and(|first| !is_plain(first))
}

/// What stands for the first argument: its `__zoocache_key__`, if it has one.
///
/// # Errors
/// What that method raises.
pub(crate) fn subject<'py>(call: Call<'_, 'py>) -> PyResult<Option<Subject<'py>>> {
    let Some(first) = call.values.first() else { return Ok(None) };
    Ok(key::subject(first)?.map(|(class, key)| Subject { class, key }))
}

/// How many hits in a row may bypass a storage of at most `max_entries`.
pub(crate) fn long_way(max_entries: Option<u64>) -> u8 {
    if max_entries.is_some_and(|entries| entries < SMALL) { LONG_WAY_WHEN_SMALL } else { LONG_WAY }
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { generation: 0, slots: Box::default() }
    }

    /// The entry that this call had. It must not be dropped while the table is locked.
    #[inline]
    pub(crate) fn find(
        &mut self,
        generation: usize,
        call: Call<'_, '_>,
        place: Place<'_, '_>,
    ) -> Option<Arc<Entry<Value>>> {
        if self.generation != generation {
            return None;
        }
        let slot = self.slots.get_mut(place.index)?.as_mut()?;
        if slot.uses == 0 || !slot.is_of(call, place) {
            return None;
        }
        slot.uses -= 1;
        slot.entry.upgrade()
    }

    /// Remembers what a call had. What it displaces is returned, to be dropped by the caller when nothing
    /// is locked.
    #[must_use]
    pub(crate) fn remember(
        &mut self,
        generation: usize,
        long_way: u8,
        call: Call<'_, '_>,
        found: (Place<'_, '_>, &Arc<Entry<Value>>),
    ) -> impl Sized + use<> {
        let mut displaced_table = Box::default();
        if self.generation != generation || self.slots.is_empty() {
            displaced_table = std::mem::replace(&mut self.slots, (0..SLOTS).map(|_| None).collect());
            self.generation = generation;
        }
        let (place, entry) = found;
        let slot = Slot {
            arguments: place.arguments(call).map(Owned::new).collect(),
            subject: place.subject.map(|subject| subject.class),
            names: call.names.map(|names| Owned::new(names.as_any())),
            entry: Arc::downgrade(entry),
            uses: long_way,
        };
        let displaced = self.slots.get_mut(place.index).and_then(|old| old.replace(slot));
        (displaced_table, displaced)
    }
}

impl Slot {
    #[inline]
    fn is_of(&self, call: Call<'_, '_>, place: Place<'_, '_>) -> bool {
        let same_names = match (&self.names, call.names) {
            (None, None) => true,
            (Some(own), Some(names)) => own.as_ptr() == names.as_ptr(),
            _ => false,
        };
        same_names
            && self.arguments.len() == call.values.len()
            && match (self.subject, place.subject) {
                (None, None) => true,
                (Some(own), Some(subject)) => std::ptr::eq(own, subject.class),
                _ => false,
            }
            && self
                .arguments
                .iter()
                .zip(place.arguments(call))
                .all(|(own, value)| equal(own.as_ptr(), value.as_ptr()))
    }
}

/// Is it of one of the types that most arguments have? Asked first, to spare those a look at classes.
#[inline]
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    #[expect(unsafe_code, reason = "type checks of the hot path")]
    // SAFETY: a live object.
    unsafe {
        let kind = ffi::Py_TYPE(value.as_ptr());
        kind == &raw mut ffi::PyLong_Type
            || kind == &raw mut ffi::PyUnicode_Type
            || kind == &raw mut ffi::PyBool_Type
            || kind == &raw mut ffi::PyFloat_Type
            || kind == &raw mut ffi::PyBytes_Type
            || value.as_ptr() == ffi::Py_None()
    }
}

/// A number that is the same for equal arguments of the same type.
#[inline]
pub(crate) fn identity(object: *mut ffi::PyObject) -> Option<u64> {
    #[expect(unsafe_code, reason = "type checks of the hot path")]
    // SAFETY: a live object; the functions called run no foreign code for these exact types.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyLong_Type {
            let mut overflow: c_int = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            (overflow == 0).then_some(number.cast_unsigned())
        } else if kind == &raw mut ffi::PyUnicode_Type || kind == &raw mut ffi::PyBytes_Type {
            Some(ffi::PyObject_Hash(object).cast_unsigned() as u64)
        } else if object == ffi::Py_None()
            || kind == &raw mut ffi::PyBool_Type
            || kind == &raw mut ffi::PyFloat_Type
        {
            Some(object as u64)
        } else {
            None
        }
    }
}

/// Are the two the same argument? Equal values of one of the types that take part, never of two types.
#[inline]
fn equal(left: *mut ffi::PyObject, right: *mut ffi::PyObject) -> bool {
    if left == right {
        return true;
    }
    #[expect(unsafe_code, reason = "comparisons of the hot path")]
    // SAFETY: both are live objects of types that take part, so no foreign code runs.
    unsafe {
        let kind = ffi::Py_TYPE(left);
        if kind != ffi::Py_TYPE(right) {
            return false;
        }
        if kind == &raw mut ffi::PyLong_Type {
            identity(left) == identity(right)
        } else if kind == &raw mut ffi::PyUnicode_Type {
            ffi::PyUnicode_Compare(left, right) == 0
        } else {
            false
        }
    }
}
