//! `zoocache._native`: the Python package's native half.
//!
//! Nothing here decides what may be cached or served; that is the host's. This crate turns calls into
//! keys (`arguments.rs`, `key.rs`), objects into stored values (`value.rs`) and bytes (`codec`), and makes the cached function
//! object (`function.rs`, `awaitable.rs`). The two places that use the C API directly say why.

mod arguments;
mod awaitable;
mod cache;
mod codec;
mod context;
mod errors;
mod explain;
mod function;
mod imported;
mod key;
mod miss;
mod owned;
mod recent;
mod value;
mod vectorcall;

/// The native module.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::cache::{
        add_deps, after_fork, after_fork_in_parent, before_fork, clear, delete, get, get_tag_version,
        install, installed, invalidate, prune, reset, set, shut_down, sweep,
    };
    #[pymodule_export]
    use super::codec::{decode_value, encode_value};
    #[pymodule_export]
    use super::explain::{explain, stats};
    #[pymodule_export]
    use super::function::{FunctionBase, cached_function};
    #[pymodule_export]
    use super::miss::{Lead, Wait};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Made now, so that no thread is making it while the process forks.
        drop(module.py().get_type::<super::context::Frame>());
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("CachedFunction", super::vectorcall::function_type(module.py())?)?;
        module.add("CachedCall", super::awaitable::call_type(module.py())?)
    }
}
