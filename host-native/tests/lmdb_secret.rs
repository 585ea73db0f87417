//! A folder whose entries are authenticated.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::pair::{builder, compute, swap_rows, with_table};
use common::{NOON_US, Scratch, on};
use zoocache::{Cache, Error, ManualClock};

struct Place {
    scratch: Scratch,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self { scratch: Scratch::new(), clock: Arc::new(ManualClock::at(NOON_US)) }
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    fn open(&self, secret: Option<&str>) -> Cache<u64> {
        let builder = builder(self.path(), &self.clock);
        match secret {
            Some(secret) => builder.secret(secret),
            None => builder,
        }
        .build()
        .expect("opens")
    }
}

#[test]
fn who_knows_the_secret_is_served() {
    let place = Place::new();
    compute(&place.open(Some("one")), "k", &on(&["a"]), 1);
    let again = place.open(Some("one"));
    assert_eq!((again.get("k"), again.stats().rejected), (Some(1), 0));
}

#[test]
fn what_was_made_with_another_secret_or_none_is_a_miss_that_is_counted() {
    for (made, asked) in [(Some("one"), Some("two")), (Some("one"), None), (None, Some("one"))] {
        let place = Place::new();
        compute(&place.open(made), "k", &on(&["a"]), 1);
        let cache = place.open(asked);
        assert_eq!((cache.get("k"), cache.stats().rejected), (None, 1), "{made:?} {asked:?}");
        assert_eq!(compute(&cache, "k", &on(&["a"]), 2), 2);
        assert_eq!((cache.get("k"), cache.stats().rejected), (Some(2), 2));
        assert_eq!((cache.stats().misses, cache.stats().storage_errors), (2, 0));
        assert_eq!(place.open(asked).get("k"), Some(2), "it was stored");
    }
}

#[test]
fn an_envelope_that_is_moved_under_another_key_is_a_miss() {
    for secret in [None, Some("one")] {
        let place = Place::new();
        let cache = place.open(secret);
        compute(&cache, "poor", &on(&["a"]), 1);
        compute(&cache, "rich", &on(&["a"]), 1_000_000);
        drop(cache);
        swap_rows(place.path(), b"poor", b"rich");
        let cache = place.open(secret);
        let expected = if secret.is_some() { None } else { Some(1_000_000) };
        assert_eq!(cache.get("poor"), expected, "only a secret tells");
        assert_eq!(cache.stats().rejected, u64::from(secret.is_some()));
    }
}

#[test]
fn a_damaged_row_is_counted_too() {
    let place = Place::new();
    let cache = place.open(None);
    compute(&cache, "k", &on(&["a"]), 1);
    drop(cache);
    with_table(place.path(), "entries", "rows", |_, bytes| bytes[40] ^= 1);
    let cache = place.open(None);
    assert_eq!((cache.get("k"), cache.stats().rejected), (None, 1));
}

#[test]
fn the_secret_is_not_in_the_files_and_not_shown() {
    let secret = "correct horse battery staple";
    let place = Place::new();
    let cache = place.open(Some(secret));
    compute(&cache, "k", &on(&["a"]), 1);
    assert!(!format!("{cache:?}").contains("horse"));
    let bytes = std::fs::read(place.path().join("entries/data.mdb")).expect("there");
    assert!(!bytes.windows(5).any(|window| window == b"horse"));
}

#[test]
fn an_empty_secret_is_refused() {
    let place = Place::new();
    let error = builder(place.path(), &place.clock).secret("").build().expect_err("everybody knows it");
    assert!(matches!(error, Error::Config { parameter: "secret", .. }), "{error}");
}
