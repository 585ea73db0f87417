//! The paths of an entry's dependencies, flattened for the walk.
//!
//! Invariant: [`Steps`] holds the union of the paths in pre-order, each node once, and `end` of a
//! step is the place of the first step that is not below it. The root is implied, because everything
//! depends on it; it is a step of its own, in front, only where it was declared. This module owns the
//! shape; [`crate::sealed`] decides by it.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use triomphe::Arc;

use crate::limits::MAX_TAG_DEPTH;
use crate::node::{Node, TagHandle};
use crate::signals::ALL_STRIPES;

/// The node itself is a dependency.
pub(crate) const EXACT: u8 = 1;
/// Everything at and below the node is a dependency.
pub(crate) const SUBTREE: u8 = 2;

/// One node on the path of a dependency.
pub(crate) struct Step {
    pub(crate) node: Arc<Node>,
    /// Where to go on when nothing at or below the node changed.
    pub(crate) end: u32,
    pub(crate) flags: u8,
}

/// All that an entry depends on.
pub(crate) struct Steps {
    pub(crate) steps: Box<[Step]>,
    pub(crate) mask: u64,
}

fn flag(handle: &TagHandle) -> u8 {
    if handle.is_subtree() { SUBTREE } else { EXACT }
}

impl Steps {
    /// Flattens handles.
    ///
    /// # Complexity
    /// O(n log n · depth) for n handles.
    pub(crate) fn flatten(handles: &[TagHandle]) -> Self {
        // A heap: half the speed of the standard sort, and a tenth of its code, which matters where it is downloaded.
        let sorted = handles.iter().map(InPreOrder).collect::<BinaryHeap<_>>().into_sorted_vec();
        let sorted: Vec<&TagHandle> = sorted.into_iter().map(|InPreOrder(handle)| handle).collect();
        Self { steps: flatten_sorted(&sorted).into_boxed_slice(), mask: mask_of(&sorted) }
    }
}

struct InPreOrder<'a>(&'a TagHandle);

impl Ord for InPreOrder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        in_pre_order(self.0.node(), other.0.node())
    }
}

impl PartialOrd for InPreOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InPreOrder<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InPreOrder<'_> {}

fn flatten_sorted(sorted: &[&TagHandle]) -> Vec<Step> {
    let first = sorted.first().map_or(0, |handle| handle.node().depth().max(1));
    let mut steps: Vec<Step> = Vec::with_capacity(first + sorted.len().saturating_sub(1));
    // The open steps: those on the path of the last node that was added.
    let mut open = [0_usize; MAX_TAG_DEPTH];
    let mut opened = 0;
    for handle in sorted {
        let (path, depth) = Node::steps_down(handle.node());
        if depth == 0 {
            match steps.first_mut() {
                Some(root) => root.flags |= flag(handle),
                None => steps.push(Step { node: handle.node().clone(), end: 1, flags: flag(handle) }),
            }
            continue;
        }
        let path = &path[..depth];
        let shared = path
            .iter()
            .flatten()
            .zip(&open[..opened])
            .take_while(|(node, place)| Arc::ptr_eq(node, &steps[**place].node))
            .count();
        close(&mut steps, &open[shared..opened]);
        opened = shared;
        for node in path[shared..].iter().flatten() {
            open[opened] = steps.len();
            opened += 1;
            steps.push(Step { node: (*node).clone(), end: 0, flags: 0 });
        }
        steps[open[depth - 1]].flags |= flag(handle);
    }
    close(&mut steps, &open[..opened]);
    steps
}

fn close(steps: &mut [Step], places: &[usize]) {
    let end = u32::try_from(steps.len()).expect("invariant: MAX_DEPENDENCIES paths fit 32 bits");
    for place in places {
        steps[*place].end = end;
    }
}

/// Ancestors before what is below them; siblings by their texts, so that the same entry has the same header everywhere.
fn in_pre_order(left: &Arc<Node>, right: &Arc<Node>) -> Ordering {
    let shared = left.depth().min(right.depth());
    let (mut one, mut two) = (climb(left, shared), climb(right, shared));
    if Arc::ptr_eq(one, two) {
        return left.depth().cmp(&right.depth());
    }
    while let (Some(above_one), Some(above_two)) = (one.parent(), two.parent()) {
        if Arc::ptr_eq(above_one, above_two) {
            break;
        }
        (one, two) = (above_one, above_two);
    }
    one.segment().cmp(two.segment())
}

fn climb(node: &Arc<Node>, depth: usize) -> &Arc<Node> {
    Node::path(node).nth(node.depth() - depth).expect("invariant: depth counts the parents")
}

/// The stripes that every invalidation of any of the dependencies touches at least one of.
fn mask_of(sorted: &[&TagHandle]) -> u64 {
    let mut mask = 0;
    for handle in sorted {
        match (handle.node().depth(), handle.is_subtree()) {
            (2.., _) => mask |= 1 << handle.node().stripe(),
            (_, true) => return ALL_STRIPES,
            // Whatever covers the root or the first segment alone touches all stripes: any bit will do.
            (_, false) => {}
        }
    }
    if mask == 0 { 1 } else { mask }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{DomainId, Engine, EngineConfig, Tag};
    use alloc::string::{String, ToString};

    fn flat(texts: &[&str]) -> (Steps, Vec<(String, u32, u8)>) {
        let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
        let handles: Vec<_> =
            texts.iter().map(|text| engine.intern(&Tag::parse(text).expect("valid"))).collect();
        let steps = Steps::flatten(&handles);
        let shown = steps
            .steps
            .iter()
            .map(|step| (Node::tag(&step.node, false).to_string(), step.end, step.flags))
            .collect();
        (steps, shown)
    }

    #[test]
    fn one_path_is_a_chain() {
        let (steps, shown) = flat(&["a:b:c"]);
        assert_eq!(shown, [("a".into(), 3, 0), ("a:b".into(), 3, 0), ("a:b:c".into(), 3, EXACT)]);
        assert_eq!(steps.mask.count_ones(), 1);
    }

    #[test]
    fn shared_ancestors_are_merged() {
        let (_, shown) = flat(&["a:b:c", "x", "a", "a:b:*", "a:b:d", "a:b"]);
        assert_eq!(shown.len(), 5);
        for (text, end, flags) in &shown {
            let below = shown.iter().filter(|(other, ..)| other.starts_with(text.as_str())).count();
            let place = shown.iter().position(|(other, ..)| other == text).expect("listed");
            assert_eq!(*end as usize, place + below, "{text}");
            assert_eq!(*flags, if text == "a:b" { EXACT | SUBTREE } else { EXACT }, "{text}");
        }
    }

    #[test]
    fn the_root_is_implied_unless_declared() {
        let (steps, shown) = flat(&["a", "*"]);
        assert_eq!(shown, [(String::new(), 1, SUBTREE), ("a".into(), 2, EXACT)]);
        assert_eq!(steps.mask, ALL_STRIPES);
        assert_eq!(flat(&[]).0.mask.count_ones(), 1);
        assert_eq!(flat(&["a"]).0.mask.count_ones(), 1);
        assert_eq!(flat(&["a:*"]).0.mask, ALL_STRIPES);
    }
}
