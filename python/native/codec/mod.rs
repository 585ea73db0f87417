//! Objects as bytes, and back.
//!
//! `encode.rs` writes what `decode.rs` reads: `MessagePack`, with the extension types of `ext.rs` for what
//! `MessagePack` does not know. The builtin types are handled here; the others are taken apart and put
//! together by Python code (`zoocache._values`, `zoocache._shapes`), which also decides which classes may
//! be made (`zoocache._registry`). The envelope around the bytes is the host's.
//!
//! Invariant: decoding is total, imports nothing, and calls nothing but what makes a value of a class that
//! the registry allows.

mod decode;
mod encode;
mod ext;
mod fail;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use zoocache::codec::{Authentication, OpenError, Secret, open, seal};

use crate::errors::Class;
use decode::Decoder;
use encode::Encoder;
pub(crate) use encode::encode_for_copies;

/// Deepest nesting of a value. Encoding and decoding it takes less than 160 KiB of a thread's stack.
const MAX_DEPTH: u32 = 128;

/// Encodes a value into an envelope.
#[pyfunction]
#[pyo3(signature = (value, secret))]
pub(crate) fn encode_value<'py>(
    value: &Bound<'py, PyAny>,
    secret: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let payload = Encoder::new(py).encode(value)?;
    let secret = secret.map(Secret::derive);
    let authentication = Authentication { secret: secret.as_ref(), context: b"" };
    let sealed = seal(b"", &payload, authentication);
    let sealed = sealed.map_err(|error| Class::Serialization.err(error.to_string()))?;
    Ok(PyBytes::new(py, &sealed))
}

/// Decodes the value in an envelope. `known` are the classes, by name, that the caller expects.
#[pyfunction]
#[pyo3(signature = (data, known, secret))]
pub(crate) fn decode_value<'py>(
    py: Python<'py>,
    data: &[u8],
    known: Option<&Bound<'py, PyDict>>,
    secret: Option<&[u8]>,
) -> PyResult<Bound<'py, PyAny>> {
    let secret = secret.map(Secret::derive);
    let envelope = open(data, Authentication { secret: secret.as_ref(), context: b"" });
    let envelope = envelope.map_err(|error| refuse(&error))?;
    Decoder::new(py, &envelope.payload, known).decode()
}

/// Appends the `MessagePack` of a value to `bytes`.
///
/// # Errors
/// `SerializationError` for what has none.
pub(crate) fn encode_after(bytes: Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Encoder::after(value.py(), bytes).encode(value)
}

/// The value of `MessagePack` that nothing follows.
///
/// # Errors
/// `SerializationError` for bytes that are none, and for classes that are not known here.
pub(crate) fn decode<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Decoder::new(py, payload, None).decode()
}

fn refuse(error: &OpenError) -> PyErr {
    Class::Serialization.err(error.to_string())
}

/// The bytes of a value from which each caller gets a copy.
#[derive(Debug)]
pub(crate) struct Encoded {
    payload: Box<[u8]>,
    /// The classes of the value, by name, as they were.
    classes: Py<PyDict>,
}

impl Encoded {
    /// A new object, equal to the one that was encoded.
    pub(crate) fn decode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Decoder::new(py, &self.payload, Some(self.classes.bind(py))).decode()
    }
}
