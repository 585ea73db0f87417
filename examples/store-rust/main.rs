//! A shop whose pages are cached, in Rust: `./dev example-rust`, or `./dev example-rust --engine component` to run the cache
//! on the WebAssembly component. The same customers see the same pages, so the table is the same.

mod shop;

use std::error::Error;

use fastrand::Rng;
use shop::{Location, ORGANIZATIONS, STORES, Shop};
use zoocache::{Cache, Fill, Policy};

const VISITS: usize = 20_000;
/// One visit of so many buys something.
const PURCHASE_EVERY: u32 = 40;
/// One page of so many is compared with the shop.
const AUDIT_EVERY: usize = 10;

/// Pages, and what they are made of.
struct Catalogue<'a> {
    cache: Cache<u64>,
    shop: &'a Shop,
}

impl Catalogue<'_> {
    fn product(&self, location: Location) -> Result<u64, zoocache::Error> {
        let policy = Policy::default().tag(location.tag())?;
        let compute = |_: &Fill| Ok::<_, zoocache::Error>(self.shop.pieces(location));
        self.cache.get_or_compute(location.tag(), &policy, compute)
    }

    /// Depends on its products without naming them, and so on whatever becomes of one.
    fn store_page(&self, organization: u32, store: u32) -> Result<u64, zoocache::Error> {
        let policy = Policy::default().tag(format!("org:{organization}:store:{store}:*"))?;
        let compute = |_: &Fill| Ok::<_, zoocache::Error>(self.shop.in_store(organization, store));
        self.cache.get_or_compute(format!("store:{organization}:{store}"), &policy, compute)
    }

    /// Is made of store pages, and depends on what they depend on.
    fn report(&self, organization: u32) -> Result<u64, zoocache::Error> {
        let compute = |_: &Fill| (0..STORES).map(|store| self.store_page(organization, store)).sum();
        self.cache.get_or_compute(format!("report:{organization}"), &Policy::default(), compute)
    }

    fn visit(&self, rng: &mut Rng) -> Result<(u64, u64), zoocache::Error> {
        let at = Shop::any(rng);
        Ok(match rng.u8(..10) {
            0..6 => (self.product(at)?, self.shop.pieces(at)),
            6..9 => {
                (self.store_page(at.organization, at.store)?, self.shop.in_store(at.organization, at.store))
            }
            _ => {
                let truth = (0..STORES).map(|store| self.shop.in_store(at.organization, store)).sum();
                (self.report(at.organization)?, truth)
            }
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = Rng::with_seed(42);
    let shop = Shop::open(&mut rng);
    let catalogue = Catalogue { cache: open_cache()?, shop: &shop };
    let (mut purchases, mut audited, mut stale) = (0, 0, 0);
    for visit in 0..VISITS {
        if rng.u32(..PURCHASE_EVERY) == 0 {
            let bought = Shop::any(&mut rng);
            shop.buy(bought);
            catalogue.cache.invalidate(&[bought.tag()])?;
            purchases += 1;
        }
        let (seen, truth) = catalogue.visit(&mut rng)?;
        if visit % AUDIT_EVERY == 0 {
            audited += 1;
            stale += usize::from(seen != truth);
        }
    }
    let stats = catalogue.cache.stats();
    let lookups = stats.hits + stats.misses + stats.stale;
    println!("  {:<44}{VISITS:>12}", "pages read");
    println!("  {:<44}{lookups:>12}", "cached calls, nested ones included");
    println!("  {:<44}{:>12}", "hits", stats.hits);
    println!("  {:<44}{:>12}", "computations", stats.computations);
    println!("  {:<44}{purchases:>12}", "purchases, each with an invalidation");
    println!("  {:<44}{audited:>12}", "pages compared with the shop");
    println!("\nstale reads: {stale}\n");
    catalogue.store_page(0, 0)?;
    catalogue.cache.invalidate(&["org:0:store:0:product:7"])?;
    let why = catalogue.cache.explain("store:0:0");
    println!(
        "why a page is not served any more: {} was invalidated",
        why.cause.map_or_else(String::new, |cause| cause.tag)
    );
    assert_eq!((stale, ORGANIZATIONS), (0, 3));
    Ok(())
}

fn open_cache() -> Result<Cache<u64>, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["--engine", "native"] => Ok(Cache::builder().build()?),
        #[cfg(feature = "component-host")]
        ["--engine", "component"] => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/zoocache-engine.wasm");
            let bytes =
                std::fs::read(path).map_err(|error| format!("{path}: {error}; run `./dev component`"))?;
            Ok(Cache::builder().component(bytes).build()?)
        }
        _ => {
            Err("usage: store [--engine native|component]; the component needs the feature component-host"
                .into())
        }
    }
}
