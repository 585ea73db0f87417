//! What this process has invalidated or deleted and does not know to be done on the server: the outbox.
//!
//! It holds what is on its way, too: a forked child does not know what becomes of that, and sends it again. Twice does no
//! harm. A copy is made for each change, so that the background looks at it without a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zoocache_core::{MarkId, Tag};

use super::row::{settled_row, tag_row};

/// Of more than so many that failed, everything is invalidated instead.
pub(super) const MAX_FAILED: usize = 1_024;

/// One invalidation.
#[derive(Debug, Clone, Default)]
pub(super) struct Owed {
    pub(super) tags: Vec<Tag>,
    /// Announced changes that end with it: their numbers, and their rows if they stand in the table.
    pub(super) changes: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Sent {
    owed: Arc<Owed>,
    has_failed: bool,
}

/// All of them, by what keeps this process from serving what they cover until then.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    invalidations: BTreeMap<MarkId, Sent>,
    /// Changes that could not be announced, and when they count as made: until then they may be settled.
    changes: BTreeMap<MarkId, (u64, Arc<Owed>)>,
    deletions: BTreeSet<Arc<[u8]>>,
}

impl Outbox {
    pub(super) fn add(&mut self, mark: MarkId, owed: &Arc<Owed>, has_failed: bool) {
        self.invalidations.insert(mark, Sent { owed: Arc::clone(owed), has_failed });
    }

    /// Adds what is owed unless it is removed before this time.
    pub(super) fn add_later(&mut self, mark: MarkId, owed: &Arc<Owed>, due_ns: u64) {
        self.changes.insert(mark, (due_ns, Arc::clone(owed)));
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.changes.values().any(|(due_ns, _)| *due_ns <= now_ns)
    }

    /// What is owed by now counts as failed: it was never sent.
    pub(super) fn come_due(&mut self, now_ns: u64) {
        for (mark, (_, owed)) in self.changes.extract_if(.., |_, (due_ns, _)| *due_ns <= now_ns) {
            self.invalidations.insert(mark, Sent { owed, has_failed: true });
        }
    }

    /// They have failed, or not any more.
    pub(super) fn set_failed(&mut self, marks: &[MarkId], has_failed: bool) {
        for mark in marks {
            if let Some(sent) = self.invalidations.get_mut(mark) {
                sent.has_failed = has_failed;
            }
        }
    }

    pub(super) fn all_have_failed(&mut self) {
        self.invalidations.values_mut().for_each(|sent| sent.has_failed = true);
    }

    pub(super) fn remove(&mut self, marks: &[MarkId]) {
        for mark in marks {
            self.invalidations.remove(mark);
            self.changes.remove(mark);
        }
    }

    /// Those that have failed, as one.
    pub(super) fn failed(&self) -> Option<(Vec<MarkId>, Owed)> {
        let failed = || self.invalidations.iter().filter(|(_, sent)| sent.has_failed);
        let marks: Vec<_> = failed().map(|(mark, _)| *mark).collect();
        if marks.is_empty() {
            return None;
        }
        let tags: BTreeSet<&str> =
            failed().flat_map(|(_, sent)| sent.owed.tags.iter().map(Tag::as_str)).collect();
        let tag = |path: &str| if path.is_empty() { Some(Tag::root()) } else { Tag::parse(path).ok() };
        let tags =
            if tags.contains("") { vec![Tag::root()] } else { tags.into_iter().filter_map(tag).collect() };
        let changes = failed().flat_map(|(_, sent)| sent.owed.changes.iter().cloned()).collect();
        Some((marks, Owed { tags, changes }))
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.deletions.insert(Arc::from(key));
    }

    pub(super) fn deleted(&mut self, key: &[u8]) {
        self.deletions.remove(key);
    }

    pub(super) fn is_deleting(&self, key: &[u8]) -> bool {
        !self.deletions.is_empty() && self.deletions.contains(key)
    }

    pub(super) fn deletions(&self) -> Vec<Arc<[u8]>> {
        self.deletions.iter().cloned().collect()
    }
}

impl Owed {
    /// The arguments of the script that invalidates, after the incarnation.
    pub(super) fn arguments(&self) -> Vec<Vec<u8>> {
        let removed: Vec<_> = self.changes.iter().filter(|(_, row)| !row.is_empty()).collect();
        let mut arguments = vec![removed.len().to_string().into_bytes()];
        arguments.extend(removed.iter().map(|(_, row)| row.clone()));
        arguments.extend(self.tags.iter().map(tag_row));
        arguments.extend(self.changes.iter().map(|(id, _)| settled_row(*id)));
        arguments
    }

    /// The announced changes that end with it.
    pub(super) fn settled(&self) -> Vec<u64> {
        self.changes.iter().map(|(id, _)| *id).collect()
    }
}
