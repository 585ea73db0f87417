//! What all nodes share: a store of rows by key that promises little. It takes its time, forgets, and may give what was
//! there before.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::world::World;

/// What rests under a key.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) header: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Was it sealed by a clock that was hours ahead?
    pub(super) is_poisoned: bool,
}

/// So many earlier rows of a key may come back.
const KEPT: usize = 3;

#[derive(Default)]
pub(super) struct Store {
    /// The last one is the present one.
    rows: RefCell<BTreeMap<usize, Vec<Row>>>,
    delay_ns: u64,
    lags: Cell<bool>,
}

impl Store {
    pub(super) fn new(delay_ns: u64, lags: bool) -> Self {
        Self { delay_ns, lags: Cell::new(lags), ..Self::default() }
    }

    pub(super) fn get(&self, world: &World, key: usize) -> Option<Row> {
        self.travel(world);
        let row = self.rows.borrow().get(&key).and_then(|rows| {
            let is_late = self.lags.get() && world.one_in(3);
            let index =
                if is_late { usize::try_from(world.below(rows.len() as u64)).ok()? } else { rows.len() - 1 };
            rows.get(index).cloned()
        });
        self.travel(world);
        row
    }

    /// The process may have been killed on the way.
    pub(super) fn put(&self, world: &World, key: usize, row: Row) {
        self.travel(world);
        if !world.is_dead(world.here()) {
            let mut rows = self.rows.borrow_mut();
            let rows = rows.entry(key).or_default();
            rows.push(row);
            if rows.len() > KEPT {
                rows.remove(0);
            }
        }
        self.travel(world);
    }

    fn travel(&self, world: &World) {
        match world.below(self.delay_ns + 1) {
            0 => world.step(),
            ns => world.pause(ns),
        }
    }

    /// What is there, or was; for whoever meddles.
    pub(super) fn any(&self, world: &World, key: usize) -> Option<Row> {
        let rows = self.rows.borrow();
        let rows = rows.get(&key)?;
        rows.get(usize::try_from(world.below(rows.len() as u64)).ok()?).cloned()
    }

    /// Puts a row there by other means than those of a node.
    pub(super) fn slip(&self, key: usize, row: Row) {
        self.rows.borrow_mut().entry(key).or_default().push(row);
    }

    pub(super) fn lose(&self, key: usize) {
        self.rows.borrow_mut().remove(&key);
    }

    /// From now on what is read was written last.
    pub(super) fn heal(&self) {
        self.lags.set(false);
    }
}
