//! Protections that tests of the tests switch off, one at a time. Without the feature `mutants` none can be.

#[cfg(feature = "mutants")]
pub(crate) use zoocache_core::mutant::is_on;

/// Is the protection of this name switched off?
#[inline]
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_name: &str) -> bool {
    false
}
