//! Opening a folder: who enters first looks after it.
//!
//! ```text
//! boot            the boot it was begun in, and the size of the entries' map; locked by who is about to open
//! in-use.lock     locked shared by all who have it open
//! tags/ entries/  the environments
//! ```
//! Processes open one after another, as the lock on `boot` is exclusive; it belongs to a process, so that one that
//! dies, or was forked meanwhile, holds nobody up. Who then gets `in-use.lock` exclusively knows that nobody
//! has the folder open, and that nobody can open it meanwhile: the first. It removes what is of another boot (a
//! system that crashed may have lost pages, as nothing is synced) and what is damaged, before LMDB sees any of
//! it. Who gets it only shared knows that there was a first one in this boot, since everybody who has the folder
//! open has held the lock since then. If the first one dies over its duties, both locks are free, and the next
//! is the first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use heed::MdbError;
use rustix::fs::FlockOperation;

use super::check::{Flaw, State, check};
use super::error::FolderError;
use super::room::{self, Room};
use super::{ENTRIES_TABLES, Rooms, Settings, TAGS_TABLES, seal};

/// How long another thread may take to close what is to be opened again.
const CLOSING: Duration = Duration::from_secs(5);
const ROOMS: [&str; 2] = ["tags", "entries"];

/// A folder that was opened.
pub(super) struct Opened {
    pub(super) rooms: Rooms,
    /// Why it was started over, if it was.
    pub(super) damage: Option<String>,
    pub(super) map_bytes: u64,
    /// To be kept for as long as the folder is open.
    pub(super) lock: File,
}

/// Opens a folder that exists.
pub(super) fn open(path: &Path, settings: &Settings) -> Result<Opened, FolderError> {
    let io = |error: io::Error| FolderError::of_io(path, &error);
    let entrance = lock_file(&path.join("boot")).map_err(io)?;
    rustix::io::retry_on_intr(|| rustix::fs::fcntl_lock(&entrance, FlockOperation::LockExclusive))
        .map_err(|error| io(error.into()))?;
    let lock = lock_file(&path.join("in-use.lock")).map_err(io)?;
    let is_first = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    let boot = Boot::now()?;
    let found = Boot::read(&entrance).map_err(io)?;
    let is_of_this_boot = found.as_ref().is_some_and(|found| found.id == boot.id);
    let mut damage = None;
    let mut map_bytes = settings.map_bytes;
    if is_first {
        damage = if is_of_this_boot { look_for_damage(path)? } else { None };
        if !is_of_this_boot || damage.is_some() {
            ROOMS.iter().try_for_each(|room| remove(&path.join(room))).map_err(io)?;
        }
        ROOMS.iter().try_for_each(|room| make_room(&path.join(room), settings.max_readers)).map_err(io)?;
    } else {
        // Nobody else is at the entrance, so only a child that was forked from a process which died over its first
        // duties could still hold it exclusively.
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).map_err(|error| io(error.into()))?;
        map_bytes = found.and_then(|found| found.map_bytes).or(map_bytes);
    }
    let mut opened = open_rooms(path, settings.max_readers, map_bytes);
    if let Err(error @ FolderError::Damaged { .. }) = &opened
        && is_first
        && damage.is_none()
    {
        // What LMDB finds, if that is more than we do.
        damage = Some(error.to_string());
        ROOMS.iter().try_for_each(|room| remove(&path.join(room))).map_err(io)?;
        ROOMS.iter().try_for_each(|room| make_room(&path.join(room), settings.max_readers)).map_err(io)?;
        opened = open_rooms(path, settings.max_readers, map_bytes);
    }
    let rooms = opened?;
    let map_bytes = rooms.entries.map_bytes();
    if is_first {
        Boot { map_bytes: Some(map_bytes), ..boot }.write(&entrance).map_err(io)?;
        // Converting lets go for a moment, in which nobody can come: the entrance is locked.
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(|error| io(error.into()))?;
    }
    Ok(Opened { rooms, damage, map_bytes, lock })
}

fn lock_file(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

/// What the file `boot` says.
struct Boot {
    id: String,
    map_bytes: Option<u64>,
}

impl Boot {
    /// What tells this start of the machine from all others.
    fn now() -> Result<Self, FolderError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let id = fs::read_to_string(path).map_err(|error| FolderError::of_io(path, &error))?;
        Ok(Self { id: id.trim().to_owned(), map_bytes: None })
    }

    /// Through the handle that is locked: closing another one would unlock it.
    fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; 128];
        let length = file.read_at(&mut bytes, 0)?;
        let Ok(text) = std::str::from_utf8(&bytes[..length]) else { return Ok(None) };
        let mut lines = text.lines();
        let Some(id) = lines.next() else { return Ok(None) };
        let map_bytes = lines.next().and_then(|line| line.parse().ok());
        Ok(Some(Self { id: id.to_owned(), map_bytes }))
    }

    fn write(&self, mut file: &File) -> io::Result<()> {
        let text = format!("{}\n{}\n", self.id, self.map_bytes.unwrap_or_default());
        let mut found = [0; 128];
        let length = file.read_at(&mut found, 0)?;
        if found[..length] == *text.as_bytes() {
            return Ok(());
        }
        file.set_len(0)?;
        io::Seek::rewind(&mut file)?;
        file.write_all(text.as_bytes())
    }
}

/// What is wrong with the files, which nobody has open.
fn look_for_damage(path: &Path) -> Result<Option<String>, FolderError> {
    let mut states = [State::Absent; 2];
    for (state, room) in states.iter_mut().zip(ROOMS) {
        let data = path.join(room).join("data.mdb");
        let checked = if room == "tags" {
            check(&data, |table| TAGS_TABLES.iter().any(|name| name.as_bytes() == table), is_sealed)
        } else {
            check(
                &data,
                |_| false,
                |table, key, row| {
                    !matches!(table, b"meta" | b"places")
                        || row.is_some_and(|row| seal::open(key, row).is_some())
                },
            )
        };
        *state = match checked {
            Ok(state) => state,
            Err(Flaw::Damage(damage)) => return Ok(Some(format!("{}, {damage}", data.display()))),
            Err(Flaw::Io(error)) => return Err(FolderError::of_io(&data, &error)),
        };
    }
    for (state, room) in states.iter().zip(ROOMS) {
        if *state == State::Absent {
            let room = path.join(room);
            remove(&room).map_err(|error| FolderError::of_io(&room, &error))?;
        }
    }
    // Tags come first. Their second commit is made when both rooms are there.
    Ok(match states {
        [State::Absent, State::Sound(_)] => Some("the file of the tags is gone or empty".to_owned()),
        [State::Sound(number), State::Absent] if number > 1 => {
            Some("the file of the entries is gone or empty".to_owned())
        }
        _ => None,
    })
}

/// All rows of the tables we know are.
fn is_sealed(table: &[u8], key: &[u8], row: Option<&[u8]>) -> bool {
    let is_ours = TAGS_TABLES.iter().any(|name| name.as_bytes() == table);
    !is_ours || row.is_some_and(|row| seal::open(key, row).is_some())
}

fn remove(room: &Path) -> io::Result<()> {
    match fs::remove_dir_all(room) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(room),
        result => result,
    }
}

/// Makes a room, with a new table of readers that has all of its bytes: LMDB writes to it through memory, where a
/// disk that is full would end the process.
fn make_room(room: &Path, max_readers: u32) -> io::Result<()> {
    fs::create_dir_all(room)?;
    let path = room.join("lock.mdb");
    remove(&path)?;
    let bytes = room::LOCK_BYTES + room::READER_BYTES * max_readers as usize;
    let written = fs::write(&path, vec![0; bytes.next_multiple_of(1 << 12)]);
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written
}

/// Opens both environments.
pub(super) fn open_rooms(
    path: &Path,
    max_readers: u32,
    map_bytes: Option<u64>,
) -> Result<Rooms, FolderError> {
    let open = |room: &str, tables: &[&str], map_bytes| {
        open_room(&path.join(room), tables, max_readers, map_bytes).map_err(|error| {
            if is_damage(&error) {
                FolderError::Damaged { path: path.display().to_string(), cause: error.to_string() }
            } else {
                FolderError::of(path, &error)
            }
        })
    };
    let tags = open("tags", &TAGS_TABLES, None)?;
    let entries = open("entries", &ENTRIES_TABLES, map_bytes)?;
    Ok(Rooms { pid: std::process::id(), tags, entries })
}

fn open_room(path: &Path, tables: &[&str], max_readers: u32, map_bytes: Option<u64>) -> heed::Result<Room> {
    loop {
        match Room::open(path, tables, max_readers, map_bytes) {
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
