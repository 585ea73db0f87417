//! Tags as Python gives them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use zoocache::Tag;

use crate::errors::{Class, invalid_tag};

/// Parses an iterable of tags; the first invalid one is an `InvalidTag`.
pub(crate) fn parse_tags(tags: &Bound<'_, PyAny>) -> PyResult<Vec<Tag>> {
    if tags.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "deps must be an iterable of tags, not the single string {}; write deps=[{0}]",
            tags.repr()?
        )));
    }
    let found = match tags.try_iter() {
        Err(error) if error.is_instance_of::<PyTypeError>(tags.py()) => {
            return Err(PyTypeError::new_err(format!(
                "deps must be an iterable of tags, not {}: {}; write deps=[...]",
                tags.get_type().name()?,
                tags.repr()?
            )));
        }
        found => found?,
    };
    found.map(|tag| parse_tag(&tag?)).collect()
}

/// Parses one tag.
pub(crate) fn parse_tag(tag: &Bound<'_, PyAny>) -> PyResult<Tag> {
    let Ok(text) = tag.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "a tag must be a str, not {}: {}{}",
            tag.get_type().name()?,
            tag.repr()?,
            if tag.is_instance_of::<PyList>() || tag.is_instance_of::<PyTuple>() {
                "; give several tags as several arguments: *tags"
            } else {
                ""
            }
        )));
    };
    match text.to_str() {
        Ok(text) => Tag::parse(text).map_err(|error| invalid_tag(&error)),
        Err(_) => {
            Err(Class::InvalidTag.err(format!("Invalid character in tag {}: lone surrogate", text.repr()?)))
        }
    }
}
