//! An LMDB folder: two environments, `tags` and `entries`, opened once per process.
//!
//! Owns what concerns both: opening and its errors, the check after a fork, stale reader slots, and starting
//! over when the files are damaged. What the tables mean is the business of `sequencer/lmdb.rs` and
//! `storage/lmdb.rs`. Invariant: a map never moves while it is open, since every hit reads the number of the
//! latest commit from it without a lock; and an environment that a parent process opened is used for no
//! transaction.

mod number;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use number::Number;

/// A table of bytes.
pub(crate) type Table = Database<Bytes, Bytes>;
/// A read transaction.
pub(crate) type Reading<'a> = RoTxn<'a, WithoutTls>;

/// Sizes of a map, the first that the system grants counts. It is address space, not memory and not disk: large,
/// because a map cannot grow while hits read from it.
const MAP_BYTES: [usize; 5] = [1 << 40, 1 << 36, 1 << 32, 1 << 30, 1 << 27];
/// Tables per environment.
const MAX_TABLES: u32 = 8;
/// The system's number of an I/O error.
const EIO: i32 = 5;
/// A disk with fewer free blocks is full.
const FULL_BLOCKS: u64 = 16;
/// How long another thread may take to close what is to be opened again.
const CLOSING: Duration = Duration::from_secs(5);

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
    fn of(path: &Path, error: &heed::Error) -> Self {
        let (path, cause) = (path.display().to_string(), error.to_string());
        match error {
            heed::Error::Io(io) => Self::of_io(Path::new(&path), io),
            heed::Error::Mdb(MdbError::MapFull) => Self::Full { path, cause },
            _ => Self::Failed { path, cause },
        }
    }

    fn of_io(path: &Path, error: &io::Error) -> Self {
        // LMDB calls it an I/O error when a part of a page could be written and the rest could not.
        let is_full = error.raw_os_error() == Some(EIO)
            && rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_bavail < FULL_BLOCKS);
        let (path, cause) = (path.display().to_string(), error.to_string());
        match error.kind() {
            _ if is_full => Self::Full { path, cause },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { path, cause }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, cause },
            _ => Self::Failed { path, cause },
        }
    }
}

/// One environment and its tables.
pub(crate) struct Room {
    env: Env<WithoutTls>,
    tables: Vec<Table>,
    path: PathBuf,
}

impl Room {
    fn open(path: &Path, tables: &[&str], max_readers: u32, strict: bool) -> heed::Result<Self> {
        fs::create_dir_all(path)?;
        let env = Self::map(path, max_readers)?;
        let mut room = Self { env, tables: Vec::new(), path: path.to_owned() };
        if strict {
            room.check_length()?;
        }
        room.env.clear_stale_readers()?;
        let mut txn = room.env.write_txn()?;
        for name in tables {
            room.tables.push(room.env.create_database(&mut txn, Some(name))?);
        }
        txn.commit()?;
        Ok(room)
    }

    fn map(path: &Path, max_readers: u32) -> heed::Result<Env<WithoutTls>> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(MAX_TABLES).max_readers(max_readers);
        let mut sizes = MAP_BYTES.into_iter();
        loop {
            let bytes = sizes.next();
            options.map_size(bytes.unwrap_or(1 << 24));
            #[expect(
                unsafe_code,
                reason = "LMDB maps a file that others could change, and is told not to sync"
            )]
            // SAFETY: the files are changed by LMDB alone, under its locks; that others leave them alone is said
            // in the documentation of the folder. Without syncs an OS crash may lose commits, not integrity, as
            // the map is not writable; a changed boot id is noticed at open.
            let opened = unsafe { options.flags(EnvFlags::NO_SYNC).open(path) };
            match opened {
                Err(heed::Error::Io(error))
                    if error.kind() == io::ErrorKind::OutOfMemory && bytes.is_some() => {}
                result => return result,
            }
        }
    }

    /// Reading beyond the end of a file that was cut off would kill the process.
    fn check_length(&self) -> heed::Result<()> {
        let pages = self.env.info().last_page_number as u64 + 1;
        let needed = pages * u64::from(self.env.stat().page_size);
        if self.env.real_disk_size()? < needed {
            return Err(heed::Error::Mdb(MdbError::Corrupted));
        }
        Ok(())
    }

    /// The tables, as named at open.
    pub(crate) fn table(&self, index: usize) -> Table {
        self.tables[index]
    }

    /// The number of the latest commit. Its contents may not be readable yet, for a moment.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.env.info().last_txn_id as u64
    }

    /// The pages that the number can be read from without the environment.
    fn meta_pages(&self) -> Result<Number, FolderError> {
        let failed = |cause: String| FolderError::Failed { path: self.path.display().to_string(), cause };
        let page_bytes = self.env.stat().page_size as usize;
        let number = Number::of(&self.path.join("data.mdb"), page_bytes);
        let number = number.map_err(|error| FolderError::of_io(&self.path, &error))?;
        // Others may commit meanwhile.
        let (before, read, after) = (self.number(), number.read(), self.number());
        if before <= read && read <= after {
            Ok(number)
        } else {
            Err(failed(format!("the number of the latest commit is {after} and was read as {read}")))
        }
    }

    /// Runs `read` on a snapshot.
    pub(crate) fn read<R>(
        &self,
        mut read: impl FnMut(&Reading<'_>) -> heed::Result<R>,
    ) -> Result<R, FolderError> {
        let mut result = self.env.read_txn().and_then(|txn| read(&txn));
        if matches!(result, Err(heed::Error::Mdb(MdbError::ReadersFull))) {
            self.forget_the_dead();
            result = self.env.read_txn().and_then(|txn| read(&txn));
        }
        result.map_err(|error| FolderError::of(&self.path, &error))
    }

    /// Runs `write` in the one write transaction and commits it.
    pub(crate) fn write<R>(
        &self,
        write: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<R>,
    ) -> Result<R, FolderError> {
        let result = self.env.write_txn().and_then(|mut txn| {
            let result = write(&mut txn)?;
            txn.commit()?;
            Ok(result)
        });
        result.map_err(|error| FolderError::of(&self.path, &error))
    }

    /// Frees the reader slots of processes that were killed: what they were reading keeps pages from being used
    /// again, and the file grows.
    pub(crate) fn forget_the_dead(&self) {
        // What cannot be freed now can be freed later.
        let _ = self.env.clear_stale_readers();
    }

    /// Lets the next snapshot be the latest commit, whose writer died before it could say so.
    pub(crate) fn heal(&self) -> Result<(), FolderError> {
        let begun = self.env.write_txn().map(RwTxn::abort);
        begun.map_err(|error| FolderError::of(&self.path, &error))
    }
}

/// Both environments, as one process has opened them.
pub(crate) struct Rooms {
    pid: u32,
    /// Positions, tags, marks.
    pub(crate) tags: Room,
    /// Entries.
    pub(crate) entries: Room,
    /// Held shared for as long as the folder is open: nobody starts over meanwhile.
    _lock: File,
}

/// An open folder. Everybody in the process who opens the same path gets the same one.
pub(crate) struct Folder {
    path: PathBuf,
    max_readers: u32,
    rooms: ArcSwapOption<Rooms>,
    number: Number,
    reopening: Mutex<()>,
    /// Why it was started over at open, if it was.
    damage: Option<String>,
}

/// The tables of the tags environment.
pub(crate) const TAGS_TABLES: [&str; 4] = ["meta", "log", "tags", "marks"];
/// The tables of the entries environment.
pub(crate) const ENTRIES_TABLES: [&str; 6] = ["meta", "rows", "places", "by_age", "by_expiry", "locks"];

static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Folder>>>> = LazyLock::new(Mutex::default);

impl Folder {
    /// Opens the folder, or makes it.
    pub(crate) fn open(path: &Path, max_readers: u32) -> Result<Arc<Self>, FolderError> {
        let path = make(path)?;
        refuse_network(&path)?;
        let mut open = OPEN.lock();
        if let Some(folder) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(folder);
        }
        let (rooms, damage) = open_rooms(&path, max_readers, true)?;
        let number = rooms.tags.meta_pages()?;
        let rooms = ArcSwapOption::from_pointee(rooms);
        let folder = Arc::new(Self {
            path: path.clone(),
            max_readers,
            rooms,
            number,
            reopening: Mutex::default(),
            damage,
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
        // Not started over: the number is read from the file that the parent opened.
        let (rooms, _) = open_rooms(&self.path, self.max_readers, false)?;
        let rooms = Arc::new(rooms);
        self.rooms.store(Some(Arc::clone(&rooms)));
        Ok(rooms)
    }
}

/// The path without links, of a folder that exists now.
fn make(path: &Path) -> Result<PathBuf, FolderError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path).display().to_string();
            return Err(FolderError::Missing { path: path.display().to_string(), parent });
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

/// Opens both environments. If `may_start_over`, damaged files that nobody uses are removed first; what was wrong
/// is returned.
fn open_rooms(
    path: &Path,
    max_readers: u32,
    may_start_over: bool,
) -> Result<(Rooms, Option<String>), FolderError> {
    let io = |error: io::Error| FolderError::of_io(path, &error);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path.join("in-use.lock"))
        .map_err(io)?;
    let flock = |how| rustix::fs::flock(&lock, how).map_err(io::Error::from);
    flock(FlockOperation::LockShared).map_err(io)?;
    let mut damage = None;
    // Pages at the end that were freed at once are never written. Others who work with a file that is shorter
    // than it says show that it is no damage.
    let mut strict = may_start_over;
    loop {
        let open = |room: &str, tables: &[&str]| open_room(&path.join(room), tables, max_readers, strict);
        let opened =
            open("tags", &TAGS_TABLES).and_then(|tags| Ok((tags, open("entries", &ENTRIES_TABLES)?)));
        match opened {
            Ok((tags, entries)) => {
                flock(FlockOperation::LockShared).map_err(io)?;
                let pid = std::process::id();
                return Ok((Rooms { pid, tags, entries, _lock: lock }, damage));
            }
            Err(error) if strict && damage.is_none() && is_damage(&error) => {
                if flock(FlockOperation::NonBlockingLockExclusive).is_err() {
                    // A lock that could not be changed may be lost.
                    flock(FlockOperation::LockShared).map_err(io)?;
                    strict = false;
                    continue;
                }
                for room in ["tags", "entries"] {
                    remove(&path.join(room)).map_err(io)?;
                }
                damage = Some(error.to_string());
            }
            Err(error) if is_damage(&error) => {
                return Err(FolderError::Damaged {
                    path: path.display().to_string(),
                    cause: error.to_string(),
                });
            }
            Err(error) => return Err(FolderError::of(path, &error)),
        }
    }
}

fn remove(room: &Path) -> io::Result<()> {
    match fs::remove_dir_all(room) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_room(path: &Path, tables: &[&str], max_readers: u32, strict: bool) -> heed::Result<Room> {
    loop {
        match Room::open(path, tables, max_readers, strict) {
            // Another thread is about to close it.
            Err(heed::Error::EnvAlreadyOpened) => {
                let canonical = path.canonicalize()?;
                if let Some(closing) = heed::env_closing_event(canonical)
                    && !closing.wait_timeout(CLOSING)
                {
                    return Err(heed::Error::EnvAlreadyOpened);
                }
            }
            result => return result,
        }
    }
}

fn is_damage(error: &heed::Error) -> bool {
    use MdbError::{BadDbi, BadTxn, Corrupted, Incompatible, Invalid, PageNotFound, Panic, Problem};
    match error {
        heed::Error::Mdb(error) => matches!(
            error,
            Corrupted | Invalid | PageNotFound | Panic | Incompatible | BadDbi | BadTxn | Problem
        ),
        _ => false,
    }
}

/// What tells this start of the machine from all others.
pub(crate) fn boot_id() -> Result<Vec<u8>, FolderError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read(path).map_err(|error| FolderError::of_io(path, &error))
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
