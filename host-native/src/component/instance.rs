//! One instance of the component, with one engine in it. Every call may trap; then the instance is of no use any more.

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use super::bindings::EngineComponent;
use super::bindings::exports::zoocache::engine::engine::{Config, GuestEngine};

/// The component did not answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

/// Something in an instance, and in which one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    pub(super) instance: u64,
    pub(super) any: ResourceAny,
}

/// A running instance.
pub(super) struct Instance {
    pub(super) store: Store<StoreLimits>,
    api: EngineComponent,
    /// The engine in it.
    pub(super) engine: ResourceAny,
}

impl Instance {
    pub(super) fn start(
        runtime: &Engine,
        component: &Component,
        config: &Config,
        memory: usize,
    ) -> wasmtime::Result<Self> {
        let limits = StoreLimitsBuilder::new().memory_size(memory).build();
        let mut store = Store::new(runtime, limits);
        store.limiter(|limits| limits);
        let api = EngineComponent::instantiate(&mut store, component, &Linker::new(runtime))?;
        let engine = api.zoocache_engine_engine().engine().call_constructor(&mut store, *config)?;
        Ok(Self { store, api, engine })
    }

    /// The methods of the engine, and what they are called with.
    pub(super) fn parts(&mut self) -> (GuestEngine<'_>, &mut Store<StoreLimits>, ResourceAny) {
        (self.api.zoocache_engine_engine().engine(), &mut self.store, self.engine)
    }

    /// The same for the methods of entries and fills.
    pub(super) fn api(&mut self) -> (&EngineComponent, &mut Store<StoreLimits>) {
        (&self.api, &mut self.store)
    }
}
