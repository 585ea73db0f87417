//! Invalidations that hold in this process and could not be sent yet: the outbox.

use zoocache_core::{MarkId, Tag};

use super::row::{settled_row, tag_row};

/// Of more tags than so many, everything is invalidated instead.
const MAX_TAGS: usize = 4_096;

/// What is to be sent as one invalidation, as soon as that is possible. Twice does no harm.
#[derive(Debug, Default)]
pub(super) struct Owed {
    tags: Vec<Tag>,
    /// Rows of announced changes that end with it, with the numbers of the changes.
    changes: Vec<(u64, Vec<u8>)>,
    /// What keeps this process from serving what they cover until then.
    pub(super) marks: Vec<MarkId>,
}

impl Owed {
    pub(super) fn new(tags: &[Tag], change: Option<(u64, Vec<u8>)>, mark: MarkId) -> Self {
        Self { tags: tags.to_vec(), changes: change.into_iter().collect(), marks: vec![mark] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.marks.is_empty()
    }

    pub(super) fn add(&mut self, other: Self) {
        for tag in other.tags {
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
        if self.tags.len() > MAX_TAGS {
            self.tags = vec![Tag::root()];
        }
        self.changes.extend(other.changes);
        self.marks.extend(other.marks);
    }

    /// The announced changes that end with it.
    pub(super) fn settled(&self) -> Vec<u64> {
        self.changes.iter().map(|(id, _)| *id).collect()
    }

    /// The arguments of the script that invalidates.
    pub(super) fn arguments(&self, incarnation: u128) -> Vec<Vec<u8>> {
        let mut arguments = vec![format!("{incarnation:032x}").into_bytes()];
        let removed: Vec<_> = self.changes.iter().filter(|(_, row)| !row.is_empty()).collect();
        arguments.push(removed.len().to_string().into_bytes());
        arguments.extend(removed.iter().map(|(_, row)| row.clone()));
        arguments.extend(self.tags.iter().map(tag_row));
        arguments.extend(self.changes.iter().map(|(id, _)| settled_row(*id)));
        arguments
    }
}
