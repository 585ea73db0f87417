//! For hosts whose engine runs elsewhere, as the component does: its signals, and entries of it, without judging anything.
//!
//! The engine here only names tags. What it says of positions means nothing; the other one is asked.

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::node::TagHandle;
use crate::sealed::Sealed;
use crate::steps::Steps;

/// What readers need of another engine without asking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Its count of changes.
    pub epoch: u64,
    /// Up to which position it has applied invalidations.
    pub applied: Timestamp,
    /// Entries below are stale.
    pub floor: Timestamp,
    /// How many domains it has belonged to.
    pub generation: u32,
    /// Whether nothing can be proved.
    pub in_doubt: bool,
}

impl Engine {
    /// Shows the other engine's signals to whoever reads this one's. To be called after each change of the other, before
    /// anybody relies on it.
    pub fn mirror(&mut self, other: Mirrored) {
        self.signals().mirror(other);
    }

    /// An entry of the other engine: not judged, and not proved.
    ///
    /// # Complexity
    /// O(n log n · depth) for n dependencies.
    pub fn carry(&self, as_of: Timestamp, dependencies: &[TagHandle]) -> Sealed {
        Sealed::new(as_of, self.signals().generation(), Steps::flatten(dependencies))
    }
}

impl Sealed {
    /// Remembers that the other engine found the entry fresh at this epoch, which was read before it was asked.
    pub fn prove(&self, epoch: u64) {
        self.set_checked(epoch);
    }
}
