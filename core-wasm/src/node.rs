//! [`Node`], one segment of the trie, and [`TagHandle`], a lock-free reference to a tag's node.
//!
//! A node carries what the hit path reads: its stamp, the highest stamp below it, and the epoch of
//! the last change at or below it. Invariants: a node's `below` is at least every stamp below it,
//! its `chg` at least every `chg` below it; only the engine (`&mut`) writes, anybody reads. A
//! pending mark is the top bit of `stamp` (of `below` on the ancestors): no position has it, so one
//! comparison finds both, and a node stays small. Children are the trie's business, not a node's.

use alloc::string::String;
use core::fmt;
use core::hash::{Hash, Hasher};

use smol_str::SmolStr;
use triomphe::Arc;

use crate::clock::Timestamp;
use crate::limits::MAX_TAG_DEPTH;
use crate::mutant;
use crate::sync::{AtomicU64, Ordering};
use crate::tag::Tag;

/// Set in a raw stamp while a change of the tag is announced and not settled.
pub(crate) const PENDING: u64 = 1 << 63;

/// One segment of the trie.
pub(crate) struct Node {
    stamp: AtomicU64,
    below: AtomicU64,
    chg: AtomicU64,
    parent: Option<Arc<Node>>,
    segment: SmolStr,
    depth: u8,
    stripe: u8,
}

/// What a new node starts from.
pub(crate) struct Origin<'a> {
    pub(crate) parent: &'a Arc<Node>,
    pub(crate) segment: &'a str,
    pub(crate) stripe: u8,
    /// The floor of the parent: whatever this node forgot is at most that.
    pub(crate) floor: Timestamp,
    pub(crate) epoch: u64,
}

impl Node {
    pub(crate) fn root() -> Arc<Self> {
        Arc::new(Self {
            stamp: AtomicU64::new(0),
            below: AtomicU64::new(0),
            chg: AtomicU64::new(0),
            parent: None,
            segment: SmolStr::default(),
            depth: 0,
            stripe: 0,
        })
    }

    pub(crate) fn child(origin: &Origin<'_>) -> Arc<Self> {
        Arc::new(Self {
            stamp: AtomicU64::new(origin.floor.as_micros()),
            below: AtomicU64::new(origin.floor.as_micros()),
            chg: AtomicU64::new(origin.epoch),
            parent: Some(origin.parent.clone()),
            segment: SmolStr::new(origin.segment),
            depth: origin.parent.depth + 1,
            stripe: origin.stripe,
        })
    }

    pub(crate) fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    pub(crate) fn stripe(&self) -> u8 {
        self.stripe
    }

    pub(crate) fn segment(&self) -> &str {
        &self.segment
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// The position of the last invalidation of exactly this tag, with [`PENDING`].
    // Acquire pairs with the reset of a domain, see `Change::reset`.
    pub(crate) fn raw_stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// The highest position below, with [`PENDING`].
    pub(crate) fn raw_below(&self) -> u64 {
        self.below.load(Ordering::Acquire)
    }

    pub(crate) fn changed(&self) -> u64 {
        self.chg.load(Ordering::Relaxed)
    }

    /// The highest position at or below this node, with [`PENDING`] as it makes the result larger.
    pub(crate) fn raw_highest(&self) -> u64 {
        self.raw_stamp().max(self.raw_below())
    }

    // Only the engine writes, under `&mut`: a load and a store are as good as one atomic step.

    pub(crate) fn raise_stamp(&self, at: Timestamp) {
        raise(&self.stamp, at);
    }

    pub(crate) fn raise_below(&self, at: Timestamp) {
        raise(&self.below, at);
    }

    pub(crate) fn set_changed(&self, epoch: u64) {
        self.chg.store(epoch, Ordering::Relaxed);
    }

    pub(crate) fn set_pending(&self, pending: bool) {
        flag(&self.stamp, pending);
    }

    pub(crate) fn set_pending_below(&self, pending: bool) {
        flag(&self.below, pending);
    }

    /// Replaces the positions and keeps the pending marks: for a new domain only.
    pub(crate) fn reset(&self, to: Timestamp) {
        for cell in [&self.stamp, &self.below] {
            let pending = cell.load(Ordering::Relaxed) & PENDING;
            cell.store(pending | to.as_micros(), Ordering::Release);
        }
    }

    /// The node and everything above it, root last.
    pub(crate) fn path(node: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        core::iter::successors(Some(node), |node| node.parent())
    }

    /// Everything above the node, root last.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Arc<Self>> {
        core::iter::successors(self.parent(), |node| node.parent())
    }

    /// The nodes of the path without the root, and how many: index 0 is the first segment.
    pub(crate) fn steps_down(node: &Arc<Self>) -> ([Option<&Arc<Self>>; MAX_TAG_DEPTH], usize) {
        let mut path = [None; MAX_TAG_DEPTH];
        for above in Self::path(node).filter(|above| above.depth > 0) {
            path[above.depth() - 1] = Some(above);
        }
        (path, node.depth())
    }

    /// The tag of this node, rebuilt.
    pub(crate) fn tag(node: &Arc<Self>, subtree: bool) -> Tag {
        let (path, depth) = Self::steps_down(node);
        let mut text = String::new();
        for node in path[..depth].iter().flatten() {
            if !text.is_empty() {
                text.push(':');
            }
            text.push_str(&node.segment);
        }
        Tag::from_path(text.into(), subtree)
    }
}

fn raise(cell: &AtomicU64, at: Timestamp) {
    let raw = cell.load(Ordering::Relaxed);
    cell.store((raw & PENDING) | (raw & !PENDING).max(at.as_micros()), Ordering::Relaxed);
}

fn flag(cell: &AtomicU64, pending: bool) {
    let raw = cell.load(Ordering::Relaxed) & !PENDING;
    let pending = pending && !mutant::is_on("ignore_pending");
    cell.store(if pending { raw | PENDING } else { raw }, Ordering::Relaxed);
}

/// The position in a raw stamp.
pub(crate) fn position(raw: u64) -> Timestamp {
    Timestamp::from_micros(raw & !PENDING)
}

/// A reference to a tag in the engine's trie: compares positions without hashing and without a lock.
///
/// Comes from [`Engine::intern`](crate::Engine::intern) or a clone. While it exists, its node is not
/// pruned. Two handles are equal when they name the same tag of the same engine.
///
/// ```
/// use zoocache_core::{DomainId, Engine, EngineConfig, Tag};
///
/// let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
/// let handle = engine.intern(&Tag::parse("org:1")?);
/// let at = engine.invalidate(&[Tag::parse("org")?], 1_000)?;
/// assert_eq!(handle.latest(), at);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TagHandle {
    node: Arc<Node>,
    subtree: bool,
}

impl TagHandle {
    pub(crate) fn new(node: Arc<Node>, subtree: bool) -> Self {
        Self { node, subtree }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Identity for hashing: the address of the node, and what is meant by it.
    pub(crate) fn identity(&self) -> (usize, bool) {
        (Arc::as_ptr(&self.node).addr(), self.subtree)
    }

    /// The highest position on the path, and below it for a subtree; 0 = never invalidated.
    ///
    /// # Complexity
    /// O(depth): one load for each segment.
    pub fn latest(&self) -> Timestamp {
        self.positions().fold(Timestamp::ZERO, Timestamp::max)
    }

    /// The positions on the path, and below it for a subtree.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Timestamp> {
        let below = self.subtree.then(|| position(self.node.raw_below()));
        Node::path(&self.node).map(|node| position(node.raw_stamp())).chain(below)
    }

    /// Whether a change that covers this tag is announced and not settled.
    pub fn is_pending(&self) -> bool {
        (self.subtree && self.node.raw_below() & PENDING != 0)
            || Node::path(&self.node).any(|node| node.raw_stamp() & PENDING != 0)
    }

    /// Whether everything below the path is meant too.
    pub fn is_subtree(&self) -> bool {
        self.subtree
    }

    /// The tag, rebuilt from the path.
    pub fn tag(&self) -> Tag {
        Node::tag(&self.node, self.subtree)
    }
}

impl PartialEq for TagHandle {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for TagHandle {}

impl Hash for TagHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for TagHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TagHandle({}, latest {})", self.tag(), self.latest())
    }
}
