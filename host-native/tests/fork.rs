//! A cache on an LMDB folder that was used before its process forked, used on in the child and the parent.
//!
//! A program of its own, since no other test may run in the process that forks.

mod common;

use std::panic::AssertUnwindSafe;

use common::{Number, Scratch, on, process};
use zoocache::{Cache, Error};

/// What the child does; every line has to hold.
fn child(cache: &Cache<u64>) -> bool {
    let found = cache.get("near") == Some(1) && cache.get("below") == Some(2);
    let computed = cache.get_or_compute("child", &on(&["c"]), |_| Ok::<_, Error>(3)).is_ok();
    let invalidated = cache.invalidate(&["a"]).is_ok() && cache.get("near").is_none();
    found && computed && invalidated && cache.stats().storage_errors == 0
}

fn main() {
    let scratch = Scratch::new();
    let open = || Cache::builder().lmdb(scratch.path(), Number).build().expect("opens");
    let cache = open();
    let other = open();
    assert!(cache.put("near", 1, &on(&["a"])) && other.put("below", 2, &on(&["b"])));
    for round in 0..5 {
        assert!(cache.put("near", 1, &on(&["a"])));
        cache.before_fork();
        other.before_fork();
        let pid = process::fork();
        if pid == 0 {
            cache.after_fork();
            other.after_fork();
            let holds = std::panic::catch_unwind(AssertUnwindSafe(|| child(&cache))).unwrap_or(false);
            process::_exit(i32::from(!holds));
        }
        cache.after_fork_in_parent();
        other.after_fork_in_parent();
        assert_eq!(process::wait_for(pid), 0, "round {round}: the child failed");
        assert_eq!((cache.get("near"), cache.get("child"), cache.get("below")), (None, Some(3), Some(2)));
        cache.invalidate(&["c"]).expect("valid tag");
    }
    println!("5 forks: ok");
}
