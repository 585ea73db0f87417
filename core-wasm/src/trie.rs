//! The trie: who owns the nodes, top down, and forgets those that can no longer decide anything.
//!
//! Invariants: every node but the root is in its parent's table and exactly once in the rotation;
//! a node is removed only when nobody else refers to it (so it has no children and no handle); and
//! forgetting raises the parent's floor *first* and removes *second*, so that no version is ever
//! under-reported. It knows positions, but neither entries nor the clock.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use triomphe::Arc;

use crate::clock::Timestamp;
use crate::limits::STRIPES;
use crate::mutant;
use crate::node::{Node, Origin, PENDING, TagHandle, position};
use crate::tag::Tag;

/// The children of a node, and what its forgotten ones had at most.
#[derive(Default)]
struct Children {
    table: HashTable<Branch>,
    floor: Timestamp,
}

struct Branch {
    node: Arc<Node>,
    children: Option<Box<Children>>,
}

/// Two owners of a node that nobody uses: its parent's table, and the rotation step that looks.
const UNUSED: usize = 2;

pub(crate) struct Trie {
    root: Arc<Node>,
    children: Option<Box<Children>>,
    rotation: VecDeque<Arc<Node>>,
    hasher: FixedState,
}

/// What the trie knows of a tag, whether or not it has a node.
#[derive(Clone, Copy)]
pub(crate) struct Survey {
    /// The highest position that concerns it.
    pub(crate) latest: Timestamp,
    /// The earliest after the one that was asked for.
    pub(crate) earliest: Option<(Timestamp, Place)>,
    /// Of a change that is announced, the one that lies highest.
    pub(crate) pending: Option<Place>,
    after: Timestamp,
}

/// Where on the path of a tag: after so many segments, and whether it was something below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) depth: usize,
    pub(crate) is_below: bool,
}

impl Survey {
    /// Takes in a position, with [`PENDING`], of a place.
    pub(crate) fn look(&mut self, raw: u64, depth: usize, is_below: bool) {
        let (at, place) = (position(raw), Place { depth, is_below });
        self.latest = self.latest.max(at);
        if at > self.after && self.earliest.is_none_or(|(earliest, _)| at < earliest) {
            self.earliest = Some((at, place));
        }
        if raw & PENDING != 0 {
            self.pending.get_or_insert(place);
        }
    }
}

impl Trie {
    pub(crate) fn new(root: Arc<Node>, seed: u64) -> Self {
        Self { root, children: None, rotation: VecDeque::new(), hasher: FixedState::with_seed(seed) }
    }

    /// Nodes without the root.
    pub(crate) fn len(&self) -> usize {
        self.rotation.len()
    }

    /// The node of a tag, created with the floor of its parent where it is missing.
    pub(crate) fn node(&mut self, tag: &Tag, epoch: u64) -> Arc<Node> {
        let Self { root, children, rotation, hasher } = self;
        let mut node: &Arc<Node> = root;
        let mut children = children;
        for segment in tag.segments() {
            let Children { table, floor } = &mut **children.get_or_insert_default();
            let hash = hasher.hash_one(segment);
            let entry = table.entry(
                hash,
                |branch| branch.node.segment() == segment,
                |branch| hasher.hash_one(branch.node.segment()),
            );
            let branch = match entry {
                Entry::Occupied(occupied) => occupied.into_mut(),
                Entry::Vacant(vacant) => {
                    let stripe = stripe_of(node, hash, hasher);
                    let child = Node::child(&Origin { parent: node, segment, stripe, floor: *floor, epoch });
                    if rotation.len() == rotation.capacity() {
                        // By an eighth, not by doubling: the slot counts among a node's bytes.
                        rotation.reserve_exact(rotation.len() / 8 + 16);
                    }
                    rotation.push_back(child.clone());
                    vacant.insert(Branch { node: child, children: None }).into_mut()
                }
            };
            node = &branch.node;
            children = &mut branch.children;
        }
        node.clone()
    }

    /// A handle to a tag's node.
    pub(crate) fn intern(&mut self, tag: &Tag, epoch: u64) -> TagHandle {
        TagHandle::new(self.node(tag, epoch), tag.is_subtree())
    }

    /// What is known of a tag, without making a node for it, and what of it lies `after` a position. Never less than the
    /// truth.
    pub(crate) fn survey(&self, tag: &Tag, after: Timestamp) -> Survey {
        let mut survey = Survey { latest: Timestamp::ZERO, earliest: None, pending: None, after };
        let mut node = &self.root;
        let mut children = &self.children;
        let mut depth = 0;
        survey.look(node.raw_stamp(), depth, false);
        for segment in tag.segments() {
            depth += 1;
            let Some(known) = children else { return survey };
            let hash = self.hasher.hash_one(segment);
            let Some(branch) = known.table.find(hash, |branch| branch.node.segment() == segment) else {
                // Absent: it had at most the floor, and so had everything below it.
                survey.look(known.floor.as_micros(), depth, false);
                return survey;
            };
            node = &branch.node;
            children = &branch.children;
            survey.look(node.raw_stamp(), depth, false);
        }
        if tag.is_subtree() {
            survey.look(node.raw_below(), depth, true);
        }
        survey
    }

    /// The nodes just below a tag, in no order, and what those that were forgotten had at most.
    pub(crate) fn children(&self, tag: &Tag) -> (impl Iterator<Item = &Arc<Node>>, Timestamp) {
        let mut children = self.children.as_deref();
        for segment in tag.segments() {
            let hash = self.hasher.hash_one(segment);
            let found =
                children.and_then(|known| known.table.find(hash, |branch| branch.node.segment() == segment));
            children = found.and_then(|branch| branch.children.as_deref());
        }
        let floor = children.map_or(Timestamp::ZERO, |known| known.floor);
        let nodes = children.into_iter().flat_map(|known| known.table.iter().map(|branch| &branch.node));
        (nodes, floor)
    }

    /// Moves the clock hand by up to `steps` nodes; returns how many it removed.
    ///
    /// Removed is what nobody uses and whose positions are at most `horizon`.
    pub(crate) fn rotate(&mut self, steps: usize, horizon: Timestamp) -> usize {
        let mut removed = 0;
        for _ in 0..steps.min(self.rotation.len()) {
            let Some(node) = self.rotation.pop_front() else { break };
            // A pending mark makes the raw value larger than any horizon. No new handle can appear:
            // the caller has the trie exclusively, and clones need a handle that is counted.
            if self.is_unused(&node) && node.raw_highest() <= horizon.as_micros() {
                self.remove(&node);
                removed += 1;
            } else {
                self.rotation.push_back(node);
            }
        }
        if self.rotation.capacity() > 64 && self.rotation.len() < self.rotation.capacity() / 8 {
            self.rotation.shrink_to(self.rotation.len() * 2);
        }
        removed
    }

    /// Is there neither a handle to this node, which was taken out of the rotation, nor a child?
    fn is_unused(&self, node: &Arc<Node>) -> bool {
        let is_parent = |other: &Arc<Node>| other.parent().is_some_and(|parent| Arc::ptr_eq(parent, node));
        Arc::strong_count(node) == UNUSED
            || (mutant::is_on("detached_handle") && !self.rotation.iter().any(is_parent))
    }

    /// Forgets a node that nobody uses.
    fn remove(&mut self, node: &Arc<Node>) {
        const ATTACHED: &str = "invariant: a node in the rotation is attached";
        let (path, depth) = Node::steps_down(node);
        let hasher = &self.hasher;
        let mut slot = &mut self.children;
        for ancestor in path[..depth - 1].iter().flatten() {
            let hash = hasher.hash_one(ancestor.segment());
            let known = slot.as_mut().expect(ATTACHED);
            let found = known.table.find_mut(hash, |branch| Arc::ptr_eq(&branch.node, ancestor));
            slot = &mut found.expect(ATTACHED).children;
        }
        let Children { table, floor } = &mut **slot.as_mut().expect(ATTACHED);
        if !mutant::is_on("prune_without_floor") {
            *floor = position(node.raw_highest()).max(*floor); // FIRST
        }
        let hash = hasher.hash_one(node.segment());
        let found = table.find_entry(hash, |branch| Arc::ptr_eq(&branch.node, node));
        drop(found.ok().expect(ATTACHED).remove()); // SECOND
        if table.is_empty() {
            *table = HashTable::new();
            if *floor == Timestamp::ZERO {
                *slot = None;
            }
        } else if table.capacity() > 64 && table.len() < table.capacity() / 8 {
            let room = table.len() * 2;
            table.shrink_to(room, |branch| hasher.hash_one(branch.node.segment()));
        }
    }

    /// Replaces every position by `to`: for a new domain.
    pub(crate) fn reset(&mut self, to: Timestamp) {
        fn floors(children: &mut Children, to: Timestamp) {
            children.floor = to;
            for branch in &mut children.table {
                branch.node.reset(to);
                branch.children.iter_mut().for_each(|below| floors(below, to));
            }
        }
        self.root.reset(to);
        self.children.iter_mut().for_each(|children| floors(children, to));
    }

    /// Calls `visit` with every node but the root and the floor of its children, in the order of the rotation: that of
    /// a hash table differs between machines.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Node>, Timestamp)) {
        for node in &self.rotation {
            let (path, depth) = Node::steps_down(node);
            let mut children = &self.children;
            for step in path[..depth].iter().flatten() {
                let hash = self.hasher.hash_one(step.segment());
                let found = children
                    .as_ref()
                    .and_then(|known| known.table.find(hash, |branch| Arc::ptr_eq(&branch.node, step)));
                children = &found.expect("invariant: a node in the rotation is attached").children;
            }
            visit(node, children.as_ref().map_or(Timestamp::ZERO, |below| below.floor));
        }
    }

    /// The floor of the root's children.
    pub(crate) fn root_floor(&self) -> Timestamp {
        self.children.as_ref().map_or(Timestamp::ZERO, |children| children.floor)
    }

    /// Raises the floor of a tag's children: for a snapshot that is read back.
    pub(crate) fn raise_floor(&mut self, tag: &Tag, to: Timestamp) {
        let mut slot = &mut self.children;
        for segment in tag.segments() {
            let hash = self.hasher.hash_one(segment);
            let found = slot
                .as_mut()
                .and_then(|known| known.table.find_mut(hash, |branch| branch.node.segment() == segment));
            slot = &mut found.expect("invariant: the node was just created").children;
        }
        if to > Timestamp::ZERO {
            let known = slot.get_or_insert_default();
            known.floor = known.floor.max(to);
        }
    }
}

/// The stripe of a child of `parent`: the first two segments decide, all below inherit.
fn stripe_of(parent: &Node, hash: u64, hasher: &FixedState) -> u8 {
    if parent.depth() >= 2 {
        return parent.stripe();
    }
    let first = if parent.depth() == 1 { hasher.hash_one(parent.segment()).rotate_left(29) } else { 0 };
    let stripe = ((hash ^ first) >> 32) % STRIPES as u64;
    u8::try_from(stripe).expect("invariant: there are at most 64 stripes")
}
