//! `cargo run -p xtask`: builds the components into `dist/`, and says what is in them. With the argument `shop` it builds the
//! application of `tests/hosts/wasi`, with its cache in it.
//!
//! A module comes from Cargo, and is encoded as a component by the types that its bindings left in it. What comes out is
//! checked: it must import what it may and no more, be small, and say the same as `wit/`.

mod build;
mod check;
mod compose;

use std::path::Path;

use anyhow::{Result, bail};

use check::Component;

const ENGINE: Component =
    Component { name: "zoocache-engine.wasm", world: "engine-component", most_bytes: 96 * 1024 };
const CACHE: Component =
    Component { name: "zoocache-cache.wasm", world: "cache-component", most_bytes: 96 * 1024 };
const BUS_NONE: Component =
    Component { name: "zoocache-bus-none.wasm", world: "bus-component", most_bytes: 8 * 1024 };
const CACHE_ALONE: Component =
    Component { name: "zoocache-cache-alone.wasm", world: "cache-alone-component", most_bytes: 104 * 1024 };

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: a member of the workspace");
    let dist = root.join("dist");
    std::fs::create_dir_all(&dist)?;
    match std::env::args().nth(1).as_deref() {
        None => components(root, &dist),
        Some("shop") => shop(root, &dist),
        Some(other) => {
            bail!("{other:?} is nothing to build: only \"shop\" is, or nothing for the components")
        }
    }
}

fn components(root: &Path, dist: &Path) -> Result<()> {
    let engine = build::component(root, "component")?;
    let cache = build::component(root, "component-cache")?;
    let bus_none = build::component(root, "component-bus")?;
    let cache_alone = compose::filled(&cache, &bus_none)?;
    let built = [(ENGINE, engine), (CACHE, cache), (BUS_NONE, bus_none), (CACHE_ALONE, cache_alone)];
    for (component, bytes) in &built {
        std::fs::write(dist.join(component.name), bytes)?;
    }
    built.iter().try_for_each(|(component, bytes)| component.check(bytes, &root.join("wit")))
}

fn shop(root: &Path, dist: &Path) -> Result<()> {
    let application = build::program(root, "zoocache-hosts-wasi-shop")?;
    let shop = compose::filled(&application, &std::fs::read(dist.join(CACHE_ALONE.name))?)?;
    std::fs::write(dist.join("zoocache-shop.wasm"), shop)?;
    Ok(())
}
