//! How tables hash: with keys that differ between processes, so that nobody can aim at collisions.

#[cfg(not(feature = "simulation"))]
pub(crate) use foldhash::fast::RandomState;

/// A simulation that is repeated has the same tables.
#[cfg(feature = "simulation")]
pub(crate) type RandomState = foldhash::fast::FixedState;
