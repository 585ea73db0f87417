//! An LMDB folder: two environments, `tags` and `entries`, opened once per process.
//!
//! Owns what concerns both: opening and its errors, the check after a fork, stale reader slots, and starting
//! over when the files are damaged. What the tables mean is the business of `sequencer/lmdb.rs` and
//! `storage/lmdb.rs`. Invariant: a map never moves while it is open, since every hit reads the number of the
//! latest commit from it without a lock; and an environment that a parent process opened is used for no
//! transaction.

mod check;
#[cfg(test)]
mod check_tests;
mod error;
mod facts;
mod number;
mod open;
mod page;
mod room;
pub(crate) mod seal;
mod waking;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};

use arc_swap::ArcSwapOption;

use crate::lock::Mutex;
pub use error::FolderError;
pub use facts::FolderFacts;
use number::Number;
use open::{Opened, open_rooms};
use room::Room;
pub(crate) use room::{LEAST_MAP_PAGES, Reading, Table};

/// Both environments, as one process has opened them.
pub(crate) struct Rooms {
    pid: u32,
    /// Positions, tags, marks.
    pub(crate) tags: Room,
    /// Entries.
    pub(crate) entries: Room,
}

/// How a folder is opened; what the first process says counts.
pub(crate) struct Settings {
    pub(crate) max_readers: u32,
    /// The size of the entries' map.
    pub(crate) map_bytes: Option<u64>,
}

/// An open folder. Everybody in the process who opens the same path gets the same one.
pub(crate) struct Folder {
    path: PathBuf,
    max_readers: u32,
    map_bytes: u64,
    rooms: ArcSwapOption<Rooms>,
    number: Number,
    reopening: Mutex<()>,
    /// Why it was started over at open, if it was.
    damage: Option<String>,
    /// Held shared for as long as the folder is open, by a forked child too: nobody starts over meanwhile.
    _lock: File,
}

/// The tables of the tags environment.
pub(crate) const TAGS_TABLES: [&str; 4] = ["meta", "log", "tags", "marks"];
/// The tables of the entries environment.
pub(crate) const ENTRIES_TABLES: [&str; 6] = ["meta", "rows", "places", "by_age", "by_expiry", "locks"];

static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Folder>>>> = LazyLock::new(Mutex::default);

impl Folder {
    /// Opens the folder, or makes it.
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Arc<Self>, FolderError> {
        let path = make(path)?;
        refuse_network(&path)?;
        let mut open = OPEN.lock();
        if let Some(folder) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(folder);
        }
        let Opened { rooms, damage, map_bytes, lock } = open::open(&path, settings)?;
        let number = rooms.tags.meta_pages()?;
        let folder = Arc::new(Self {
            path: path.clone(),
            max_readers: settings.max_readers,
            map_bytes,
            rooms: ArcSwapOption::from_pointee(rooms),
            number,
            reopening: Mutex::default(),
            damage,
            _lock: lock,
        });
        open.retain(|_, folder| folder.strong_count() > 0);
        open.insert(path, Arc::downgrade(&folder));
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Why it was started over at open, if it was.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The number of the latest commit to the tags environment. No transaction, so right in a forked child.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.read()
    }

    /// The environments, opened anew in a forked child.
    pub(crate) fn rooms(&self) -> Result<Arc<Rooms>, FolderError> {
        match self.rooms.load_full() {
            Some(rooms) if rooms.pid == std::process::id() => Ok(rooms),
            inherited => self.reopen(inherited),
        }
    }

    /// Closing what the parent opened touches nothing of the parent's: LMDB compares process ids. It does not
    /// happen while a thread of the parent was in a transaction at the fork, since that thread never lets go;
    /// then this process goes without the cache.
    #[cold]
    fn reopen(&self, inherited: Option<Arc<Rooms>>) -> Result<Arc<Rooms>, FolderError> {
        drop(inherited);
        let _one = self.reopening.lock();
        if let Some(rooms) = self.rooms.load_full().filter(|rooms| rooms.pid == std::process::id()) {
            return Ok(rooms);
        }
        if let Some(inherited) = self.rooms.swap(None)
            && let Err(in_use) = Arc::try_unwrap(inherited)
        {
            // Not closed, now or later: its owners are threads that do not exist here.
            std::mem::forget(in_use);
        }
        // Nobody started over since the parent opened it, whose lock is inherited; so the number is read from the
        // same file.
        let rooms = Arc::new(open_rooms(&self.path, self.max_readers, Some(self.map_bytes))?);
        self.rooms.store(Some(Arc::clone(&rooms)));
        Ok(rooms)
    }
}

/// The path without links, of a folder that exists now.
fn make(path: &Path) -> Result<PathBuf, FolderError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            if parent.exists() {
                return Err(FolderError::of_io(path, &error));
            }
            let (path, parent) = (path.display().to_string(), parent.display().to_string());
            return Err(FolderError::Missing { path, parent });
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(FolderError::of_io(path, &error));
        }
        _ => {}
    }
    path.canonicalize().map_err(|error| FolderError::of_io(path, &error))
}

fn refuse_network(path: &Path) -> Result<(), FolderError> {
    // From linux/magic.h.
    const NETWORKS: [(u64, &str); 8] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFE53_4D42, "SMB"),
        (0xFF53_4D42, "SMB"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
        (0x7461_636F, "OCFS2"),
    ];
    let Ok(stat) = rustix::fs::statfs(path) else { return Ok(()) };
    let found = u64::from_ne_bytes(stat.f_type.to_ne_bytes()) & 0xFFFF_FFFF;
    match NETWORKS.iter().find(|(magic, _)| *magic == found) {
        Some((_, kind)) => Err(FolderError::Network { path: path.display().to_string(), kind }),
        None => Ok(()),
    }
}

impl Rooms {
    /// Device and inode of the tags' file: a copy of a folder has others.
    pub(crate) fn identity(&self) -> Result<[u8; 16], FolderError> {
        let path = self.tags.path.join("data.mdb");
        let file = fs::metadata(&path).map_err(|error| FolderError::of_io(&path, &error))?;
        let mut identity = [0; 16];
        identity[..8].copy_from_slice(&file.dev().to_be_bytes());
        identity[8..].copy_from_slice(&file.ino().to_be_bytes());
        Ok(identity)
    }
}
