//! Values as the bytes that processes share.
//!
//! ```text
//! how the object is handed out (one byte), then MessagePack as `codec` writes it
//! ```
//! What cannot be encoded is found out before a computation ends (`keeping.rs`), so that its caller is told.
//! Bytes that cannot be decoded, of a class that is not known here for one, are a miss.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use zoocache::codec::{CodecError, ValueCodec};

use crate::codec;
use crate::value::{CopyMode, Value};

/// Turns stored values into bytes and back.
pub(crate) struct Codec;

/// The bytes of an object that is handed out in this way.
///
/// # Errors
/// `SerializationError` for what has none.
pub(crate) fn bytes_of(object: &Bound<'_, PyAny>, mode: CopyMode) -> PyResult<Vec<u8>> {
    codec::encode_after(vec![mode.number()], object)
}

impl ValueCodec<Value> for Codec {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let encoded = Python::try_attach(|py| bytes_of(&value.hand_out(py)?, value.mode()));
        Ok(encoded.ok_or(SHUTTING_DOWN)??)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let (number, payload) = bytes.split_first().ok_or("no bytes")?;
        let mode =
            CopyMode::from_number(*number).ok_or("a way of copying that this version does not know")?;
        let decoded = Python::try_attach(|py| {
            let value = codec::decode(py, payload).and_then(|object| Value::adopt(object, mode));
            value.inspect_err(|error| hand_on_interrupt(py, error))
        });
        Ok(decoded.ok_or(SHUTTING_DOWN)??)
    }
}

const SHUTTING_DOWN: &str = "the interpreter is shutting down";

/// Ctrl-C while code of the program made the value: the miss that follows must not swallow it.
fn hand_on_interrupt(py: Python<'_>, error: &PyErr) {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // Without it the program goes on, as if the key had not been pressed.
        let _ = py.import("_thread").and_then(|module| module.call_method0("interrupt_main"));
    }
}
