//! A cache that is invalidated by **what changed**, not by when.
//!
//! Cached results declare the *tags* they were computed from. Tags are paths: `invalidate(["org:1"])`
//! makes everything that depends on `org:1` or on anything below it stale, in O(depth of the tag), however
//! many entries there are. An invalidation that lands while a value is being computed is not lost: the
//! value goes to its caller and is not stored.
//!
//! ```
//! use zoocache::{Cache, Policy};
//!
//! let cache = Cache::<String>::builder().max_entries(10_000).build()?;
//! let policy = Policy::default().tag("org:1:store:2:product:42")?;
//! let load = |_: &zoocache::Fill| Ok::<_, zoocache::Error>("from the database".to_owned());
//!
//! assert_eq!(cache.get_or_compute("product 42", &policy, load)?, "from the database"); // computed
//! assert_eq!(cache.get_or_compute("product 42", &policy, load)?, "from the database"); // a hit
//! cache.invalidate(&["org:1:store:2"])?;
//! assert_eq!(cache.get("product 42"), None); // stale
//! # Ok::<(), zoocache::Error>(())
//! ```
//!
//! Start at [`Cache`], [`Policy`] and [`Builder`]. The seams for other storages, sequencers, engines,
//! clocks and observers are [`storage::Storage`], [`sequencer::Sequencer`], [`engine::Engine`],
//! [`WallClock`] and [`Observer`].

mod cache;
mod clock;
pub mod codec;
#[cfg(feature = "component-host")]
pub mod component;
mod config;
mod counters;
pub mod engine;
mod entry;
mod error;
mod event;
mod fill;
mod flight;
#[cfg(feature = "lmdb")]
mod folder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod gate;
mod hash;
#[doc(hidden)]
pub mod lock;
mod mutant;
mod random;
pub mod sequencer;
#[cfg(feature = "redis")]
mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod storage;
mod sync;
mod timings;

pub use cache::{
    Cache, Claim, DependencyState, EntryState, Explanation, Filter, Finish, Join, Leader, Listed, Lookup,
    Page, Pauses, StaleCause, StandIn, Stats, Tolerance, TreeNode, Waited, Waiter,
};
pub use clock::{ManualClock, SystemClock, WallClock};
pub use config::{Builder, Policy, Weigher};
pub use counters::{Count, Counters};
pub use entry::{Entry, Lifetime, Retention};
pub use error::{Error, Failure};
pub use event::{Event, Observer};
pub use fill::{Basis, Fill, current_fill, depend_on};
pub use flight::Landing;
#[cfg(feature = "lmdb")]
pub use folder::{FolderError, FolderFacts};
#[cfg(feature = "redis")]
pub use server::{Answer, Consistency, Prefetch, Probe, ServerError, trips};
pub use timings::{Durations, Histogram, Stopwatch, Timings};
pub use zoocache_core::{ClockError, MarkId, SettleError, Tag, TagError, Timestamp};

/// The Rust block of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
