//! What caches are measured with: numbers, their tags and values, and a cache that holds them.

use std::time::Duration;

use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Builder, Cache, Policy, Tag};

/// Entries of the caches that are hit.
pub(crate) const ENTRIES: u64 = 10_000;
pub(crate) const VALUE: [u8; 100] = [7; 100];

pub(crate) type Value = Vec<u8>;

pub(crate) struct Plain;

impl ValueCodec<Value> for Plain {
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        Ok(bytes.to_vec())
    }
}

/// Numbers that jump about.
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    let mut count = 0;
    move || {
        count += 1;
        count * 7_919 % ENTRIES
    }
}

pub(crate) fn tag(number: u64) -> Tag {
    Tag::parse(&format!("org:{}:item-{number}", number % 10)).unwrap()
}

pub(crate) fn policy(number: u64) -> Policy {
    Policy::default().with_tags([tag(number % 1_000)]).ttl(Duration::from_hours(1))
}

pub(crate) fn filled(builder: Builder<Value>, entries: u64) -> Cache<Value> {
    let cache = builder.build().unwrap();
    for number in 0..entries {
        assert!(cache.put(number.to_le_bytes(), VALUE.to_vec(), &policy(number)));
    }
    cache
}
