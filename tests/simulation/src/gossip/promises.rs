//! What is promised beyond what the [`Judge`](crate::judge::Judge) knows: each message stands for versions that whoever has
//! applied it must see, and in the end everybody must see what anybody can tell.

use std::cell::RefCell;
use std::collections::BTreeMap;

use zoocache_core::Invalidation;

use crate::truth::{Versions, highest};
use crate::world::Place;

#[derive(Default)]
pub(super) struct Promises {
    /// The truth when each invalidation was called, by its name.
    messages: RefCell<BTreeMap<(u64, u64), Versions>>,
    /// What each process can tell others.
    told: RefCell<BTreeMap<Place, Versions>>,
}

impl Promises {
    /// An invalidation of this name was called when these were the versions.
    pub(super) fn name(&self, origin: u64, at: u64, versions: Versions) {
        self.messages.borrow_mut().insert((origin, at), versions);
    }

    /// `None` for one that nobody called: somebody found out that there must have been one.
    pub(super) fn versions(&self, message: &Invalidation) -> Option<Versions> {
        self.messages.borrow().get(&(message.origin, message.at.as_micros())).copied()
    }

    /// From now on a process can tell of these.
    pub(super) fn can_tell(&self, place: Place, versions: &Versions) {
        let mut told = self.told.borrow_mut();
        let known = told.entry(place).or_default();
        *known = highest(known, versions);
    }

    pub(super) fn told_by(&self, place: Place) -> Versions {
        self.told.borrow().get(&place).copied().unwrap_or_default()
    }
}
