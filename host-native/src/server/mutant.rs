//! Protections that tests of the tests switch off, one at a time. Without the feature `mutants` none can be.

/// Is the protection of this name switched off?
#[inline]
#[cfg(feature = "mutants")]
pub(crate) fn is_on(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("ZOOCACHE_MUTANT").unwrap_or_default());
    *CHOSEN == name
}

/// Is the protection of this name switched off?
#[inline]
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_name: &str) -> bool {
    false
}
