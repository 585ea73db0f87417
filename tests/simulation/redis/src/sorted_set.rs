//! A sorted set: members by their scores, and those of one score by their bytes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SortedSet {
    scores: BTreeMap<Arc<[u8]>, f64>,
    order: BTreeSet<(Score, Arc<[u8]>)>,
}

/// Never NaN, and never a negative zero.
#[derive(Debug, Clone, Copy)]
struct Score(f64);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

/// Where a range of scores begins or ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) score: f64,
    pub(crate) is_excluded: bool,
}

impl SortedSet {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Is it new?
    pub(crate) fn insert(&mut self, member: &[u8], score: f64) -> bool {
        // Small sets of a real server know one zero only.
        let score = score + 0.0;
        if let Some((member, old)) = self.scores.get_key_value(member) {
            if Score(*old) != Score(score) {
                let (member, old) = (Arc::clone(member), Score(*old));
                self.order.remove(&(old, Arc::clone(&member)));
                self.order.insert((Score(score), Arc::clone(&member)));
                self.scores.insert(member, score);
            }
            return false;
        }
        let member: Arc<[u8]> = Arc::from(member);
        self.order.insert((Score(score), Arc::clone(&member)));
        self.scores.insert(member, score);
        true
    }

    /// Was it there?
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.scores.remove_entry(member);
        removed.is_some_and(|(member, score)| self.order.remove(&(Score(score), member)))
    }

    /// Members from one place to another, both included; negative ones count from the end.
    pub(crate) fn by_place(&self, first: i64, last: i64) -> Vec<(&[u8], f64)> {
        let length = i64::try_from(self.len()).unwrap_or(i64::MAX);
        let place = |place: i64| if place < 0 { place.saturating_add(length) } else { place };
        let (first, last) = (place(first).max(0), place(last).min(length - 1));
        if first > last {
            return Vec::new();
        }
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let places = |places: i64| usize::try_from(places).unwrap_or(usize::MAX);
        // From the nearer end: the last member is asked for most.
        let before_end = length - 1 - last;
        if before_end < first {
            let mut members: Vec<_> =
                self.order.iter().rev().skip(places(before_end)).take(count).map(pair).collect();
            members.reverse();
            members
        } else {
            self.order.iter().skip(places(first)).take(count).map(pair).collect()
        }
    }

    /// Members of a range of scores.
    pub(crate) fn by_score(&self, min: Bound, max: Bound) -> impl Iterator<Item = (&[u8], f64)> {
        let from = (Score(if min.is_excluded { min.score.next_up() } else { min.score }), Arc::from([]));
        let members = self.order.range(from..).map(pair);
        // Nothing is above infinity, so it may still be there.
        let members = members.skip_while(move |(_, score)| min.is_excluded && *score <= min.score);
        members.take_while(
            move |(_, score)| if max.is_excluded { *score < max.score } else { *score <= max.score },
        )
    }
}

fn pair((score, member): &(Score, Arc<[u8]>)) -> (&[u8], f64) {
    (member, score.0)
}
