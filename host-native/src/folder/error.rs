//! Why a folder cannot be used.

use std::io;
use std::path::Path;

use heed::MdbError;

/// The system's number of an I/O error.
const EIO: i32 = 5;
/// A disk with fewer free blocks is full.
const FULL_BLOCKS: u64 = 16;

/// Why a folder cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It, and what it would be made in, does not exist.
    #[error(
        "the folder {path} does not exist and cannot be made, as {parent} does not exist either; make it"
    )]
    Missing {
        /// The folder.
        path: String,
        /// What it would be in.
        parent: String,
    },
    /// This user may not write there.
    #[error("no permission to write in {path}: {cause}; choose a folder that every process may write in")]
    Permission {
        /// The folder.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// It lies on a file system that is shared with other machines.
    #[error(
        "{path} is on a network file system ({kind}), where processes cannot share memory; choose a local folder"
    )]
    Network {
        /// The folder.
        path: String,
        /// Which file system.
        kind: &'static str,
    },
    /// A later version of zoocache made it.
    #[error(
        "{path} has format {found}, and this version of zoocache reads {readable}; choose another folder, or remove it"
    )]
    Newer {
        /// The folder.
        path: String,
        /// The format it has.
        found: u64,
        /// The latest format that is read.
        readable: u64,
    },
    /// It is damaged, and other processes use it.
    #[error(
        "{path} is damaged ({cause}) and in use: stop the processes that use it, and the next one starts over"
    )]
    Damaged {
        /// The folder.
        path: String,
        /// What was found.
        cause: String,
    },
    /// The disk, or what the map may grow to, is full.
    #[error("no room left for {path}: {cause}")]
    Full {
        /// The environment.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// An entry does not fit, even if all others go.
    #[error(
        "LMDB storage is full: an entry of {path} needs a map of {needed} bytes, and it has {map_bytes}; give \
         map_bytes at least {needed}, or cache less under one key"
    )]
    TooSmall {
        /// The environment.
        path: String,
        /// What the map has.
        map_bytes: u64,
        /// What it would have to have.
        needed: u64,
    },
    /// Something else went wrong.
    #[error("{path}: {cause}")]
    Failed {
        /// The folder or environment.
        path: String,
        /// What the system says.
        cause: String,
    },
}

impl FolderError {
    pub(super) fn of(path: &Path, error: &heed::Error) -> Self {
        let (path, cause) = (path.display().to_string(), error.to_string());
        match error {
            heed::Error::Io(io) => Self::of_io(Path::new(&path), io),
            heed::Error::Mdb(MdbError::MapFull) => Self::Full { path, cause },
            _ => Self::Failed { path, cause },
        }
    }

    pub(super) fn of_io(path: &Path, error: &io::Error) -> Self {
        // LMDB calls it an I/O error when a part of a page could be written and the rest could not.
        let is_full = error.raw_os_error() == Some(EIO)
            && rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_bavail < FULL_BLOCKS);
        let (path, cause) = (path.display().to_string(), error.to_string());
        match error.kind() {
            _ if is_full => Self::Full { path, cause },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { path, cause }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path, cause }
            }
            _ => Self::Failed { path, cause },
        }
    }
}
