//! What a thread has in hand while it reads the cache once: when the read began, and what was fetched for it.
//!
//! A read that must know everything that was invalidated before it began is answered by any look at the table that
//! was asked for later; one read then needs one trip to the server, however many steps it takes.

use std::cell::RefCell;

use super::fetch::Fetched;

struct Hand {
    began_ns: u64,
    fetched: Vec<Fetched>,
}

thread_local! {
    static HAND: RefCell<Option<Hand>> = const { RefCell::new(None) };
}

/// What a task of a simulation has in hand, while another one runs on its thread.
#[cfg(feature = "simulation")]
#[derive(Default)]
pub(crate) struct InHand(Option<Hand>);

#[cfg(feature = "simulation")]
impl InHand {
    pub(crate) fn swap(&mut self) {
        HAND.with_borrow_mut(|hand| std::mem::swap(hand, &mut self.0));
    }
}

/// A read that is going on in this thread. Ends with its drop.
pub(crate) struct Reading {
    /// What was in hand before, if that comes back.
    outer: Outer,
}

enum Outer {
    Same,
    Other(Option<Hand>),
}

impl Reading {
    /// Begins a read, or takes part in the one that is going on.
    pub(crate) fn begin() -> Self {
        HAND.with_borrow_mut(|hand| {
            if hand.is_none() {
                *hand = Some(Hand { began_ns: crate::clock::boot_ns(), fetched: Vec::new() });
                Self { outer: Outer::Other(None) }
            } else {
                Self { outer: Outer::Same }
            }
        })
    }

    /// A read of its own that began when its entries were asked for.
    pub(crate) fn of(began_ns: u64, fetched: Vec<Fetched>) -> Self {
        Self { outer: Outer::Other(HAND.replace(Some(Hand { began_ns, fetched }))) }
    }

    /// Ends it, and hands out what was fetched for it and not used.
    pub(super) fn end(mut self) -> Vec<Fetched> {
        match std::mem::replace(&mut self.outer, Outer::Same) {
            Outer::Other(outer) => HAND.replace(outer).map_or_else(Vec::new, |hand| hand.fetched),
            Outer::Same => Vec::new(),
        }
    }

    /// Foreign code runs now, whose reads are its own.
    pub(crate) fn suspend() -> Self {
        Self { outer: Outer::Other(HAND.take()) }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Outer::Other(outer) = std::mem::replace(&mut self.outer, Outer::Same) {
            let _fetched = HAND.replace(outer);
        }
    }
}

/// When the read that is going on began.
pub(super) fn began_ns() -> Option<u64> {
    HAND.with_borrow(|hand| hand.as_ref().map(|hand| hand.began_ns))
}

/// When the read that is going on began; now, if none is.
pub(crate) fn read_began_ns() -> u64 {
    began_ns().unwrap_or_else(crate::clock::boot_ns)
}

/// What was fetched of `key` from the server of `feed`; once.
pub(super) fn take(feed: usize, key: &[u8]) -> Option<Fetched> {
    HAND.with_borrow_mut(|hand| {
        let fetched = &mut hand.as_mut()?.fetched;
        let place = fetched.iter().rposition(|fetched| fetched.feed == feed && *fetched.key == *key)?;
        Some(fetched.swap_remove(place))
    })
}

/// The sequence of the key's stripe when it was asked for, if it was fetched for this read.
pub(crate) fn sequence(key: &[u8]) -> Option<u64> {
    HAND.with_borrow(|hand| {
        let fetched = &hand.as_ref()?.fetched;
        fetched.iter().rfind(|fetched| *fetched.key == *key)?.sequence
    })
}
