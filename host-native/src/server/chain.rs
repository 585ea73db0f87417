//! Rows follow one another: each row tells the position of the one before it. So a server whose data went back to an
//! earlier state gives itself away, even if it has gone on from there: nothing may lie between two rows that follow one
//! another, and what was known to lie there is gone.

use std::collections::BTreeSet;

use zoocache_core::Timestamp;

/// Of older ones nothing is told any more, as a rule.
const REMEMBERED: usize = 1_024;

/// Positions of rows of one incarnation that were seen.
#[derive(Debug, Default)]
pub(super) struct Chain {
    seen: BTreeSet<Timestamp>,
    is_broken: bool,
}

impl Chain {
    /// A row was seen at `at`. O(log n), n at most 1024.
    pub(super) fn add(&mut self, at: Timestamp) {
        self.seen.insert(at);
        if self.seen.len() > REMEMBERED {
            self.seen.pop_first();
        }
    }

    /// It was told that no row lies between `before` and `at`. Is what was seen still there? O(log n).
    pub(super) fn agrees(&mut self, before: Timestamp, at: Timestamp) -> bool {
        let is_between = |seen: &Timestamp| before < *seen && *seen < at;
        // The latest before `at` lies nearest to it.
        if self.seen.range(..at).next_back().is_some_and(is_between) {
            self.is_broken = true;
        }
        !self.is_broken
    }

    /// Did data go back? What has broken stays so until another incarnation begins.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: u64) -> Timestamp {
        Timestamp::checked(us).expect("a small number")
    }

    proptest! {
        /// Rows stand at `gaps` one after another; those of the indices `seen` were seen, in that order.
        #[test]
        fn whoever_goes_on_from_where_it_was_is_believed_and_nobody_else(
            gaps in prop::collection::vec(1_u64..5, 3..60),
            seen in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
            saved in any::<prop::sample::Index>(),
            told in any::<prop::sample::Index>(),
        ) {
            let rows: Vec<u64> = gaps.iter().scan(0, |last, gap| { *last += gap; Some(*last) }).collect();
            let mut chain = Chain::default();
            for index in &seen {
                chain.add(at(*index.get(&rows)));
            }
            let pairs: Vec<_> = rows.windows(2).collect();
            let pair = told.get(&pairs);
            prop_assert!(chain.agrees(at(pair[0]), at(pair[1])), "in any order, and again");
            let (saved, now) = (*saved.get(&rows), rows[rows.len() - 1] + 1);
            let is_lost = seen.iter().any(|index| *index.get(&rows) > saved);
            prop_assert_eq!(chain.agrees(at(saved), at(now)), !is_lost);
            prop_assert_eq!(chain.is_broken(), is_lost);
        }
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut chain = Chain::default();
        (1..5_000).for_each(|us| chain.add(at(us)));
        assert_eq!(chain.seen.len(), REMEMBERED);
    }
}
