//! The cached functions: each key is one, computed from some leaves, from other keys, or from both.

use std::time::Duration;

use zoocache::{Policy, Retention};

use crate::truth::{Covered, LEAVES, covered};

/// So many there are.
pub(crate) const KEYS: usize = 8;

/// When a dependency is declared: before it is read, after it was, or not at all, as something else covers it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    Before,
    After,
    Never,
}

/// What a key is computed from.
pub(crate) struct Recipe {
    /// Declared before the computation.
    pub(crate) tags: &'static [&'static str],
    /// Leaves that are read, and when each is declared.
    pub(crate) reads: &'static [(usize, Declared)],
    /// Keys that are read inside.
    pub(crate) keys: &'static [usize],
    /// Read only if the first leaf has an even version.
    pub(crate) sometimes: Option<usize>,
    pub(crate) ttl_ms: Option<u64>,
}

const NOTHING: Recipe = Recipe { tags: &[], reads: &[], keys: &[], sometimes: None, ttl_ms: None };

/// The recipe of a key.
pub(crate) fn recipe(key: usize) -> Recipe {
    use Declared::{After, Before, Never};
    match key {
        0 => Recipe { tags: &[LEAVES[0]], reads: &[(0, Never)], ..NOTHING },
        1 => Recipe { reads: &[(1, After)], ..NOTHING },
        // A list: whatever lies below.
        2 => Recipe { tags: &["a:b:*"], reads: &[(0, Never), (1, Never)], ..NOTHING },
        3 => Recipe { reads: &[(3, After)], keys: &[0], ..NOTHING },
        4 => Recipe { keys: &[3, 2], ..NOTHING },
        5 => Recipe { reads: &[(0, Before)], sometimes: Some(2), ..NOTHING },
        6 => Recipe { tags: &[LEAVES[3]], reads: &[(3, Never)], ttl_ms: Some(3), ..NOTHING },
        // Everything.
        _ => Recipe { tags: &["*"], reads: &[(2, Never), (1, Never)], ..NOTHING },
    }
}

impl Recipe {
    pub(crate) fn policy(&self) -> Policy {
        let kept = Retention { grace_ms: 60_000, keep_invalidated: true };
        let mut policy = Policy::default().retention(kept);
        for tag in self.tags {
            policy = policy.tag(tag).expect("invariant: these are tags");
        }
        match self.ttl_ms {
            Some(ttl_ms) => policy.ttl(Duration::from_millis(ttl_ms)),
            None => policy,
        }
    }
}

/// The leaves that a key depends on without reading them.
pub(crate) fn concerned(key: usize) -> Covered {
    let subtrees = recipe(key).tags.iter().filter(|tag| tag.ends_with('*'));
    let each: Vec<_> = subtrees.map(|tag| covered(tag)).collect();
    std::array::from_fn(|leaf| each.iter().any(|covered| covered[leaf]))
}

/// The name under which a key is cached.
pub(crate) fn name(key: usize) -> [u8; 1] {
    [b'a' + u8::try_from(key).unwrap_or(0)]
}

/// The key of a name.
pub(crate) fn number(name: &[u8]) -> usize {
    name.first().map_or(0, |first| usize::from(first - b'a'))
}
