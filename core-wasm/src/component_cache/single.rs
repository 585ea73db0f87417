//! The one cache of an instance.

use core::cell::RefCell;

use super::cache::Cache;

struct Single(RefCell<Option<Cache>>);

// SAFETY: a component has one thread.
#[expect(unsafe_code, reason = "there is no safe cell for statics without `std`")]
unsafe impl Sync for Single {}

static CACHE: Single = Single(RefCell::new(None));

/// Lends the cache for one call; the first call starts it, so that an instance that was made in advance names its domain late.
pub(super) fn with_cache<T>(call: impl FnOnce(&mut Cache) -> T) -> T {
    call(CACHE.0.borrow_mut().get_or_insert_with(Cache::start))
}
