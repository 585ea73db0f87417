//! A shop with organizations, stores and products, that answers slowly enough to be cached.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fastrand::Rng;

/// Where a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) organization: u32,
    pub(crate) store: u32,
    pub(crate) product: u32,
}

impl Location {
    /// Whoever invalidates `org:1:store:2` invalidates its products, too.
    pub(crate) fn tag(self) -> String {
        let Self { organization, store, product } = self;
        format!("org:{organization}:store:{store}:product:{product}")
    }
}

/// The source of truth: pieces in stock.
pub(crate) struct Shop {
    stock: Mutex<BTreeMap<Location, u64>>,
}

pub(crate) const ORGANIZATIONS: u32 = 3;
pub(crate) const STORES: u32 = 4;
pub(crate) const PRODUCTS: u32 = 25;

impl Shop {
    pub(crate) fn open(rng: &mut Rng) -> Self {
        let mut stock = BTreeMap::new();
        for organization in 0..ORGANIZATIONS {
            for store in 0..STORES {
                for product in 0..PRODUCTS {
                    stock.insert(Location { organization, store, product }, rng.u64(..100));
                }
            }
        }
        Self { stock: Mutex::new(stock) }
    }

    pub(crate) fn any(rng: &mut Rng) -> Location {
        // Some stores are visited more than others.
        let store = rng.u32(..STORES).min(rng.u32(..STORES));
        Location { organization: rng.u32(..ORGANIZATIONS), store, product: rng.u32(..PRODUCTS) }
    }

    pub(crate) fn pieces(&self, location: Location) -> u64 {
        self.stock.lock().expect("nobody panics here")[&location]
    }

    pub(crate) fn buy(&self, location: Location) {
        let mut stock = self.stock.lock().expect("nobody panics here");
        let pieces = stock.get_mut(&location).expect("a place in the shop");
        *pieces = if *pieces == 0 { 100 } else { *pieces - 1 };
    }

    pub(crate) fn in_store(&self, organization: u32, store: u32) -> u64 {
        let at = |product| Location { organization, store, product };
        (0..PRODUCTS).map(|product| self.pieces(at(product))).sum()
    }
}
