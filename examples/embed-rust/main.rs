//! The engine's component in a Rust program that knows nothing else of zoocache: a cache of a few lines around it.

use std::collections::HashMap;

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine, Result, Store, format_err};
use zoocache::engine::engine::{Config, Order};
use zoocache::engine::types::{DomainId, Verdict};

mod zoocache {
    wasmtime::component::bindgen!({ path: "../../../wit", world: "engine-component" });
    pub(crate) use exports::zoocache::engine;
}

struct Cache {
    store: Store<()>,
    api: zoocache::EngineComponent,
    engine: ResourceAny,
    /// Each value with what the engine made of it.
    values: HashMap<String, (String, ResourceAny)>,
    now: u64,
}

impl Cache {
    fn open(path: &str) -> Result<Self> {
        let runtime = Engine::default();
        let component = Component::from_file(&runtime, path)?;
        let mut store = Store::new(&runtime, ());
        let api = zoocache::EngineComponent::instantiate(&mut store, &component, &Linker::new(&runtime))?;
        let domain = DomainId { high: 0, low: 1 }; // random where entries leave the process
        let (order, max_drift, hash_seed, node_id, entries_outside) = (Order::Alone, 500_000, 0, 1, false);
        let config = Config { domain, order, max_drift, hash_seed, node_id, entries_outside };
        let engine = api.zoocache_engine_engine().engine().call_constructor(&mut store, config)?;
        Ok(Self { store, api, engine, values: HashMap::new(), now: 1_000_000 })
    }

    fn get(&mut self, key: &str, tags: &[String], compute: impl FnOnce() -> String) -> Result<String> {
        let guest = self.api.zoocache_engine_engine();
        if let Some((value, entry)) = self.values.get(key) {
            match guest.entry().call_judge(&mut self.store, *entry)? {
                Verdict::Fresh => return Ok(format!("{value} (cached)")),
                Verdict::Stale(cause) => println!("  {key} is stale: {} was invalidated", cause.tag),
                other => println!("  {key}: {other:?}"),
            }
        }
        self.now += 1_000;
        let fill = guest.engine().call_begin(&mut self.store, self.engine, self.now)?; // BEFORE it is computed
        let value = compute();
        let sealed = guest.engine().call_seal(&mut self.store, self.engine, fill, tags, None, self.now)?;
        if let Ok(entry) = sealed
            && let Some((_, old)) = self.values.insert(key.to_owned(), (value.clone(), entry))
        {
            old.resource_drop(&mut self.store)?;
        }
        Ok(value)
    }

    fn invalidate(&mut self, tag: &str) -> Result<()> {
        println!("  invalidate {tag}");
        let guest = self.api.zoocache_engine_engine();
        let at = guest.engine().call_invalidate(&mut self.store, self.engine, &[tag.to_owned()], self.now)?;
        at.map(drop).map_err(|refused| format_err!("{refused:?}"))
    }
}

fn main() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../dist/zoocache-engine.wasm");
    let mut cache = Cache::open(&std::env::args().nth(1).unwrap_or_else(|| path.to_owned()))?;
    let tags = ["org:1:store:2:product:42".to_owned()];
    for price in [7, 8] {
        println!("{}", cache.get("page", &tags, || format!("apples for {price}"))?);
        println!("{}", cache.get("page", &tags, || "never computed".to_owned())?);
        cache.invalidate("org:1:store:2")?;
    }
    println!("{}", cache.get("page", &tags, || "apples for 9".to_owned())?);
    Ok(())
}
