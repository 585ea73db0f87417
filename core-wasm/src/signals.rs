//! [`Signals`]: what readers need without the engine, and the one way in which it is written.
//!
//! Invariant (publish last, read first): a [`Change`] writes stamps, `chg`, stripes, `applied`, and
//! only then the epoch; a reader reads the epoch first and remembers that reading, never a newer one.
//! So whoever sees an epoch sees everything that led to it. This module decides no freshness.

use alloc::sync::Arc as SharedArc;
use core::fmt;

use triomphe::Arc;

use crate::clock::Timestamp;
use crate::limits::STRIPES;
use crate::mutant;
use crate::node::Node;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Mask of an entry that every change may concern.
pub(crate) const ALL_STRIPES: u64 = u64::MAX;

/// The words that every hit reads, on a cache line of their own.
#[repr(align(64))]
struct Hot {
    epoch: AtomicU64,
    applied: AtomicU64,
    floor: AtomicU64,
    generation: AtomicU32,
    in_doubt: AtomicBool,
}

#[repr(align(64))]
struct Stripes([AtomicU64; STRIPES]);

/// The engine's state that is readable from any thread, without its lock.
pub struct Signals {
    hot: Hot,
    stripes: Stripes,
    root: Arc<Node>,
}

impl Signals {
    pub(crate) fn new(epoch: u64, generation: u32) -> SharedArc<Self> {
        SharedArc::new(Self {
            hot: Hot {
                epoch: AtomicU64::new(epoch),
                applied: AtomicU64::new(0),
                floor: AtomicU64::new(0),
                generation: AtomicU32::new(generation),
                in_doubt: AtomicBool::new(false),
            },
            stripes: Stripes(core::array::from_fn(|_| AtomicU64::new(epoch))),
            root: Node::root(),
        })
    }

    /// The local count of changes; whoever reads it sees everything that led to it.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.hot.epoch.load(Ordering::Acquire)
    }

    /// The position up to which invalidations are applied without a gap.
    pub fn applied(&self) -> Timestamp {
        Timestamp::from_micros(self.hot.applied.load(Ordering::Acquire))
    }

    /// Entries whose `as_of` lies below this are stale.
    pub fn floor(&self) -> Timestamp {
        Timestamp::from_micros(self.hot.floor.load(Ordering::Acquire))
    }

    /// Counts the domains this engine has belonged to.
    pub fn generation(&self) -> u32 {
        self.hot.generation.load(Ordering::Acquire)
    }

    /// Whether something was missed, so that nothing can be proved until the log has been read.
    pub fn in_doubt(&self) -> bool {
        self.hot.in_doubt.load(Ordering::Acquire)
    }

    pub(crate) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Level 1: whether none of the stripes in `mask` changed after the epoch `checked`.
    pub(crate) fn is_quiet(&self, mask: u64, checked: u64) -> bool {
        if mask == ALL_STRIPES {
            return false; // 64 loads cost more than the walk, which starts at the root anyway
        }
        let mut left = mask;
        while left != 0 {
            let stripe = left.trailing_zeros() as usize;
            if self.stripes.0[stripe].load(Ordering::Relaxed) > checked {
                return false;
            }
            left &= left - 1;
        }
        true
    }

    /// Shows those of another engine; its epoch last.
    #[cfg(feature = "mirror")]
    pub(crate) fn mirror(&self, other: crate::Mirrored) {
        let hot = &self.hot;
        hot.applied.store(other.applied.as_micros(), Ordering::Release);
        hot.floor.store(other.floor.as_micros(), Ordering::Release);
        hot.generation.store(other.generation, Ordering::Release);
        hot.in_doubt.store(other.in_doubt, Ordering::Release);
        hot.epoch.store(other.epoch, Ordering::Release);
    }

    /// Moves `applied`, never back. By itself it changes no answer.
    pub(crate) fn advance_applied(&self, to: Timestamp) {
        self.hot.applied.store(self.applied().max(to).as_micros(), Ordering::Release);
    }

    /// Begins a change. The caller holds the engine exclusively: there is one writer.
    pub(crate) fn change(&self) -> Change<'_> {
        let epoch = self.hot.epoch.load(Ordering::Relaxed) + 1;
        if mutant::is_on("stamp_after_epoch") {
            self.hot.epoch.store(epoch, Ordering::Release);
        }
        Change { signals: self, epoch }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signals")
            .field("epoch", &self.epoch())
            .field("applied", &self.applied())
            .field("floor", &self.floor())
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

/// One change of what readers see; nothing of it counts before [`Change::publish`].
#[must_use = "a change that is not published may stay unseen for ever"]
pub(crate) struct Change<'a> {
    signals: &'a Signals,
    epoch: u64,
}

impl Change<'_> {
    /// An invalidation of exactly this node.
    pub(crate) fn stamp(&self, node: &Node, at: Timestamp) {
        node.raise_stamp(at);
        raise_above(node, at);
        self.touch(node);
    }

    /// An invalidation of something below this node.
    pub(crate) fn stamp_below(&self, node: &Node, at: Timestamp) {
        node.raise_below(at);
        raise_above(node, at);
        self.touch(node);
    }

    /// Makes everybody who depends on this node, on its ancestors' subtrees or below it look again.
    pub(crate) fn touch(&self, node: &Node) {
        node.set_changed(self.epoch);
        node.ancestors().for_each(|ancestor| ancestor.set_changed(self.epoch));
        if node.depth() < 2 {
            self.touch_all();
        } else {
            self.signals.stripes.0[usize::from(node.stripe())].store(self.epoch, Ordering::Relaxed);
        }
    }

    /// Makes everybody look again.
    pub(crate) fn touch_all(&self) {
        self.signals.root.set_changed(self.epoch);
        self.signals.stripes.0.iter().for_each(|stripe| stripe.store(self.epoch, Ordering::Relaxed));
    }

    /// Moves `applied`, never back.
    pub(crate) fn advance(&self, to: Timestamp) {
        self.signals.advance_applied(to);
    }

    /// Raises the floor, never back, and makes everybody look again.
    pub(crate) fn raise_floor(&self, to: Timestamp) {
        let to = self.signals.floor().max(to);
        self.signals.hot.floor.store(to.as_micros(), Ordering::Release);
        self.touch_all();
    }

    /// Says whether anything was missed, and makes everybody look again.
    pub(crate) fn set_doubt(&self, in_doubt: bool) {
        self.signals.hot.in_doubt.store(in_doubt, Ordering::Release);
        self.touch_all();
    }

    /// Enters another domain, in which positions may be lower.
    ///
    /// The generation is raised *before* the caller resets any stamp: a reader that meets a reset
    /// stamp (acquire) finds the new generation when it looks again after its walk.
    pub(crate) fn enter_domain(&self, floor: Timestamp) {
        let generation = self.signals.hot.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.signals.hot.generation.store(generation, Ordering::Release);
        self.signals.hot.floor.store(floor.as_micros(), Ordering::Release);
        self.signals.hot.applied.store(floor.as_micros(), Ordering::Release);
        self.touch_all();
    }

    /// Publishes: the epoch goes LAST, so that whoever reads it sees all of the above.
    pub(crate) fn publish(self) {
        let is_position = mutant::is_on("applied_as_epoch");
        let epoch = if is_position { self.signals.applied().as_micros() } else { self.epoch };
        self.signals.hot.epoch.store(epoch, Ordering::Release);
    }
}

/// Tells the ancestors' subtrees.
fn raise_above(node: &Node, at: Timestamp) {
    if !mutant::is_on("below_not_raised") {
        node.ancestors().for_each(|ancestor| ancestor.raise_below(at));
    }
}
