//! A folder that the processes of one machine share, as LMDB keeps it: two environments, `tags` and `entries`.
//!
//! The sequencer and the rows of `host-native` are written down here once more, step by step, over environments whose
//! commits, snapshots and locks a simulation can see. Between any two steps others may run, or the process may be killed.

mod entries;
mod env;
mod lock;
mod news;
mod rows;
mod sequencer;
mod tables;
mod trouble;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zoocache::Error;
use zoocache::simulation::step;
use zoocache_core::DomainId;

use entries::Entries;
use env::{Access, Env};
use lock::Lock;
pub(crate) use rows::FolderRows;
pub(crate) use sequencer::FolderSequencer;
use tables::Tags;
pub(crate) use trouble::{Doom, Point, Trouble};

use crate::cluster::running;
use crate::world::{Place, World};

/// The name of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Tags,
    Entries,
}

/// Both environments.
struct Rooms {
    tags: Env<Tags>,
    entries: Env<Entries>,
    /// Device and inode: those of a copy are others.
    identity: u64,
}

impl Rooms {
    fn new(identity: u64) -> Self {
        Self { tags: Env::default(), entries: Env::default(), identity }
    }
}

/// What lies under the folder's path.
struct Files {
    rooms: Arc<Rooms>,
    /// What is written in the file `boot`.
    boot: u64,
    identities: u64,
}

/// The folder, and what the machine does to it.
pub(crate) struct Folder {
    files: Mutex<Files>,
    /// The lock on the file `boot`.
    entrance: Lock<()>,
    /// Who has it open.
    users: Mutex<BTreeSet<Place>>,
    /// The machine's boot.
    boot: Mutex<u64>,
    trouble: Mutex<Trouble>,
    doom: Mutex<Option<Doom>>,
}

/// A process's way to the folder that it has opened.
#[derive(Clone)]
pub(crate) struct Handle {
    folder: Arc<Folder>,
    rooms: Arc<Rooms>,
    place: Place,
}

/// Locks what is never locked while others run.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|error| match error {
        std::sync::TryLockError::Poisoned(poisoned) => PoisonError::into_inner(poisoned),
        std::sync::TryLockError::WouldBlock => unreachable!("invariant: nobody else runs meanwhile"),
    })
}

fn failed(cause: &'static str) -> Error {
    Error::Compute(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(cause)))
}

/// The world that runs, if the process lives in it.
fn alive(place: Place) -> Result<Rc<World>, Error> {
    let world = running().map(|cluster| Rc::clone(&cluster.world)).filter(|world| !world.is_dead(place));
    world.ok_or_else(|| failed("dead"))
}

impl Folder {
    pub(crate) fn new() -> Arc<Self> {
        let files = Files { rooms: Arc::new(Rooms::new(1)), boot: 0, identities: 1 };
        Arc::new(Self {
            files: Mutex::new(files),
            entrance: Lock::default(),
            users: Mutex::default(),
            boot: Mutex::new(1),
            trouble: Mutex::default(),
            doom: Mutex::default(),
        })
    }

    /// Opens the folder, with the id of a domain if one has to begin.
    pub(crate) fn open(self: &Arc<Self>, place: Place) -> Result<(Handle, DomainId), Error> {
        let _entrance = self.entrance.lock();
        let world = alive(place)?;
        hold(&self.users).retain(|user| !world.is_dead(*user));
        // Nobody can come or go on meanwhile: the entrance is locked, and those who are dead stay so.
        let is_first = hold(&self.users).is_empty();
        let (found, boot) = (hold(&self.files).boot, *hold(&self.boot));
        if is_first {
            if found != boot && !zoocache_core::mutant::is_on("stay_in_boot") {
                self.replace(|identity, _| Rooms::new(identity));
            }
            let rooms = Arc::clone(&hold(&self.files).rooms);
            rooms.tags.begin_anew();
            rooms.entries.begin_anew();
            step();
            alive(place)?;
            hold(&self.files).boot = boot;
        }
        hold(&self.users).insert(place);
        let rooms = Arc::clone(&hold(&self.files).rooms);
        let domain = u128::from(world.below(u64::MAX)) << 64 | u128::from(world.below(u64::MAX));
        Ok((Handle { folder: Arc::clone(self), rooms, place }, DomainId(domain)))
    }

    /// Puts others in the place of the environments, which nobody has open.
    fn replace(&self, others: impl FnOnce(u64, &Rooms) -> Rooms) {
        let mut files = hold(&self.files);
        files.identities += 1;
        files.rooms = Arc::new(others(files.identities, &files.rooms));
    }

    /// The machine was started anew: of what was not synced some is lost. Its processes are dead.
    pub(crate) fn boot(&self, world: &World) {
        *hold(&self.boot) += 1;
        let mut files = hold(&self.files);
        let rooms = &files.rooms;
        let (tags, entries) = (rooms.tags.earlier(world), rooms.entries.earlier(world));
        files.rooms = Arc::new(Rooms { tags, entries, identity: rooms.identity });
    }

    /// A copy that was made some time ago takes the folder's place, which nobody has open.
    pub(crate) fn restore(&self, world: &World) {
        self.replace(|identity, rooms| {
            let (tags, entries) = (rooms.tags.earlier(world), rooms.entries.earlier(world));
            Rooms { tags, entries, identity }
        });
    }
}

impl Handle {
    fn tags(&self) -> Access<'_, Tags> {
        Access { env: &self.rooms.tags, room: Room::Tags, handle: self }
    }

    fn entries(&self) -> Access<'_, Entries> {
        Access { env: &self.rooms.entries, room: Room::Entries, handle: self }
    }
}
