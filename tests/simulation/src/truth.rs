//! The source of truth that is cached: a few leaves, each with a version that only rises from 1.

use std::cell::RefCell;

/// The tags of the leaves: few, so that things happen to the same ones.
pub(crate) const LEAVES: [&str; 4] = ["a:b:0", "a:b:1", "a:c:0", "d:0"];

/// A version of each leaf; 0 where nothing is said.
pub(crate) type Versions = [u32; LEAVES.len()];

/// Which leaves.
pub(crate) type Covered = [bool; LEAVES.len()];

/// Which leaves a tag covers when it is invalidated, as the promises say it; the empty one is the root.
pub(crate) fn covered(tag: &str) -> Covered {
    let tag = tag.strip_suffix(":*").unwrap_or(tag).trim_start_matches('*');
    LEAVES.map(|leaf| {
        tag.is_empty() || leaf == tag || leaf.strip_prefix(tag).is_some_and(|rest| rest.starts_with(':'))
    })
}

/// The higher one of each.
pub(crate) fn highest(left: &Versions, right: &Versions) -> Versions {
    std::array::from_fn(|leaf| left[leaf].max(right[leaf]))
}

/// All versions of a leaf, and when they began.
#[derive(Default)]
pub(crate) struct Truth {
    leaves: RefCell<[Vec<u64>; LEAVES.len()]>,
}

impl Truth {
    pub(crate) fn read(&self, leaf: usize) -> u32 {
        1 + u32::try_from(self.leaves.borrow()[leaf].len()).unwrap_or(u32::MAX - 1)
    }

    pub(crate) fn write(&self, leaf: usize, now_ns: u64) {
        self.leaves.borrow_mut()[leaf].push(now_ns);
    }

    /// The versions of some leaves as they were at a time.
    pub(crate) fn at(&self, now_ns: u64, covered: Covered) -> Versions {
        let leaves = self.leaves.borrow();
        std::array::from_fn(|leaf| {
            if !covered[leaf] {
                return 0;
            }
            let written = leaves[leaf].partition_point(|written_ns| *written_ns <= now_ns);
            1 + u32::try_from(written).unwrap_or(u32::MAX - 1)
        })
    }
}
