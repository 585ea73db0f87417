//! The numbers of the extension types. They are part of the format: none is ever given another meaning.
//! `zoocache._codes` has the same list.

/// In place of a field: the object has no such attribute.
pub(super) const ABSENT: i8 = 0;
pub(super) const TUPLE: i8 = 1;
pub(super) const SET: i8 = 2;
pub(super) const FROZENSET: i8 = 3;
pub(super) const BYTEARRAY: i8 = 4;
pub(super) const COMPLEX: i8 = 5;
/// An integer of more than 64 bits: little-endian two's complement.
pub(super) const BIG_INT: i8 = 6;
/// A text with lone surrogates: UTF-8 with the surrogates in it.
pub(super) const SURROGATES: i8 = 7;
/// From here on: values that Python code takes apart into other values.
pub(super) const FIRST_DESCRIBED: i8 = 8;
/// A number, or not one.
pub(super) const DECIMAL: i8 = 14;
/// From here on: those of them that a caller could change.
pub(super) const FIRST_CHANGEABLE: i8 = 32;
/// From here on: objects of a class that is named.
pub(super) const FIRST_NAMED: i8 = 64;
pub(super) const ENUM: i8 = 66;

/// Is a class of this code named in the bytes?
pub(super) fn is_named(code: i8) -> bool {
    code >= FIRST_NAMED
}
