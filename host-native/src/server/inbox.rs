//! What arrived and nobody has taken in yet.
//!
//! The thread that reads connections only puts things here; whoever reads the cache next takes them in. So that
//! thread holds no lock of the cache, ever, and a fork cannot leave one locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Mutex;
use zoocache_core::{MarkId, Timestamp};

use super::outbox::Owed;
use super::range::Range;
use super::row::Rows;
use crate::clock::boot_ns;

/// Of more than so many, only that there was something is remembered.
const MAX_ITEMS: usize = 1_024;

/// Something to be taken in, in the order of its arrival.
#[derive(Debug)]
pub(super) enum Item {
    /// Rows that were told of.
    Rows(Rows),
    /// A range that was asked for in the background.
    Range(Range),
    /// What became of an invalidation of this process.
    Minted(Minted),
    /// An announced change was not in the table any more at this time: it was settled, at a position that every range
    /// shows that was asked for later, unless it is known.
    Gone(u64, u64),
}

/// A position that was given to rows of this process.
#[derive(Debug, Clone)]
pub(super) struct Minted {
    pub(super) incarnation: u128,
    pub(super) at: Timestamp,
    /// The position of the rows before them.
    pub(super) before: Timestamp,
    /// Whether there are rows at it, and not only an entry.
    pub(super) is_row: bool,
    /// What is invalidated at it, and which announced changes end with it.
    pub(super) owed: Arc<Owed>,
    /// The marks that end with it.
    pub(super) marks: Vec<MarkId>,
}

pub(super) struct Inbox {
    /// Set while there is something, and by the feed while something may be missing.
    is_behind: Arc<AtomicBool>,
    any: AtomicBool,
    contents: Mutex<Contents>,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) items: Vec<Item>,
    /// Since when something may be missing here, by the clock of `boot_ns`; 0 if not.
    pub(super) unsure_since_ns: u64,
    has_range: bool,
}

impl Inbox {
    pub(super) fn new(is_behind: &Arc<AtomicBool>) -> Self {
        Self { is_behind: Arc::clone(is_behind), any: AtomicBool::new(false), contents: Mutex::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(super) fn put(&self, item: Item) {
        let mut contents = self.contents.lock();
        contents.has_range |= matches!(item, Item::Range(_));
        // What this process itself waits for is never dropped.
        let must_stay = |item: &Item| matches!(item, Item::Minted(_));
        if contents.items.len() >= MAX_ITEMS && !must_stay(&item) {
            contents.items.retain(must_stay);
            contents.unsure_since_ns = boot_ns();
        } else {
            contents.items.push(item);
        }
        self.notice();
    }

    /// Notes that something may be missing.
    pub(super) fn put_doubt(&self) {
        let mut contents = self.contents.lock();
        contents.unsure_since_ns = boot_ns();
        self.notice();
    }

    /// Under the lock of the contents.
    fn notice(&self) {
        self.any.store(true, Ordering::Release);
        self.is_behind.store(true, Ordering::Release);
    }

    /// Nothing is missing that the feed knows of; if nothing has arrived either, nobody is behind.
    pub(super) fn settle(&self) {
        let contents = self.contents.lock();
        if contents.items.is_empty() && contents.unsure_since_ns == 0 {
            self.is_behind.store(false, Ordering::Release);
        }
    }

    /// Is there a range that nobody has taken in? Then nobody reads, and it is not worth asking again.
    pub(super) fn has_range(&self) -> bool {
        self.contents.lock().has_range
    }

    pub(super) fn take(&self) -> Contents {
        let mut contents = self.contents.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *contents)
    }
}
