//! Protections that tests of the tests switch off, one at a time. Without the feature `mutants` none can be, and asking
//! costs nothing.
//!
//! | name | what is left out |
//! |---|---|
//! | `stamp_after_epoch` | the epoch is raised last |
//! | `late_proof` | a proof counts from the epoch that was read before the look |
//! | `applied_as_epoch` | the epoch rises with every change, also where `applied` does not |
//! | `prune_without_floor` | forgetting raises the parent's floor |
//! | `detached_handle` | a node to which a handle exists is not forgotten |
//! | `below_not_raised` | what lies above a tag learns of its position |
//! | `equal_is_stale` | a stamp equal to `as_of` was known when the fill began |
//! | `ignore_pending` | announced changes are seen by readers |
//! | `ignore_domain` | headers of another domain are foreign |
//! | `keep_sender_time` | a message gets a local position |
//! | `no_window` | entries that were sealed elsewhere count as older, by the uncertainty of two clocks |
//! | `accept_drift` | a time too far ahead does not move the clock |
//! | `drop_drifted` | an invalidation is applied whatever becomes of its time |

/// Is the protection of this name switched off?
#[inline]
#[cfg(feature = "mutants")]
pub fn is_on(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<std::string::String> =
        std::sync::LazyLock::new(|| std::env::var("ZOOCACHE_MUTANT").unwrap_or_default());
    *CHOSEN == name
}

/// Is the protection of this name switched off?
#[inline]
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_on(_name: &str) -> bool {
    false
}
