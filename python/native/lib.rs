//! `zoocache._native`: the Python package's native half.
//!
//! Nothing here decides what may be cached or served; that is the host's. This crate turns calls into
//! keys (`arguments.rs`, `key.rs`), objects into stored values (`value.rs`) and bytes (`codec`), and makes
//! the cached function object (`function.rs`, `bound.rs`, `awaitable.rs`). The places that use the C API
//! directly say why.

mod arguments;
mod awaitable;
mod batch;
mod bound;
mod cache;
mod change;
mod clock;
mod codec;
mod context;
mod counters;
mod demand;
mod errors;
mod explain;
mod far;
mod function;
mod imported;
mod inspect;
mod keeping;
mod key;
mod listeners;
mod metrics;
mod miss;
mod owned;
mod process;
mod queued;
mod recent;
mod shared;
mod state;
mod steps;
mod tags;
mod telling;
mod tolerant;
mod troubles;
mod value;
mod vectorcall;

/// The native module. It needs the interpreter's lock: a free-threaded interpreter turns that on.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::bound::bind_to_class;
    #[pymodule_export]
    use super::cache::{NativeCache, PutAside, add_deps, check_tags};
    #[pymodule_export]
    use super::change::Mark;
    #[pymodule_export]
    use super::clock::{clock, run_clock, stop_clock};
    #[pymodule_export]
    use super::codec::{decode_value, encode_value};
    #[pymodule_export]
    use super::context::{Tracking, current_deps, keep_private};
    #[pymodule_export]
    use super::demand::Demand;
    #[pymodule_export]
    use super::explain::{explain, stats};
    #[pymodule_export]
    use super::far::{Bell, Fetch};
    #[pymodule_export]
    use super::function::{FunctionBase, cached_function};
    #[pymodule_export]
    use super::inspect::{Probe, activity, entries, folder_facts, history, peek, position, tree};
    #[pymodule_export]
    use super::listeners::Subscription;
    #[pymodule_export]
    use super::metrics::Metrics;
    #[pymodule_export]
    use super::miss::{Lead, Wait};
    #[pymodule_export]
    use super::process::{after_fork, after_fork_in_parent, before_fork, shut_down};
    #[pymodule_export]
    use super::steps::{
        ask, begin_refresh, fetched, has_stand_in, lead_alone, run, soft_timeout, stand_in, step,
    };

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Made now, so that no thread is making it while the process forks.
        drop(module.py().get_type::<super::context::Frame>());
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("CachedFunction", super::vectorcall::function_type(module.py())?)?;
        module.add("CachedMethod", super::bound::method_type(module.py())?)?;
        module.add("CachedCall", super::awaitable::call_type(module.py())?)
    }
}
