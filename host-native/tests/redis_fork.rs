//! Caches on a Redis server that were used before their process forked, used on in the child and the parent.
//!
//! A program of its own, since no other test may run in the process that forks.

mod common;

use std::panic::AssertUnwindSafe;

use common::redis::Server;
use common::{DEADLINE, on, process, tag_of};
use zoocache::{Cache, Error};

/// What the child does; every line has to hold.
fn child(cache: &Cache<u64>) -> bool {
    // Its own connection is being made.
    common::until("the child reaches the server", || cache.keep_up());
    let found = cache.get("near") == Some(1) && cache.get("below") == Some(2);
    let computed = cache.get_or_compute("child", &on(&["c"]), |_| Ok::<_, Error>(3)).is_ok();
    let invalidated = cache.invalidate(&["a"]).is_ok() && cache.get("near").is_none();
    found && computed && invalidated
}

/// Runs `work` in a child.
fn forked(cache: &Cache<u64>, work: impl FnOnce() -> bool) -> i32 {
    cache.before_fork();
    let pid = process::fork();
    if pid == 0 {
        cache.after_fork();
        common::until("the child reaches the server", || cache.keep_up());
        let holds = std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
        process::_exit(i32::from(!holds));
    }
    cache.after_fork_in_parent();
    pid
}

/// The parent learns what its child deletes and replaces: each is a node of its own.
fn children_are_nodes_of_their_own(server: &Server) {
    let cache = server.strong();
    assert!(cache.put("k", 1, &on(&["t"])) && cache.put("r", 1, &on(&["t"])));
    assert_eq!((cache.get("k"), cache.get("r")), (Some(1), Some(1)));
    let pid = forked(&cache, || {
        cache.delete("k");
        cache.put("r", 2, &on(&["t"])) && cache.get("r") == Some(2)
    });
    assert_eq!(process::wait_for(pid), 0);
    assert_eq!((cache.get("k"), cache.get("r")), (None, Some(2)));
}

/// Two children announce changes at the same time: both stand.
fn children_draw_names_of_their_own(server: &Server) {
    let cache = server.bounded();
    assert!(cache.keep_up());
    let change = |tag: &str| cache.change(&[tag_of(tag)], DEADLINE).is_ok();
    let (one, two) = (forked(&cache, || change("one")), forked(&cache, || change("two")));
    assert_eq!((process::wait_for(one), process::wait_for(two)), (0, 0));
    let node = server.bounded();
    assert!(!node.put("a", 1, &on(&["one"])) && !node.put("b", 1, &on(&["two"])), "both are being changed");
}

/// What the parent could not send yet is the child's business, too.
fn children_send_what_their_parent_could_not(server: &mut Server) {
    let cache = server.bounded();
    assert!(cache.put("k", 1, &on(&["x"])));
    server.kill();
    assert!(cache.invalidate(&["x"]).is_err(), "nobody to tell");
    server.start_again();
    let pid = forked(&cache, || {
        common::until("a value is kept", || {
            cache.put("k", 2, &on(&["x"]));
            cache.get("k") == Some(2)
        });
        true
    });
    assert_eq!(process::wait_for(pid), 0);
}

fn main() {
    let mut server = Server::start();
    children_are_nodes_of_their_own(&server);
    children_draw_names_of_their_own(&server);
    children_send_what_their_parent_could_not(&mut server);
    let (bounded, strong) = (server.bounded(), server.strong());
    for round in 0..6 {
        let (cache, other) = if round % 2 == 0 { (&bounded, &strong) } else { (&strong, &bounded) };
        assert!(cache.put("near", 1, &on(&["a"])) && other.put("below", 2, &on(&["b"])));
        cache.before_fork();
        other.before_fork();
        let pid = process::fork();
        if pid == 0 {
            cache.after_fork();
            other.after_fork();
            let holds = std::panic::catch_unwind(AssertUnwindSafe(|| child(cache))).unwrap_or(false);
            process::_exit(i32::from(!holds));
        }
        cache.after_fork_in_parent();
        other.after_fork_in_parent();
        assert_eq!(process::wait_for(pid), 0, "round {round}: the child failed");
        assert!(strong.get("near").is_none(), "round {round}");
        assert_eq!((strong.get("child"), strong.get("below")), (Some(3), Some(2)));
        cache.invalidate(&["c"]).expect("can be told");
    }
    println!("6 forks: ok");
}
