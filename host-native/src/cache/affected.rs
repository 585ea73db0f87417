//! How far an invalidation would reach, without making it.

use zoocache_core::{Header, Tag};

use super::{Cache, Status};
use crate::entry::Entry;
use crate::gate;
use crate::storage::Storage;

impl<V: Send + Sync + 'static> Cache<V> {
    /// How many entries that are fresh now would go stale if `tag` were invalidated: those that depend on
    /// the tag, on anything below it, or on a subtree that holds it.
    ///
    /// ```
    /// use zoocache::{Cache, Policy, Tag};
    /// let cache = Cache::<u64>::builder().build()?;
    /// cache.put("product", 1, &Policy::default().tag("store:2:product:7")?);
    /// cache.put("list", 1, &Policy::default().tag("store:2:*")?);
    /// assert_eq!(cache.affected(&Tag::parse("store:2:product:7")?), 2);
    /// assert_eq!(cache.affected(&Tag::parse("store:2:product:8")?), 1);
    /// # Ok::<(), zoocache::Error>(())
    /// ```
    ///
    /// # Complexity
    /// O(entries x dependencies x depth). Not a snapshot of one instant.
    pub fn affected(&self, tag: &Tag) -> u64 {
        // The caller may have let go of a lock that orders forks.
        let _passed = gate::pass();
        // Before the storage is walked: reading the log may take its time.
        self.shared.keep_up();
        let mut count = 0;
        match &self.shared.parts.resting {
            None => self.shared.parts.storage.visit(&mut |_, entry| {
                if reaches(tag, entry) && self.status_untouched(entry) == Status::Fresh {
                    count += 1;
                }
            }),
            // Everything that the near cache holds lies below, too.
            Some(resting) => self.glance_below(resting, &mut |header, is_fresh| {
                count += u64::from(is_fresh && reaches_row(tag, header));
            }),
        }
        count
    }
}

pub(super) fn reaches<V>(tag: &Tag, entry: &Entry<V>) -> bool {
    // The root is above everything, also above what depends on nothing.
    tag.depth() == 0
        || entry
            .sealed()
            .dependencies()
            .any(|dependency| concerns(tag, &dependency.tag(), dependency.is_subtree()))
}

pub(super) fn reaches_row(tag: &Tag, header: &Header) -> bool {
    tag.depth() == 0
        || header
            .dependencies
            .iter()
            .any(|dependency| concerns(tag, &dependency.tag, dependency.tag.is_subtree()))
}

fn concerns(tag: &Tag, dependent: &Tag, is_subtree: bool) -> bool {
    is_at_or_above(tag, dependent) || (is_subtree && is_at_or_above(dependent, tag))
}

pub(super) fn is_at_or_above(upper: &Tag, lower: &Tag) -> bool {
    let mut path = lower.segments();
    upper.segments().all(|segment| path.next() == Some(segment))
}
