//! The thread on which all connections of this process are read and written.
//!
//! One for each process: a forked child has none of its parent's threads, and begins a new one. What the parent
//! left is not touched there, not even to free it.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

struct Here {
    process: u32,
    runtime: Runtime,
}

/// Never freed: tasks and callers may hold on to it to the end of the process.
static HERE: AtomicPtr<Here> = AtomicPtr::new(std::ptr::null_mut());

/// The runtime of this process.
///
/// # Errors
/// When the system grants no thread.
fn here() -> io::Result<&'static Runtime> {
    let process = std::process::id();
    let found = HERE.load(Ordering::Acquire);
    // SAFETY: what is stored here came from `Box::leak` and is never freed.
    #[expect(unsafe_code, reason = "a lock could be held by a thread that a forked child does not have")]
    let known = unsafe { found.as_ref() };
    if let Some(here) = known.filter(|here| here.process == process) {
        return Ok(&here.runtime);
    }
    let runtime =
        Builder::new_multi_thread().worker_threads(1).thread_name("zoocache-redis").enable_all().build()?;
    let new: &'static mut Here = Box::leak(Box::new(Here { process, runtime }));
    match HERE.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(&new.runtime),
        // Another thread was faster; ours stays idle.
        Err(_) => here(),
    }
}

/// Runs a future on it.
///
/// # Errors
/// When the system grants no thread.
pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_running() {
        crate::simulation::wire::spawn(future);
        return Ok(());
    }
    here()?.spawn(future);
    Ok(())
}

/// Lets the running task wait.
pub(super) async fn sleep(time: Duration) {
    #[cfg(feature = "simulation")]
    if crate::simulation::pause(time) {
        return;
    }
    tokio::time::sleep(time).await;
}

/// What the future comes to; `None` when the time has passed.
pub(super) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_running() {
        return crate::simulation::wire::within(time, future);
    }
    tokio::time::timeout(time, future).await.ok()
}

/// Does what waits for a server on a thread that is there for that; here, if the system grants none.
pub(crate) async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let Ok(runtime) = here() else { return work() };
    match runtime.spawn_blocking(work).await {
        Ok(result) => result,
        // The runtime is never shut down, so nothing else ends it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
