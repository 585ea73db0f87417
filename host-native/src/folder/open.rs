//! Opening a folder, and starting over when its files are damaged.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use heed::MdbError;
use rustix::fs::FlockOperation;

use super::error::FolderError;
use super::room::Room;
use super::{ENTRIES_TABLES, Rooms, TAGS_TABLES};

/// How long another thread may take to close what is to be opened again.
const CLOSING: Duration = Duration::from_secs(5);

/// Opens both environments. If `may_start_over`, damaged files that nobody uses are removed first; what was wrong
/// is returned.
pub(super) fn open_rooms(
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
