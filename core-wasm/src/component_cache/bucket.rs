//! Where entries rest: a bucket of the host, as rows by key.
//!
//! It is opened once and kept: what is written to a bucket need not be seen through another that is opened by the same name.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bindings::wasi::keyvalue::store::{self, Error};

/// Nothing else in the bucket begins like this; with a version, should a row ever become something else.
const PREFIX: &str = "zoocache/1/";

/// Hosts call the bucket that they give to whoever asks for none in particular by one of these names.
const NAMES: [&str; 2] = ["", "default"];

#[derive(Default)]
pub(super) struct Bucket(Option<store::Bucket>);

impl Bucket {
    /// What is there; `None` also if that cannot be known.
    pub(super) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.opened().ok()?.get(&name(key)).ok()?
    }

    /// # Errors
    /// With what the host says, for people.
    pub(super) fn set(&mut self, key: &str, row: &[u8]) -> Result<(), String> {
        self.opened()?.set(&name(key), row).map_err(text)
    }

    fn opened(&mut self) -> Result<&store::Bucket, String> {
        if self.0.is_none() {
            self.0 = Some(open().map_err(text)?);
        }
        self.0.as_ref().ok_or_else(|| text(Error::NoSuchStore))
    }
}

fn open() -> Result<store::Bucket, Error> {
    let mut last = Error::NoSuchStore;
    for name in NAMES {
        match store::open(name) {
            Ok(bucket) => return Ok(bucket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn text(error: Error) -> String {
    match error {
        Error::NoSuchStore => "the host has no bucket".to_string(),
        Error::AccessDenied => "the host refuses access to its bucket".to_string(),
        Error::Other(text) => text,
    }
}
