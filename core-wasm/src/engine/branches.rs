//! The tags below a tag, for those who look at the hierarchy.

use alloc::vec::Vec;

use triomphe::Arc;

use super::Engine;
use crate::clock::Timestamp;
use crate::node::{Node, PENDING, position};
use crate::tag::Tag;

/// A tag just below another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The tag.
    pub tag: Tag,
    /// Position of its own latest invalidation; 0 for none that is known of.
    pub at: Timestamp,
    /// Position of the latest invalidation of anything below it; 0 for none that is known of.
    pub below: Timestamp,
    /// Whether a change of it, or of something below it, is announced.
    pub is_pending: bool,
}

impl Engine {
    /// The tags that the engine knows just below `tag`, `most` of them at most, in no order.
    ///
    /// Positions that may be those of forgotten neighbours are not told.
    ///
    /// # Complexity
    /// O(depth + most x depth).
    pub fn branches(&self, tag: &Tag, most: usize) -> Vec<Branch> {
        let (nodes, floor) = self.trie.children(tag);
        let floor = floor.max(self.signals.floor());
        let known = |raw: u64| Some(position(raw)).filter(|at| *at > floor).unwrap_or(Timestamp::ZERO);
        let branch = |node: &Arc<Node>| {
            let (own, below) = (node.raw_stamp(), node.raw_below());
            let is_pending = (own | below) & PENDING != 0;
            Branch { tag: Node::tag(node, false), at: known(own), below: known(below), is_pending }
        };
        nodes.take(most).map(branch).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::{DomainId, EngineConfig};
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag::parse(text).expect("a tag")
    }

    #[test]
    fn each_branch_has_its_own_latest_invalidation_and_that_of_what_is_below() {
        let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
        let _kept = ["shop:1", "shop:2:product:7", "shop:3"].map(|text| engine.intern(&tag(text)));
        let own = engine.invalidate(&[tag("shop:1")], 1_000).expect("a position");
        let deep = engine.invalidate(&[tag("shop:2:product:7")], 2_000).expect("a position");
        let mut branches = engine.branches(&tag("shop"), 10);
        branches.sort_by(|one, other| one.tag.as_str().cmp(other.tag.as_str()));
        let seen: Vec<_> =
            branches.iter().map(|branch| (branch.tag.as_str(), branch.at, branch.below)).collect();
        let never = Timestamp::ZERO;
        assert_eq!(seen, vec![("shop:1", own, never), ("shop:2", never, deep), ("shop:3", never, never)]);
        assert_eq!(engine.branches(&tag("shop"), 2).len(), 2);
        assert_eq!(engine.branches(&Tag::root(), 10).len(), 1);
        assert_eq!(engine.branches(&tag("nowhere:at:all"), 10), vec![]);
    }

    #[test]
    fn what_a_forgotten_neighbour_had_is_not_told() {
        let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
        engine.invalidate(&[tag("shop:1")], 1_000).expect("a position");
        engine.prune(Timestamp::MAX, 100);
        let _kept = engine.intern(&tag("shop:2"));
        let branches = engine.branches(&tag("shop"), 10);
        assert_eq!(
            branches.iter().map(|branch| (branch.tag.as_str(), branch.at)).collect::<Vec<_>>(),
            [("shop:2", Timestamp::ZERO)]
        );
    }

    #[test]
    fn an_announced_change_is_seen_from_above() {
        let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
        engine.change(&[tag("shop:1:product")], u64::MAX, 1_000);
        assert!(engine.branches(&Tag::root(), 1)[0].is_pending);
    }
}
