//! [`DependencySet`]: what a running fill depends on, collected as the fill finds out.
//!
//! Invariant: no handle twice, in order of first insertion. Collecting is not judging: when a
//! dependency was found does not matter, because the entry is judged by the `as_of` of its beginning.

use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::limits::SCANNED_DEPENDENCIES;
use crate::node::TagHandle;
use crate::sealed::Sealed;

/// The dependencies of a running fill, each once.
///
/// ```
/// use zoocache_core::{DependencySet, DomainId, Engine, EngineConfig, Tag};
///
/// let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
/// let mut dependencies = DependencySet::new();
/// let store = engine.intern(&Tag::parse("org:1:store:2")?);
/// assert!(dependencies.insert(store.clone()));
/// assert!(!dependencies.insert(store));
/// assert_eq!(dependencies.len(), 1);
/// # Ok::<(), zoocache_core::TagError>(())
/// ```
#[derive(Clone, Default)]
pub struct DependencySet {
    handles: Vec<TagHandle>,
    /// Places in `handles`; empty while scanning is faster.
    index: HashTable<u32>,
}

impl DependencySet {
    /// A set without dependencies; allocates nothing.
    pub const fn new() -> Self {
        Self { handles: Vec::new(), index: HashTable::new() }
    }

    /// Adds a dependency; returns whether it was new.
    ///
    /// # Complexity
    /// O(1), amortised.
    pub fn insert(&mut self, handle: TagHandle) -> bool {
        if self.handles.len() < SCANNED_DEPENDENCIES {
            if self.handles.contains(&handle) {
                return false;
            }
            self.handles.push(handle);
            return true;
        }
        if self.index.is_empty() {
            for place in 0..self.handles.len() {
                self.remember(place);
            }
        }
        let found = self.index.find(hash(&handle), |place| self.handles[*place as usize] == handle);
        if found.is_some() {
            return false;
        }
        self.handles.push(handle);
        self.remember(self.handles.len() - 1);
        true
    }

    /// Adds all dependencies of an entry that was used: on a hit as well as after a fill.
    pub fn absorb(&mut self, entry: &Sealed) {
        for handle in entry.dependencies() {
            self.insert(handle);
        }
    }

    fn remember(&mut self, place: usize) {
        let short = u32::try_from(place).expect("invariant: memory ends before 2^32 handles");
        let handles = &self.handles;
        self.index.insert_unique(hash(&handles[place]), short, |place| hash(&handles[*place as usize]));
    }
}

fn hash(handle: &TagHandle) -> u64 {
    // Addresses are not chosen by whoever names tags: no seed needed.
    FixedState::default().hash_one(handle.identity())
}

/// As a slice, in order of first insertion.
impl core::ops::Deref for DependencySet {
    type Target = [TagHandle];

    fn deref(&self) -> &[TagHandle] {
        &self.handles
    }
}

impl<'a> IntoIterator for &'a DependencySet {
    type Item = &'a TagHandle;
    type IntoIter = core::slice::Iter<'a, TagHandle>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<TagHandle> for DependencySet {
    fn extend<I: IntoIterator<Item = TagHandle>>(&mut self, handles: I) {
        for handle in handles {
            self.insert(handle);
        }
    }
}

impl FromIterator<TagHandle> for DependencySet {
    fn from_iter<I: IntoIterator<Item = TagHandle>>(handles: I) -> Self {
        let mut set = Self::new();
        set.extend(handles);
        set
    }
}

impl fmt::Debug for DependencySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}
