//! What can be said of a folder, for those who look whether it is fit.

use super::{Folder, FolderError};

/// Sizes of a folder. Not a snapshot of one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderFacts {
    /// How large the file of the entries may become.
    pub map_bytes: u64,
    /// Bytes of it that hold entries and indexes.
    pub used_bytes: u64,
    /// Bytes of the file of the tags that hold any.
    pub tags_bytes: u64,
    /// Threads that may read at one instant.
    pub max_readers: u64,
    /// Places for readers that are taken; those of readers that are done are taken again.
    pub readers: u64,
    /// Commits to the tags: one for each invalidation, and some more.
    pub commits: u64,
}

impl Folder {
    /// What can be said of it now.
    pub(crate) fn facts(&self) -> Result<FolderFacts, FolderError> {
        let rooms = self.rooms()?;
        let page_bytes = rooms.entries.page_bytes();
        let used = rooms.entries.read(|txn| rooms.entries.used_pages(txn))?;
        let tags = rooms.tags.read(|txn| rooms.tags.used_pages(txn))?;
        let [entries, tags_readers] = [&rooms.entries, &rooms.tags].map(super::room::Room::readers);
        Ok(FolderFacts {
            map_bytes: rooms.entries.map_bytes(),
            used_bytes: used * page_bytes,
            tags_bytes: tags * page_bytes,
            max_readers: entries.1.min(tags_readers.1),
            readers: entries.0.max(tags_readers.0),
            commits: rooms.tags.number(),
        })
    }
}
