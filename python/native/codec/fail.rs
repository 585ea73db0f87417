//! What went wrong, and where inside the value.
//!
//! The path is put together on the way out, one segment a level, so that it costs nothing when all is well.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

use crate::errors::Class;

/// Longest text of a key in a path.
const MAX_KEY_CHARS: usize = 40;

pub(super) type Result<T> = std::result::Result<T, Fail>;

/// One step from a value to a value inside.
pub(super) enum Segment {
    /// None that a user would see.
    Through,
    Index(usize),
    Key(Py<PyAny>),
    Attribute(Py<PyString>),
    Member,
}

enum What {
    Refused(String),
    Raised(PyErr),
}

/// Boxed, since it is returned by everything and made hardly ever.
pub(super) struct Fail(Box<Fault>);

struct Fault {
    what: What,
    /// Innermost first.
    path: Vec<Segment>,
    /// How many levels of the path to show.
    shown: usize,
}

impl Fail {
    fn new(what: What, shown: usize) -> Self {
        Self(Box::new(Fault { what, path: Vec::new(), shown }))
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::refused_at(message, usize::MAX)
    }

    /// A fault of a value that was found some levels below it.
    pub(super) fn refused_at(message: impl Into<String>, level: usize) -> Self {
        Self::new(What::Refused(message.into()), level)
    }

    /// The fault is inside, behind this segment.
    pub(super) fn within(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }

    /// As an exception: `"cannot {doing} {path}: {what}"`.
    pub(super) fn into_error(self, py: Python<'_>, doing: &str) -> PyErr {
        let path = self.path_text(py);
        match self.0.what {
            What::Refused(message) => Class::Serialization.err(format!("cannot {doing} {path}: {message}")),
            What::Raised(error) => explain(py, error, doing, &path),
        }
    }

    fn path_text(&self, py: Python<'_>) -> String {
        let mut text = "$".to_owned();
        for segment in self.0.path.iter().rev().take(self.0.shown) {
            match segment {
                Segment::Through => {}
                Segment::Index(index) => text.extend(["[", &index.to_string(), "]"]),
                Segment::Key(key) => text.extend(["[", &key_text(key.bind(py)), "]"]),
                Segment::Attribute(name) => text.extend([".", &name.bind(py).to_string_lossy()]),
                Segment::Member => text += "{}",
            }
        }
        text
    }
}

/// Interrupts and the like pass; other exceptions are the cause of ours.
fn explain(py: Python<'_>, error: PyErr, doing: &str, path: &str) -> PyErr {
    if !error.is_instance_of::<PyException>(py) || error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
    {
        return error;
    }
    let text = error.value(py).str().map_or_else(|_| "no message".to_owned(), |text| text.to_string());
    let is_refusal = py
        .import("zoocache._errors")
        .and_then(|module| module.getattr("Refused"))
        .and_then(|refused| error.value(py).is_instance(&refused))
        .unwrap_or(false);
    if is_refusal {
        let explained = Class::Serialization.err(format!("cannot {doing} {path}: {text}"));
        if let Some(cause) = error.cause(py) {
            explained.set_cause(py, Some(cause));
        }
        return explained;
    }
    let class =
        error.get_type(py).qualname().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    let explained = Class::Serialization.err(format!("cannot {doing} {path}: {class}: {text}"));
    explained.set_cause(py, Some(error));
    explained
}

/// The key of a dictionary, if showing it runs no foreign code.
fn key_text(key: &Bound<'_, PyAny>) -> String {
    let is_simple = key.is_none()
        || key.is_exact_instance_of::<PyString>()
        || key.is_exact_instance_of::<PyBytes>()
        || key.is_exact_instance_of::<PyInt>()
        || key.is_exact_instance_of::<PyFloat>()
        || key.is_exact_instance_of::<PyBool>();
    let text = if is_simple { key.repr().ok().map(|text| text.to_string_lossy().into_owned()) } else { None };
    let text = text.unwrap_or_else(|| {
        format!("<{}>", key.get_type().qualname().map_or_else(|_| "key".to_owned(), |name| name.to_string()))
    });
    if text.chars().count() <= MAX_KEY_CHARS {
        return text;
    }
    text.chars().take(MAX_KEY_CHARS).chain("...".chars()).collect()
}

impl From<PyErr> for Fail {
    fn from(error: PyErr) -> Self {
        Self::new(What::Raised(error), usize::MAX)
    }
}
