//! Locks that threads were waiting for at the moment of a fork do not keep the child from waiting for its own, and what
//! takes locks is not in the middle of it.
//!
//! A program of its own, since no other test may run in the process that forks.

#[path = "common/process.rs"]
mod process;

use std::array;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zoocache::gate;
use zoocache::lock::{Condvar, Mutex};

const FORKS: usize = 1_000;

#[derive(Default)]
struct Waits {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Waits {
    fn once(&self) {
        drop(self.changed.wait_for(self.lock.lock(), Duration::ZERO));
    }
}

fn work_ends_before_a_fork_and_none_begins() {
    let (is_over, has_begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _passed = gate::pass();
            tell.send(()).expect("somebody listens");
            for _ in 0..1_000 {
                thread::yield_now();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        told.recv().expect("it passes");
        gate::close();
        assert!(is_over.load(Ordering::Relaxed));
        scope.spawn(|| {
            let _passed = gate::pass();
            has_begun.store(true, Ordering::Relaxed);
        });
        for _ in 0..1_000 {
            thread::yield_now();
        }
        assert!(!has_begun.load(Ordering::Relaxed));
        gate::open();
    });
    assert!(has_begun.into_inner());
    // Who forks does not wait for itself.
    let _passed = gate::pass();
    gate::close();
    let _too = gate::pass();
    gate::open();
}

fn main() {
    work_ends_before_a_fork_and_none_begins();
    let (shared, is_over) = (Waits::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    shared.once();
                }
            });
        }
        for number in 0..FORKS {
            let pid = process::fork();
            if pid == 0 {
                // Many, so that one of them would be in the same place of a table as that of the threads.
                let own: [Waits; 64] = array::from_fn(|_| Waits::default());
                own.iter().for_each(Waits::once);
                process::_exit(0);
            }
            let status = process::wait_for(pid);
            is_over.store(status != 0, Ordering::Relaxed);
            assert_eq!(status, 0, "the child of fork {number} did not get through");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{FORKS} forks: ok");
}
