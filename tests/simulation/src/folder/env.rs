//! An environment: one process at a time changes it, others see snapshots.
//!
//! A commit is seen in two steps, as LMDB does it: first its number, then readers begin on its contents. A writer that
//! dies in between leaves that to the next one.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use zoocache::Error;
use zoocache::simulation::step;

use super::trouble::step_aside;
use super::{Handle, Point, Room, alive, failed, hold};
use crate::cluster::running;
use crate::world::{Place, World};

/// How many states are remembered, for files that go back to one.
const REMEMBERED: usize = 12;

/// What an environment held after the commit of this number.
#[derive(Clone, Default)]
pub(super) struct Snapshot<T> {
    pub(super) number: u64,
    contents: Arc<T>,
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.contents
    }
}

#[derive(Default)]
pub(super) struct Env<T>(Mutex<State<T>>);

#[derive(Default)]
struct State<T> {
    /// Of this the number can be seen.
    latest: Snapshot<T>,
    /// On this readers begin.
    readable: Snapshot<T>,
    writer: Option<Writer>,
    turns: u64,
    past: VecDeque<Snapshot<T>>,
}

/// Who changes it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Writer {
    place: Place,
    turn: u64,
}

impl<T: Clone> Env<T> {
    /// Nobody has it open: locks are made anew.
    pub(super) fn begin_anew(&self) {
        let mut state = hold(&self.0);
        state.writer = None;
        state.readable = state.latest.clone();
    }

    /// As it is, or was some time ago.
    pub(super) fn earlier(&self, world: &World) -> Self
    where
        T: Default,
    {
        let state = hold(&self.0);
        let index = usize::try_from(world.below(state.past.len() as u64 + 1)).unwrap_or(0);
        let latest = state.past.get(index).unwrap_or(&state.latest).clone();
        let past = state.past.clone();
        Self(Mutex::new(State { readable: latest.clone(), latest, past, writer: None, turns: state.turns }))
    }
}

/// A process's view of an environment.
#[derive(Clone, Copy)]
pub(super) struct Access<'a, T> {
    pub(super) env: &'a Env<T>,
    pub(super) room: Room,
    pub(super) handle: &'a Handle,
}

impl<T: Clone> Access<'_, T> {
    /// The number of the latest commit, which may not be readable yet.
    pub(super) fn number(&self) -> u64 {
        step_aside();
        hold(&self.env.0).latest.number
    }

    /// What a reader sees that begins now.
    pub(super) fn read(&self) -> Result<Snapshot<T>, Error> {
        step_aside();
        self.handle.may_read(self.room)?;
        Ok(hold(&self.env.0).readable.clone())
    }

    /// Changes it in one transaction; without a change there is no commit.
    pub(super) fn write<R>(
        &self,
        change: impl FnOnce(&mut Draft<T>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let turn = self.take_turn()?;
        self.reaches(Point::Begun)?;
        let Snapshot { number, contents } = hold(&self.env.0).latest.clone();
        let mut draft = Draft { number: number + 1, contents: (*contents).clone(), is_changed: false };
        let result = change(&mut draft)?;
        if draft.is_changed {
            self.reaches(Point::Written)?;
            if self.handle.is_full(self.room) {
                return Err(failed("the disk is full"));
            }
            self.publish(draft)?;
            self.reaches(Point::Published)?;
            let state = &mut *hold(&self.env.0);
            state.readable = state.latest.clone();
        }
        self.reaches(Point::Readable)?;
        drop(turn);
        step();
        Ok(result)
    }

    fn reaches(&self, point: Point) -> Result<(), Error> {
        self.handle.reaches(self.room, point)
    }

    fn publish(&self, draft: Draft<T>) -> Result<(), Error> {
        let world = alive(self.handle.place)?;
        let mut state = hold(&self.env.0);
        if world.one_in(4) {
            let latest = state.latest.clone();
            state.past.push_back(latest);
            if state.past.len() > REMEMBERED {
                state.past.pop_front();
            }
        }
        state.latest = Snapshot { number: draft.number, contents: Arc::new(draft.contents) };
        drop(state);
        if let Some(cluster) = running() {
            cluster.judge.tell(|| format!("commits {} to {:?}", draft.number, self.room));
        }
        Ok(())
    }

    /// Lets readers see what a writer that died has published.
    pub(super) fn heal(&self) -> Result<(), Error> {
        self.take_turn().map(drop)
    }

    fn take_turn(&self) -> Result<Turn<'_, T>, Error> {
        step_aside();
        loop {
            let world = alive(self.handle.place)?;
            if let Some(writer) = self.try_turn(&world) {
                return Ok(Turn { env: self.env, writer });
            }
            world.wait(None);
        }
    }

    fn try_turn(&self, world: &World) -> Option<Writer> {
        let mut state = hold(&self.env.0);
        if let Some(writer) = state.writer {
            if !world.is_dead(writer.place) {
                return None;
            }
            state.readable = state.latest.clone();
        }
        state.turns += 1;
        state.writer = Some(Writer { place: self.handle.place, turn: state.turns });
        state.writer
    }
}

/// What a transaction makes of an environment.
pub(super) struct Draft<T> {
    /// The number that its commit will have.
    pub(super) number: u64,
    contents: T,
    is_changed: bool,
}

impl<T> Deref for Draft<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.contents
    }
}

impl<T> DerefMut for Draft<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.contents
    }
}

/// The right to change an environment.
struct Turn<'a, T> {
    env: &'a Env<T>,
    writer: Writer,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // Who comes after a writer that died must learn that it did.
        if alive(self.writer.place).is_ok() {
            let mut state = hold(&self.env.0);
            if state.writer == Some(self.writer) {
                state.writer = None;
            }
        }
    }
}
