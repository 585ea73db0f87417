//! The bounds that `wit/cache.wit` states, with their reasons.

/// Bytes of a key: with its prefix it fits what key-value stores commonly take.
pub(super) const MAX_KEY_BYTES: usize = 512;

/// Bytes of a value: it is copied some times on its way, and memory that a component has taken it never gives back.
pub(super) const MAX_VALUE_BYTES: usize = 8 << 20;

/// Tags that are remembered beyond which early ones are forgotten: some megabytes.
pub(super) const MAX_NODES: usize = 1 << 16;
