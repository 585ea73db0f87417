//! One computation among the processes of a folder, for those who ask for it. A second cache of this process is
//! another that lives; one that died is a real one.

mod common;

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::pair::{Pair, builder, compute, pair, rows_of};
use common::{NOON_US, Scratch, on, until};
use futures::executor::block_on;
use zoocache::{Cache, Claim, Error, Join, Landing, Leader, ManualClock, Policy};

const LEASE: Duration = Duration::from_secs(10);

fn leader(cache: &Cache<u64>) -> Leader<u64> {
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("nobody computes it here") };
    leader
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Ours,
    Busy,
    Found(u64),
}

fn claim(leader: &mut Leader<u64>) -> Told {
    match leader.claim(LEASE) {
        Claim::Ours => Told::Ours,
        Claim::Busy => Told::Busy,
        Claim::Found(entry) => Told::Found(*entry.value()),
    }
}

fn locked(tag: &str) -> Policy {
    on(&[tag]).cluster_lock(true)
}

#[test]
fn one_claims_and_the_other_gets_what_it_stores() {
    let Pair { one, two, .. } = pair();
    let (mut first, mut second) = (leader(&one), leader(&two));
    assert_eq!((claim(&mut first), claim(&mut second)), (Told::Ours, Told::Busy));
    assert_eq!((claim(&mut first), claim(&mut second)), (Told::Ours, Told::Busy), "asked again");
    let Ok(Join::Wait(waiter)) = two.join(b"k", None, false) else { panic!("it is computed, in a way") };
    assert!(first.finish(1, None).1);
    let Claim::Found(entry) = second.claim(LEASE) else { panic!("it was stored") };
    assert!(matches!(second.yield_to(entry), Landing::Sealed(entry) if *entry.value() == 1));
    assert!(matches!(waiter.try_take(), Some(zoocache::Waited::Entry(entry)) if *entry.value() == 1));
    assert_eq!((two.get("k"), two.stats().computations, two.stats().waits), (Some(1), 0, 2));
    // It was given back.
    two.clear().expect("positions are left");
    assert_eq!(claim(&mut leader(&two)), Told::Ours);
}

#[test]
fn what_was_stored_just_before_the_lock_was_free_is_found() {
    let Pair { one, two, .. } = pair();
    let mut late = leader(&two);
    compute(&one, "k", &locked("a"), 1);
    assert_eq!(claim(&mut late), Told::Found(1));
    drop(late);
    assert_eq!(two.stats().errors, 0);
}

type End = fn(Leader<u64>, &Cache<u64>);

#[test]
fn who_ends_without_a_row_gives_the_lock_back() {
    let ends: [End; 5] = [
        |leader, _| drop(leader),
        |leader, _| leader.fail(Arc::new(Error::Recursion { key: String::new() })),
        |leader, cache| {
            leader.declare(&on(&["a"]));
            cache.invalidate(&["a"]).expect("valid tag");
            assert!(matches!(leader.finish(1, None).0, Landing::BornStale(..)));
        },
        |leader, _| {
            let how = zoocache::Finish { store: false, ..zoocache::Finish::default() };
            assert!(!leader.finish_with(1, how).1);
        },
        |leader, _| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _leader = leader;
                std::panic::resume_unwind(Box::new(()));
            }));
            assert!(panicked.is_err());
        },
    ];
    for (index, end) in ends.into_iter().enumerate() {
        let Pair { one, two, .. } = pair();
        let (mut first, mut second) = (leader(&one), leader(&two));
        assert_eq!((claim(&mut first), claim(&mut second)), (Told::Ours, Told::Busy));
        end(first, &one);
        assert_eq!(claim(&mut second), Told::Ours, "{index}");
        // What was invalidated while it waited, its computation will see.
        second.declare(&on(&["a"]));
        assert!(second.finish(2, None).1, "{index}");
        assert_eq!(one.get("k"), Some(2));
    }
}

#[test]
fn a_lock_ends_at_its_deadline_and_its_former_owner_does_not_release_that_of_the_next() {
    let Pair { one, two, clock, scratch } = pair();
    let (mut first, mut second) = (leader(&one), leader(&two));
    assert_eq!(claim(&mut first), Told::Ours);
    clock.advance_ms(9_999);
    assert_eq!(claim(&mut second), Told::Busy);
    clock.advance_ms(1);
    assert_eq!(claim(&mut second), Told::Ours);
    drop(first);
    let three = builder(scratch.path(), &clock).build().expect("opens");
    let mut third = leader(&three);
    assert_eq!(claim(&mut third), Told::Busy);
    // A clock that was put back keeps no lock.
    clock.set_wall_us(NOON_US - 3_600_000_000);
    assert_eq!(claim(&mut third), Told::Ours);
}

#[test]
fn two_computations_of_others_are_waited_for_and_no_third() {
    let Pair { one, two, .. } = pair();
    let mut waiting = leader(&two);
    for expected in [Told::Busy, Told::Busy, Told::Ours] {
        let mut owner = one.lead_alone(b"k", None, false);
        assert_eq!(claim(&mut owner), Told::Ours);
        assert_eq!(claim(&mut waiting), expected);
    }
}

#[test]
fn what_was_found_and_is_stale_by_now_is_handed_to_nobody() {
    let Pair { one, two, .. } = pair();
    let mut late = leader(&two);
    compute(&one, "k", &locked("a"), 1);
    let Claim::Found(entry) = late.claim(LEASE) else { panic!("it was stored") };
    one.invalidate(&["a"]).expect("valid tag");
    let Ok(Join::Wait(waiter)) = two.join(b"k", None, true) else { panic!("it is computed, in a way") };
    assert!(matches!(late.yield_to(entry), Landing::Abandoned));
    assert!(matches!(waiter.try_take(), Some(zoocache::Waited::Again)));
}

#[test]
fn what_is_yielded_to_is_a_dependency_of_what_uses_it() {
    let Pair { one, two, .. } = pair();
    let outer = two.lead_alone(b"outer", None, false);
    let Ok(Join::Lead(mut inner)) = two.join(b"k", Some(outer.fill()), false) else { panic!("a miss") };
    compute(&one, "k", &locked("a"), 1);
    let Claim::Found(entry) = inner.claim(LEASE) else { panic!("it was stored") };
    inner.yield_to(entry);
    assert!(outer.finish(2, None).1);
    one.invalidate(&["a"]).expect("valid tag");
    assert_eq!(two.get("outer"), None);
}

#[test]
fn threads_and_tasks_of_two_caches_compute_once() {
    const CALLERS: usize = 4;
    let Pair { one, two, .. } = pair();
    for round in 0..50 {
        let (barrier, computations) = (Barrier::new(CALLERS), AtomicU64::new(0));
        let key = format!("{round}");
        std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                let cache = if caller < CALLERS / 2 { &one } else { &two };
                let (barrier, computations, key) = (&barrier, &computations, &key);
                scope.spawn(move || {
                    barrier.wait();
                    let count = || Ok::<_, Error>(computations.fetch_add(1, Ordering::SeqCst) + 1);
                    let result = if caller % 2 == 0 {
                        cache.get_or_compute(key, &locked("a"), |_| count())
                    } else {
                        block_on(cache.get_or_compute_async(key, &locked("a"), async |_| count()))
                    };
                    assert_eq!(result.expect("computes"), 1);
                });
            }
        });
        assert_eq!(computations.into_inner(), 1, "round {round}");
    }
    for round in 0..50 {
        let mut leader = two.lead_alone(format!("{round}").as_bytes(), None, false);
        assert_ne!(claim(&mut leader), Told::Busy, "all were given back");
    }
}

#[test]
fn the_others_error_is_not_ours() {
    let Pair { one, two, .. } = pair();
    let (began, wait_began) = channel();
    let (go, wait_go) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let failed = one.get_or_compute("k", &locked("a"), move |_| {
                began.send(()).expect("somebody listens");
                let () = wait_go.recv().expect("somebody tells");
                Err::<u64, _>("no")
            });
            assert!(failed.is_err());
        });
        wait_began.recv().expect("it begins");
        let second = scope.spawn(|| compute(&two, "k", &locked("a"), 2));
        until("the second waits", || two.stats().waits == 1);
        go.send(()).expect("it waits");
        assert_eq!(second.join().expect("no panic"), 2);
    });
    assert_eq!(one.get("k"), Some(2));
}

#[test]
fn who_has_waited_long_enough_computes() {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open =
        || builder(scratch.path(), &clock).flight_timeout(Duration::from_millis(30)).build().expect("opens");
    let (one, two) = (open(), open());
    let mut owner = leader(&one);
    assert_eq!(claim(&mut owner), Told::Ours);
    assert_eq!(compute(&two, "k", &locked("a"), 2), 2);
    assert_eq!((two.stats().timeouts, two.get("k")), (1, Some(2)));
    two.delete("k");
    let policy = locked("a");
    let answer = two.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(3));
    assert_eq!(block_on(answer).expect("computes"), 3);
    assert_eq!(two.stats().timeouts, 2);
    assert!(!owner.finish(1, None).1, "it was deleted meanwhile, and stored");
}

#[test]
fn a_refresh_is_one_process_s_business_too() {
    let Pair { one, two, .. } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    let refresh = |cache: &Cache<u64>| cache.lead_refresh(b"k").expect("nobody computes it here");
    let (mut first, mut second) = (refresh(&one), refresh(&two));
    assert_eq!((claim(&mut first), claim(&mut second)), (Told::Ours, Told::Busy));
    assert!(first.finish(2, None).1);
    assert_eq!(claim(&mut second), Told::Found(2), "not what was there before");
}

#[test]
fn without_a_folder_it_is_ours() {
    let (cache, _clock) = common::cache();
    assert_eq!(claim(&mut leader(&cache)), Told::Ours);
    assert_eq!(compute(&cache, "k", &locked("a"), 1), 1);
}

/// Not a test: what another process does, which `claimed_by_another` starts.
#[test]
fn another_process() {
    let Some(folder) = std::env::var_os("ZOOCACHE_CLAIM_IN") else { return };
    let clock = Arc::new(ManualClock::at(NOON_US));
    let cache = builder(folder.as_ref(), &clock).build().expect("opens");
    let mut leader = leader(&cache);
    assert_eq!(claim(&mut leader), Told::Ours);
    println!("\nclaimed");
    // Until it is killed, or its parent is gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn claimed_by_another(scratch: &Scratch) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("a program"))
        .args(["another_process", "--exact", "--nocapture"])
        .env("ZOOCACHE_CLAIM_IN", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = child.stdout.take().expect("it is piped");
    let claimed = BufReader::new(output).lines().any(|line| line.is_ok_and(|line| line == "claimed"));
    assert!(claimed);
    child
}

#[test]
fn the_lock_of_a_process_that_was_killed_is_taken_over_at_once() {
    for asked in [true, false] {
        let Pair { one, two, scratch, .. } = pair();
        let mut other = claimed_by_another(&scratch);
        let mut waiting = leader(&one);
        assert_eq!(claim(&mut waiting), Told::Busy);
        other.kill().expect("it is ours");
        if asked {
            other.wait().expect("it is ours");
            assert_eq!(claim(&mut waiting), Told::Ours);
        } else {
            // It dies in its own time, and nobody has asked what became of it.
            until("it is dead", || claim(&mut two.lead_alone(b"k", None, false)) == Told::Ours);
            other.wait().expect("it is ours");
        }
    }
}

#[test]
fn a_process_that_stands_still_has_the_lock_until_its_deadline() {
    let Pair { one, clock, scratch, .. } = pair();
    let mut other = claimed_by_another(&scratch);
    let pid = rustix::process::Pid::from_child(&other);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours");
    let mut waiting = leader(&one);
    clock.advance_ms(9_999);
    assert_eq!(claim(&mut waiting), Told::Busy, "it may go on");
    clock.advance_ms(1);
    assert_eq!(claim(&mut waiting), Told::Ours);
    assert!(waiting.finish(1, None).1);
    other.kill().and_then(|()| other.wait()).expect("it is ours");
}

#[test]
fn locks_that_hold_no_more_are_swept() {
    let Pair { one, two, clock, scratch } = pair();
    let mut other = claimed_by_another(&scratch);
    let mut late = one.lead_alone(b"late", None, false);
    assert_eq!(claim(&mut late), Told::Ours);
    let mut held = two.lead_alone(b"held", None, false);
    clock.advance_ms(9_000);
    assert_eq!(claim(&mut held), Told::Ours);
    other.kill().and_then(|()| other.wait()).expect("it is ours");
    clock.advance_ms(1_000);
    one.sweep();
    std::mem::forget((late, held));
    drop((one, two));
    assert_eq!(rows_of(&scratch_copy(&scratch), "entries", "locks").len(), 1);
}

/// A copy of a folder that is open.
fn scratch_copy(scratch: &Scratch) -> std::path::PathBuf {
    let copy = scratch.path().join("copy");
    std::fs::create_dir_all(copy.join("entries")).expect("can be made");
    std::fs::copy(scratch.path().join("entries/data.mdb"), copy.join("entries/data.mdb"))
        .expect("can be copied");
    copy
}
