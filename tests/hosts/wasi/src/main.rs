//! Runs the cache component in wasmtime, and checks what its users see.
//!
//! First a shop with its cache in it, on the stock crates: its own key-value store, and nothing of ours but the lines that link
//! them (`stock`). Then the cache by itself, on a host that can do what a stock one cannot: damage a bucket, keep it, be a
//! bus, set the clock (`host`). Needs what `cargo run -p xtask` and `cargo run -p xtask shop` put into `dist/`.

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings;
mod chance;
mod checks;
mod host;
mod nodes;
mod single;
mod stock;

use std::path::Path;
use std::process::ExitCode;

use wasmtime::Engine;
use wasmtime::Result;
use wasmtime::component::Component;
use wasmtime::error::Context;

use checks::Checks;

fn main() -> Result<ExitCode> {
    let engine = Engine::default();
    let mut checks = Checks::default();

    let shop = load(&engine, "zoocache-shop.wasm")?;
    stock::tour(&engine, &shop, &mut checks)?;
    let cache = load(&engine, "zoocache-cache.wasm")?;
    single::run(&engine, &cache, &mut checks)?;
    nodes::run(&engine, &cache, &mut checks)?;
    chance::run(&engine, &cache, &mut checks)?;

    println!(
        "{} ns for a get that hits, of 1 KiB with 3 dependencies",
        stock::nanos_per_hit(&engine, &shop)?
    );
    println!("wasi (wasmtime {}): {checks}", version());
    Ok(if checks.have_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(engine: &Engine, name: &str) -> Result<Component> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../dist").join(name);
    let loaded = Component::from_file(engine, &path);
    loaded.with_context(|| format!("{} comes from `cargo run -p xtask`", path.display()))
}

/// That which was compiled in; the crate does not say.
fn version() -> &'static str {
    let lock = include_str!("../../../../Cargo.lock");
    let after = lock.split_once("name = \"wasmtime\"\nversion = \"").map_or("?", |(_, after)| after);
    after.split('"').next().unwrap_or("?")
}
