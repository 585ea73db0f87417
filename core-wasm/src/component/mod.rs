//! The engine as a WebAssembly component: what `wit/` says, by calls of [`crate::Engine`].
//!
//! It only converts. A component has one thread, so a resource holds its engine in an [`Rc`] and lends it for one call.

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
mod convert;
mod engine;
mod runtime;
mod text;

/// What exports the interfaces.
struct Component;
