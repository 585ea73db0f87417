//! The hierarchy of tags, one level at a time, with what depends on it.

use std::collections::BTreeMap;

use zoocache_core::{Tag, Timestamp};

use super::{Cache, Status};
use crate::gate;
use crate::storage::Storage;

/// Tags of one level that are told of.
const MOST: usize = 10_000;

/// A tag just below another one, and what depends on it or on anything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeNode {
    /// The tag.
    pub tag: Tag,
    /// Entries that depend on it, or on something below it.
    pub entries: u64,
    /// Those of them that are fresh.
    pub fresh: u64,
    /// Position of its own latest invalidation; 0 for none that is known of.
    pub at: Timestamp,
    /// Position of the latest invalidation of something below it; 0 for none that is known of.
    pub below: Timestamp,
    /// Whether a change of it, or of something below it, is announced.
    pub is_changing: bool,
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// The tags just below `tag` that entries depend on or that were invalidated, in their order; 10 000 at most.
    ///
    /// # Complexity
    /// O(entries x dependencies). Not a snapshot of one instant.
    pub fn tree(&self, tag: &Tag) -> Vec<TreeNode> {
        let _passed = gate::pass();
        self.shared.keep_up();
        let mut nodes: BTreeMap<String, TreeNode> = BTreeMap::new();
        let level = tag.depth() + 1;
        let mut count = |path: String, is_fresh: bool| {
            if nodes.len() >= MOST && !nodes.contains_key(&path) {
                return;
            }
            let Ok(parsed) = Tag::parse(&path) else { return };
            let node = nodes.entry(path).or_insert_with(|| TreeNode {
                tag: parsed,
                entries: 0,
                fresh: 0,
                at: Timestamp::ZERO,
                below: Timestamp::ZERO,
                is_changing: false,
            });
            node.entries += 1;
            node.fresh += u64::from(is_fresh);
        };
        let mut count_all = |paths: &mut Vec<String>, is_fresh: bool| {
            // Each entry counts once for each tag, whatever of what is below it it depends on.
            paths.sort_unstable();
            paths.dedup();
            paths.drain(..).for_each(|path| count(path, is_fresh));
        };
        let mut paths = Vec::new();
        match &self.shared.parts.resting {
            None => self.shared.parts.storage.visit(&mut |_, entry| {
                paths.extend(entry.sealed().dependencies().filter_map(|on| child(tag, level, &on.tag())));
                count_all(&mut paths, self.status_untouched(entry) == Status::Fresh);
            }),
            Some(resting) => self.glance_below(resting, &mut |header, is_fresh| {
                let on = header.dependencies.iter();
                paths.extend(on.filter_map(|on| child(tag, level, &on.tag)));
                count_all(&mut paths, is_fresh);
            }),
        }
        for branch in self.shared.parts.engine.branches(tag, MOST) {
            let is_told = branch.at > Timestamp::ZERO || branch.below > Timestamp::ZERO || branch.is_pending;
            let path = branch.tag.as_str().to_owned();
            if !nodes.contains_key(&path) && (!is_told || nodes.len() >= MOST) {
                continue;
            }
            let node = nodes.entry(path).or_insert_with(|| TreeNode {
                tag: branch.tag.clone(),
                entries: 0,
                fresh: 0,
                at: Timestamp::ZERO,
                below: Timestamp::ZERO,
                is_changing: false,
            });
            (node.at, node.below, node.is_changing) = (branch.at, branch.below, branch.is_pending);
        }
        nodes.into_values().collect()
    }
}

/// What of the path of `lower` ends just below `upper`, if it leads through there.
fn child(upper: &Tag, level: usize, lower: &Tag) -> Option<String> {
    let mut path = lower.segments();
    if !upper.segments().all(|segment| path.next() == Some(segment)) || lower.depth() < level {
        return None;
    }
    Some(lower.segments().take(level).collect::<Vec<_>>().join(":"))
}
