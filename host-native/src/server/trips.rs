//! May this thread wait for a server now, and what has to be done around the wait?
//!
//! A thread that holds a lock of its owner's, such as an interpreter's, lets go of it [`around`] each trip, or goes
//! [`without`] trips: then what is not known here is a miss.

use std::cell::Cell;

/// Runs what it is given, which waits.
pub type Around = fn(&mut dyn FnMut());

#[derive(Clone, Copy)]
enum Trips {
    Made,
    MadeWithin(Around),
    NotMade,
}

thread_local! {
    static TRIPS: Cell<Trips> = const { Cell::new(Trips::Made) };
    /// Would a trip have been made since this was cleared?
    static MISSED: Cell<bool> = const { Cell::new(false) };
}

/// Puts back what held before.
struct Before(Trips);

impl Drop for Before {
    fn drop(&mut self) {
        TRIPS.set(self.0);
    }
}

/// Runs reads that make no trip to a server: what would take one is a miss, and no failure.
#[inline]
pub fn without<R>(read: impl FnOnce() -> R) -> R {
    let _before = Before(TRIPS.replace(Trips::NotMade));
    read()
}

/// [`without`] that also says whether a trip would have been made.
pub(crate) fn noting<R>(read: impl FnOnce() -> R) -> (R, bool) {
    MISSED.set(false);
    let result = without(read);
    (result, MISSED.get())
}

/// Runs what may wait for a server, each time inside of `around`. Nothing of the cache is locked meanwhile as long
/// as it only reads: looks up, joins, judges.
#[inline]
pub fn around<R>(around: Around, read: impl FnOnce() -> R) -> R {
    let _before = Before(TRIPS.replace(Trips::MadeWithin(around)));
    read()
}

/// Runs what may wait for a server, whatever holds around it.
#[inline]
pub fn plainly<R>(body: impl FnOnce() -> R) -> R {
    let _before = Before(TRIPS.replace(Trips::Made));
    body()
}

/// May no trip be made?
pub(super) fn are_refused() -> bool {
    let refused = matches!(TRIPS.get(), Trips::NotMade);
    if refused {
        MISSED.set(true);
    }
    refused
}

/// Waits as it is to be done here; `None` if it is not.
pub(super) fn make<R>(wait: impl FnOnce() -> R) -> Option<R> {
    match TRIPS.get() {
        Trips::Made => Some(wait()),
        Trips::NotMade => None,
        Trips::MadeWithin(around) => {
            let (mut wait, mut result) = (Some(wait), None);
            around(&mut || result = wait.take().map(|wait| wait()));
            result
        }
    }
}
