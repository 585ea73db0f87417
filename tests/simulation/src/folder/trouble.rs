//! What goes wrong with the folder: reads and writes that fail, processes that die in the middle of a transaction.

use std::rc::Rc;

use zoocache::Error;
use zoocache::simulation::step;

use super::{Folder, Handle, Room, alive, failed, hold};
use crate::cluster::running;
use crate::world::Place;

/// Who cannot read or write for a while.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// Only this process; or all.
    pub(crate) of: Option<Place>,
    /// Only in this environment; or in both.
    pub(crate) room: Option<Room>,
    pub(crate) fails_writes: bool,
    /// One in so many reads fails; 0 for none.
    pub(crate) one_in_reads: u64,
}

/// How far a write transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Nobody else can begin one.
    Begun,
    /// All is changed, and can be seen by nobody.
    Written,
    /// Its number can be seen, its contents cannot.
    Published,
    /// Its contents can be seen.
    Readable,
}

/// Where the next process dies that comes there, some transactions from now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doom {
    pub(crate) room: Room,
    pub(crate) point: Point,
    pub(crate) after: u64,
}

impl Folder {
    pub(crate) fn set_trouble(&self, trouble: Trouble) {
        *hold(&self.trouble) = trouble;
    }

    pub(crate) fn set_doom(&self, doom: Option<Doom>) {
        *hold(&self.doom) = doom;
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        self.set_trouble(Trouble::default());
        self.set_doom(None);
    }

    fn troubles(&self, place: Place, room: Room) -> Option<Trouble> {
        let trouble = *hold(&self.trouble);
        let concerns = trouble.of.is_none_or(|of| of == place) && trouble.room.is_none_or(|of| of == room);
        concerns.then_some(trouble)
    }
}

/// Others run now, for a while perhaps.
pub(super) fn step_aside() {
    step();
    if let Some(cluster) = running() {
        let (world, setup) = (&cluster.world, &cluster.setup);
        if setup.one_in_waits > 0 && world.one_in(setup.one_in_waits) {
            world.pause(world.below(8 * setup.think_ns.max(20_000)));
        }
    }
}

impl Handle {
    /// A write transaction has come so far: others may run now, or the process dies.
    pub(super) fn reaches(&self, room: Room, point: Point) -> Result<(), Error> {
        step_aside();
        if self.is_doomed(room, point)
            && let Some(cluster) = running()
        {
            cluster.judge.tell(|| format!("dies in a transaction of {room:?}: {point:?}"));
            cluster.die(self.place);
        }
        alive(self.place).map(drop)
    }

    fn is_doomed(&self, room: Room, point: Point) -> bool {
        let mut doom = hold(&self.folder.doom);
        let Some(next) = doom.as_mut().filter(|doom| (doom.room, doom.point) == (room, point)) else {
            return false;
        };
        if next.after > 0 {
            next.after -= 1;
            return false;
        }
        *doom = None;
        true
    }

    /// Can something be written there now?
    pub(super) fn is_full(&self, room: Room) -> bool {
        self.folder.troubles(self.place, room).is_some_and(|trouble| trouble.fails_writes)
    }

    /// May something be read there now?
    pub(super) fn may_read(&self, room: Room) -> Result<(), Error> {
        let world = alive(self.place)?;
        let one_in = self.folder.troubles(self.place, room).map_or(0, |trouble| trouble.one_in_reads);
        if one_in > 0 && Rc::clone(&world).one_in(one_in) { Err(failed("it cannot be read")) } else { Ok(()) }
    }
}
