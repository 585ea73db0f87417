//! Waiting for a reply on a thread of the caller's, which need not be of any runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::clock::boot_ns;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What the future comes to; `None` when `timeout` has passed.
pub(super) fn wait_for<T>(future: impl Future<Output = T>, timeout: Duration) -> Option<T> {
    #[cfg(feature = "simulation")]
    if crate::simulation::is_running() {
        return crate::simulation::wire::within(timeout, future);
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let deadline_ns = boot_ns().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left_ns = deadline_ns.saturating_sub(boot_ns());
        if left_ns == 0 {
            return None;
        }
        std::thread::park_timeout(Duration::from_nanos(left_ns));
    }
}
