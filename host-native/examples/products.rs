//! A shop's product pages: computed once, stale as soon as what they show changes.
//!
//! `cargo run --example products`

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use zoocache::{Cache, Error, Policy};

/// The source of truth: price in cents by store and product.
struct Shop {
    prices: Mutex<BTreeMap<(u32, u32), u32>>,
    pages: Cache<String>,
}

impl Shop {
    fn open() -> Result<Self, Error> {
        let prices = [((1, 42), 950), ((1, 43), 1_200), ((2, 42), 990)];
        Ok(Self {
            prices: Mutex::new(prices.into_iter().collect()),
            pages: Cache::builder().max_entries(10_000).build()?,
        })
    }

    fn price(&self, store: u32, product: u32) -> u32 {
        let prices = self.prices.lock().unwrap_or_else(PoisonError::into_inner);
        prices.get(&(store, product)).copied().unwrap_or_default()
    }

    /// One product's page: depends on that product in that store.
    fn product(&self, store: u32, product: u32) -> Result<String, Error> {
        self.pages.get_or_compute(format!("product/{store}/{product}"), &Policy::default(), |fill| {
            fill.depend_on_text(&format!("store:{store}:product:{product}"))?;
            println!("    (computing product {product} of store {store})");
            Ok::<_, Error>(format!("product {product}: {} cents", self.price(store, product)))
        })
    }

    /// A store's list: made of product pages, so it depends on what they depend on; and on every product
    /// below the store, also those that are yet to come.
    fn list(&self, store: u32) -> Result<String, Error> {
        let policy = Policy::default().tag(format!("store:{store}:product:*"))?;
        self.pages.get_or_compute(format!("list/{store}"), &policy, |_| {
            println!("    (computing the list of store {store})");
            let pages: Vec<_> =
                [42, 43].map(|product| self.product(store, product)).into_iter().collect::<Result<_, _>>()?;
            Ok::<_, Error>(pages.join(", "))
        })
    }

    /// First the source of truth, then the invalidation: no reader can see the old price after this.
    fn set_price(&self, store: u32, product: u32, cents: u32) -> Result<(), Error> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner).insert((store, product), cents);
        self.pages.invalidate(&[format!("store:{store}:product:{product}")])?;
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let shop = Shop::open()?;
    println!("store 1 sells {}", shop.list(1)?);
    println!("store 1 sells {}", shop.list(1)?); // a hit: nothing is computed
    println!("store 2 sells {}", shop.product(2, 42)?);

    shop.set_price(1, 42, 1_000)?;
    let why = shop.pages.explain("list/1");
    println!(
        "the list of store 1 is {}, because of {}",
        why.state.name(),
        why.cause.map_or_else(String::new, |cause| cause.tag)
    );
    println!("store 1 sells {}", shop.list(1)?); // product 43 is still a hit
    println!("store 2 sells {}", shop.product(2, 42)?); // and so is the other store

    let stats = shop.pages.stats();
    println!("{} hits, {} computations, {} stale", stats.hits, stats.computations, stats.stale);
    Ok(())
}
