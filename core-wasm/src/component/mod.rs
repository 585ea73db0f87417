//! The engine as a WebAssembly component: what `wit/` says, by calls of [`crate::Engine`].
//!
//! It only converts. A component has one thread, so a resource holds its engine in an [`Rc`] and lends it for one call.

generated! { mod bindings; }
mod convert;
mod engine;
mod runtime;
mod text;
mod words;

/// What exports the interfaces.
struct Component;
