//! How far an invalidation would reach, without making it.

use zoocache_core::{Tag, TagHandle};

use super::{Cache, Status};
use crate::entry::Entry;
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
        // Before the storage is walked: reading the log may take its time.
        self.shared.keep_up();
        // The caller may have let go of a lock that orders forks.
        let _passed = self.shared.sweeper.pass();
        let mut count = 0;
        self.shared.parts.storage.visit(&mut |_, entry| {
            if reaches(tag, entry) && self.status_untouched(entry) == Status::Fresh {
                count += 1;
            }
        });
        count
    }
}

fn reaches<V>(tag: &Tag, entry: &Entry<V>) -> bool {
    // The root is above everything, also above what depends on nothing.
    tag.depth() == 0 || entry.sealed().dependencies().any(|dependency| concerns(tag, &dependency))
}

fn concerns(tag: &Tag, dependency: &TagHandle) -> bool {
    let dependent = dependency.tag();
    is_at_or_above(tag, &dependent) || (dependency.is_subtree() && is_at_or_above(&dependent, tag))
}

fn is_at_or_above(upper: &Tag, lower: &Tag) -> bool {
    let mut path = lower.segments();
    upper.segments().all(|segment| path.next() == Some(segment))
}
