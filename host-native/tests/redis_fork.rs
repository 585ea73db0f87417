//! Caches on a Redis server that were used before their process forked, used on in the child and the parent.
//!
//! A program of its own, since no other test may run in the process that forks.

mod common;

use std::panic::AssertUnwindSafe;

use common::on;
use common::redis::Server;
use zoocache::{Cache, Error};

#[expect(unsafe_code, reason = "the standard library cannot fork")]
mod system {
    unsafe extern "C" {
        pub(crate) safe fn fork() -> i32;
        pub(crate) safe fn _exit(status: i32) -> !;
        fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    }

    pub(crate) fn wait_for(pid: i32) -> i32 {
        let mut status = -1;
        // SAFETY: `status` lives until the call returns.
        let waited = unsafe { waitpid(pid, &raw mut status, 0) };
        assert_eq!(waited, pid);
        status
    }
}

/// What the child does; every line has to hold.
fn child(cache: &Cache<u64>) -> bool {
    // Its own connection is being made.
    common::until("the child reaches the server", || cache.keep_up());
    let found = cache.get("near") == Some(1) && cache.get("below") == Some(2);
    let computed = cache.get_or_compute("child", &on(&["c"]), |_| Ok::<_, Error>(3)).is_ok();
    let invalidated = cache.invalidate(&["a"]).is_ok() && cache.get("near").is_none();
    found && computed && invalidated
}

fn main() {
    let server = Server::start();
    let (bounded, strong) = (server.bounded(), server.strong());
    for round in 0..6 {
        let (cache, other) = if round % 2 == 0 { (&bounded, &strong) } else { (&strong, &bounded) };
        assert!(cache.put("near", 1, &on(&["a"])) && other.put("below", 2, &on(&["b"])));
        cache.before_fork();
        other.before_fork();
        let pid = system::fork();
        if pid == 0 {
            cache.after_fork();
            other.after_fork();
            let holds = std::panic::catch_unwind(AssertUnwindSafe(|| child(cache))).unwrap_or(false);
            system::_exit(i32::from(!holds));
        }
        cache.after_fork_in_parent();
        other.after_fork_in_parent();
        assert_eq!(system::wait_for(pid), 0, "round {round}: the child failed");
        assert!(strong.get("near").is_none(), "round {round}");
        assert_eq!((strong.get("child"), strong.get("below")), (Some(3), Some(2)));
        cache.invalidate(&["c"]).expect("can be told");
    }
    println!("6 forks: ok");
}
