//! The engine of zoocache: tags, clock, trie and verdicts. `no_std` + `alloc`.
//!
//! It answers one question: *may this cached value still be served?* A value remembers the position
//! in the order of invalidations at which its computation began (`as_of`) and the tags it depends
//! on; it is fresh while none of them, and nothing above them, was invalidated at a later position.
//!
//! What it does **not** do: hold payloads or keys, lock, read a clock, draw random numbers, do I/O,
//! log. Time is an argument. [`Engine`] changes structure and takes `&mut self`: the host wraps it in
//! a lock. [`Sealed`] with [`Signals`], and [`TagHandle`], are read from any thread without it.
//!
//! ```
//! use zoocache_core::{DependencySet, DomainId, Engine, EngineConfig, Tag, Timestamp, Verdict};
//!
//! let mut engine = Engine::new(EngineConfig::new(DomainId(1)));
//! let signals = engine.signals().clone();
//! let product = Tag::parse("store:2:product:7")?;
//!
//! let fill = engine.begin(1_000); // BEFORE the value is computed
//! let dependencies = DependencySet::from_iter([engine.intern(&product)]);
//! let entry = engine.seal(fill, &dependencies, Timestamp::MAX, 1_050)?;
//! assert_eq!(entry.judge(&signals), Verdict::Fresh);
//!
//! engine.invalidate(&[Tag::parse("store:2")?], 2_000)?;
//! assert_eq!(entry.judge(&signals), Verdict::Stale);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
// The bindings of components are generated, and are not safe code.
#![cfg_attr(
    not(any(feature = "component", feature = "component-cache", feature = "component-bus")),
    forbid(unsafe_code)
)]

extern crate alloc;
#[cfg(any(test, feature = "mutants"))]
extern crate std;

/// A module of generated code, which is nobody's to mend.
#[cfg(any(feature = "component", feature = "component-cache", feature = "component-bus"))]
macro_rules! generated {
    (mod $name:ident;) => {
        #[allow(
            unsafe_code,
            unreachable_pub,
            missing_docs,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes_without_reason,
            reason = "generated"
        )]
        mod $name;
    };
}

mod bytes;
mod clock;
#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component-bus")]
mod component_bus;
#[cfg(feature = "component-cache")]
mod component_cache;
mod dependencies;
mod engine;
mod header;
pub mod limits;
#[cfg(feature = "mirror")]
mod mirror;
#[cfg(not(feature = "mutants"))]
mod mutant;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutant;
mod node;
mod sealed;
mod signals;
#[cfg(feature = "simulation")]
pub mod simulation;
mod steps;
mod sync;
mod tag;
mod trie;

pub use clock::{Clock, ClockError, DriftError, Timestamp};
pub use dependencies::DependencySet;
pub use engine::{
    Applied, Branch, DependencyState, DomainId, Engine, EngineConfig, EngineStats, Fill, Invalidation,
    LogRow, MarkId, Order, Rejected, SettleError, SnapshotError, Tail,
};
pub use header::{Header, HeaderDependency, HeaderError};
#[cfg(feature = "mirror")]
pub use mirror::Mirrored;
pub use node::TagHandle;
pub use sealed::{Cause, Sealed, Verdict};
pub use signals::Signals;
pub use tag::{Tag, TagError};
