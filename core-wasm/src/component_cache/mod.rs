//! A whole cache as a WebAssembly component, world `cache-component` of `wit/`: the engine, and entries in a bucket of the host.
//!
//! `exports` says what the world says, [`cache::Cache`] does it; `row` is an entry as bytes, `bucket`, `bus` and `host`
//! are what is imported. A component has one thread, and is not entered while it waits for an import.

generated! { mod bindings; }
mod bucket;
mod bus;
mod cache;
mod convert;
mod exports;
mod host;
mod limits;
mod row;
#[path = "../component/runtime.rs"]
mod runtime;
mod single;
#[path = "../component/words.rs"]
mod words;

/// What exports the interfaces.
struct Component;
