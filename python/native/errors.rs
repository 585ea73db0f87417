//! The package's exceptions, from Rust's side.
//!
//! The classes are defined in Python (`zoocache._errors`), because most of them have two bases. A
//! computation's own exception travels through the host as a [`PyFailure`] and comes out unchanged.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::{PyRecursionError, PyRuntimeError};
use pyo3::prelude::*;
use zoocache::{Error, Failure, FolderError, ServerError};

/// A class of `zoocache._errors`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Class {
    Config,
    InvalidTag,
    Serialization,
    Storage,
    StorageIsFull,
    Bus,
    Cache,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "ConfigError",
            Self::InvalidTag => "InvalidTag",
            Self::Serialization => "SerializationError",
            Self::Storage => "StorageError",
            Self::StorageIsFull => "StorageIsFull",
            Self::Bus => "BusError",
            Self::Cache => "CacheError",
        }
    }

    /// Is `error` of this class?
    pub(crate) fn holds(self, py: Python<'_>, error: &PyErr) -> bool {
        py.import("zoocache._errors")
            .and_then(|module| module.getattr(self.name()))
            .is_ok_and(|class| error.matches(py, class).unwrap_or(false))
    }

    /// An exception of this class.
    pub(crate) fn err(self, message: impl Into<String>) -> PyErr {
        #[expect(
            unsafe_code,
            reason = "`Python::attach` would refuse to work while the interpreter shuts down"
        )]
        // SAFETY: exceptions are made by code that Python called, with its lock held.
        let py = unsafe { Python::assume_attached() };
        let made = py
            .import("zoocache._errors")
            .and_then(|module| module.getattr(self.name()))
            .and_then(|class| class.call1((message.into(),)));
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    }
}

/// An invalid tag, as Python sees it.
pub(crate) fn invalid_tag(error: &zoocache::TagError) -> PyErr {
    Class::InvalidTag.err(error.to_string())
}

/// An exception that a cached function raised.
#[derive(Debug)]
pub(crate) struct PyFailure {
    exception: Py<PyAny>,
    /// Where it was raised. Each waiter starts from it: else the one object would collect a line of each.
    traceback: Py<PyAny>,
}

impl PyFailure {
    /// Wraps the exception for everyone who waits for the computation.
    pub(crate) fn share(exception: &Bound<'_, PyAny>) -> Failure {
        let traceback = exception
            .getattr("__traceback__")
            .unwrap_or_else(|_| exception.py().None().into_bound(exception.py()));
        Arc::new(Self { exception: exception.clone().unbind(), traceback: traceback.unbind() })
    }
}

impl fmt::Display for PyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cached function raised an exception")
    }
}

impl std::error::Error for PyFailure {}

/// The exception that a failed computation stands for: the very object that its leader got.
pub(crate) fn raise(py: Python<'_>, failure: &Failure) -> PyErr {
    match failure.downcast_ref::<PyFailure>() {
        Some(PyFailure { exception, traceback }) => {
            let exception = exception.bind(py);
            // An exception that does not let its traceback be set keeps the one it has.
            let _ = exception.setattr("__traceback__", traceback);
            PyErr::from_value(exception.clone())
        }
        None => Class::Cache.err(failure.to_string()),
    }
}

/// A host error as an exception.
pub(crate) fn from_host(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::Tag(error) => invalid_tag(error),
        Error::Config { .. } => Class::Config.err(error.to_string()),
        Error::Recursion { .. } => PyRecursionError::new_err(error.to_string()),
        Error::Compute(failure) => raise(py, failure),
        Error::Folder(error @ FolderError::Full { .. }) => Class::StorageIsFull.err(error.to_string()),
        Error::Folder(error) => Class::Storage.err(error.to_string()),
        Error::Server(ServerError::Address { parameter, cause }) => {
            let parameter = if *parameter == "bus" { "bus_url" } else { "storage_url" };
            Class::Config.err(format!(
                "{parameter} is not the address of a Redis server: {cause}; write {parameter}=\"redis://HOST:PORT\""
            ))
        }
        Error::Server(error) => Class::Storage.err(error.to_string()),
        _ => Class::Cache.err(error.to_string()),
    }
}

/// The same where a server may be a bus only.
pub(crate) fn failure(py: Python<'_>, error: &Error, is_bus: bool) -> PyErr {
    match error {
        Error::Server(ServerError::Address { .. }) => from_host(py, error),
        Error::Server(error) if is_bus => Class::Bus.err(error.to_string()),
        error => from_host(py, error),
    }
}

/// Of an invalidation that holds in this process only, as of the position `at`; see `zoocache._errors.Unsent`.
pub(crate) fn unsent(py: Python<'_>, error: &Error, at: u64, is_bus: bool) -> PyErr {
    let made = py
        .import("zoocache._errors")
        .and_then(|module| module.getattr("Unsent"))
        .and_then(|class| class.call1((error.to_string(), at, is_bus)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A caught Rust panic as an exception. The cache stays usable: no lock poisons and every guard unwinds.
pub(crate) fn from_panic(payload: &(dyn Any + Send)) -> PyErr {
    let text = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    PyRuntimeError::new_err(format!("zoocache met a bug of its own ({text}); the cache is still usable"))
}

/// Runs `body` at the boundary to C: errors and panics become the interpreter's exception. To be called by
/// what the interpreter calls, with its lock held.
#[inline]
pub(crate) fn guard<R>(failed: R, body: impl FnOnce(Python<'_>) -> PyResult<R>) -> R {
    #[expect(unsafe_code, reason = "`Python::attach` would refuse to work while the interpreter shuts down")]
    // SAFETY: the interpreter calls slots and methods with its lock held.
    let py = unsafe { Python::assume_attached() };
    match catch_unwind(AssertUnwindSafe(|| body(py))) {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => restore(py, error),
        Err(payload) => restore(py, from_panic(&*payload)),
    }
    failed
}

#[cold]
fn restore(py: Python<'_>, error: PyErr) {
    error.restore(py);
}
