//! The component in wasmtime, for the tests of this package: typed, and as the vectors name its functions.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings;
mod call;
#[path = "../../../conformance/script.rs"]
mod script;
mod values;
pub mod vectors;

use std::path::PathBuf;

pub use bindings::EngineComponent;
pub use bindings::exports::zoocache::engine::{engine, headers, types};
use wasmtime::Result;
use wasmtime::component::{Component, Linker};
use wasmtime::error::Context;
use wasmtime::{Engine, Store};

/// The project's folder.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// A number that the environment may set.
///
/// # Panics
/// If it is none: a seed that is not used would repeat nothing.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// The component as it was built.
pub struct Built {
    pub(crate) runtime: Engine,
    pub(crate) component: Component,
}

impl Built {
    /// Reads and compiles it.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn read() -> Result<Self> {
        let runtime = Engine::default();
        let path = root().join("dist/zoocache-engine.wasm");
        let bytes = std::fs::read(&path).context("run `./dev component` first")?;
        let component = Component::new(&runtime, bytes)?;
        Ok(Self { runtime, component })
    }

    /// A new instance, with nothing to import.
    ///
    /// # Errors
    /// If it imports something.
    pub fn start(&self) -> Result<(Store<()>, EngineComponent)> {
        let mut store = Store::new(&self.runtime, ());
        let linker = Linker::new(&self.runtime);
        let api = EngineComponent::instantiate(&mut store, &self.component, &linker)?;
        Ok((store, api))
    }
}
