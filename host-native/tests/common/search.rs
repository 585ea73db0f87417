//! The search that exhaustive models share, of worlds that are small and can be copied. For others see `runs.rs`.

use std::collections::HashSet;
use std::hash::Hash;
use std::rc::Rc;

/// What a search of worlds came to.
pub(crate) struct Explored<W> {
    pub(crate) states: usize,
    /// The shortest way to a world that must not be, if there is one.
    pub(crate) way: Vec<Rc<W>>,
}

/// Visits every world that can be reached from where it may `begin`, each once, those that are near first. `step` adds
/// the worlds that one step leads to, and says whether something has happened that must not: then the search ends.
pub(crate) fn explore<W: Eq + Hash>(
    begin: impl IntoIterator<Item = W>,
    mut step: impl FnMut(&W, &mut Vec<W>) -> bool,
) -> Explored<W> {
    let mut worlds: Vec<(Rc<W>, usize)> = Vec::new();
    let mut seen = HashSet::with_hasher(foldhash::fast::RandomState::default());
    let mut next: Vec<W> = begin.into_iter().collect();
    let (mut place, mut from) = (0, usize::MAX);
    loop {
        for world in next.drain(..).map(Rc::new) {
            if seen.insert(Rc::clone(&world)) {
                worlds.push((world, from));
            }
        }
        let Some((world, _)) = worlds.get(place) else { break };
        if step(world, &mut next) {
            let back = |place: &usize| worlds.get(worlds[*place].1).map(|_| worlds[*place].1);
            let mut way: Vec<_> =
                std::iter::successors(Some(place), back).map(|place| Rc::clone(&worlds[place].0)).collect();
            way.reverse();
            return Explored { states: place + 1, way };
        }
        (from, place) = (place, place + 1);
    }
    Explored { states: worlds.len(), way: Vec::new() }
}
