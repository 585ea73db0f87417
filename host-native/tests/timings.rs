//! How long things take is measured if it is to be measured: computations and trips, never hits.

mod common;

use std::time::Duration;

use common::{Scratch, on, value};
use zoocache::{Cache, Durations, Error, Histogram, Timings};

fn count(read: &Durations) -> u64 {
    read.counts.iter().sum()
}

fn timings(cache: &Cache<u64>) -> &Timings {
    cache.timings().expect("it is built to measure")
}

#[test]
fn nothing_is_measured_unless_it_is_to_be() {
    let cache = Cache::<u64>::builder().build().expect("the defaults make sense");
    assert!(cache.timings().is_none());
}

#[test]
fn computations_that_end_with_a_value_are_measured_and_nothing_else() {
    let cache = Cache::<u64>::builder().timings().build().expect("the defaults make sense");
    let policy = on(&["a"]);
    for _ in 0..3 {
        cache.get_or_compute("k", &policy, value(1)).expect("computes");
    }
    cache.put("stored", 1, &policy);
    cache.get_or_compute("bad", &policy, |_| Err::<u64, _>("no")).expect_err("fails");
    assert_eq!(count(&timings(&cache).fills.read()), 1);
    assert_eq!(cache.stats().leads, 2);
    cache.invalidate(&["a"]).expect("valid tag");
    let (reads, writes) = (&timings(&cache).reads, &timings(&cache).writes);
    assert_eq!((count(&reads.read()), count(&writes.read())), (0, 0), "memory is no trip");
}

#[test]
fn a_computation_takes_as_long_as_it_takes() {
    let cache = Cache::<u64>::builder().timings().build().expect("the defaults make sense");
    let wait = |_: &zoocache::Fill| {
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        receiver.recv_timeout(Duration::from_millis(20)).expect_err("nothing comes");
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("k", &on(&[]), wait).expect("computes");
    let read = timings(&cache).fills.read();
    assert!(read.sum_ns >= 20_000_000, "{read:?}");
    let bucket = read.counts.iter().position(|count| *count == 1).expect("one of them");
    assert!(Histogram::bounds_us().nth(bucket).is_none_or(|bound_us| bound_us * 1_000 >= read.sum_ns));
}

#[test]
fn whoever_computes_learns_how_long_it_took_once_that_is_wanted() {
    let cache = Cache::<u64>::builder().build().expect("the defaults make sense");
    let before = cache.lead_alone(b"k", None, false);
    cache.measure();
    assert_eq!(before.elapsed_ns(), None, "it began before");
    let leader = cache.lead_alone(b"k", None, false);
    let (first, second) = (leader.elapsed_ns(), leader.elapsed_ns());
    assert!(first.is_some() && first <= second);
    assert_eq!(cache.lead_alone(b"k", None, true).elapsed_ns(), None, "a store is no computation");
    assert!(cache.timings().is_none());
}

#[cfg(feature = "lmdb")]
#[test]
fn trips_to_a_folder_are_measured_and_hits_in_memory_are_none() {
    let scratch = Scratch::new();
    let cache = Cache::builder().lmdb(scratch.path(), common::Number).timings().build();
    let cache: Cache<u64> = cache.expect("a folder that can be opened");
    let counts = || (count(&timings(&cache).reads.read()), count(&timings(&cache).writes.read()));
    cache.get_or_compute("k", &on(&["a"]), value(1)).expect("computes");
    let (reads, writes) = counts();
    assert!(reads >= 1 && writes >= 1);
    for _ in 0..10 {
        assert_eq!(cache.get("k"), Some(1));
    }
    assert_eq!(counts(), (reads, writes));
    cache.invalidate(&["a"]).expect("valid tag");
    assert!(counts().1 > writes);
}
