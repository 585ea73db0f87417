//! Reads whose caller must not wait, or must let go of something while it does.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::redis::Server;
use common::{on, until};
use zoocache::{Cache, Join, Lookup, Policy, trips};

const LONG: Duration = Duration::from_secs(5);

fn found(lookup: Lookup<u64>) -> Option<u64> {
    match lookup {
        Lookup::Hit(entry) => Some(*entry.value()),
        Lookup::Miss(_) => None,
    }
}

fn fetch(cache: &Cache<u64>, key: &str) -> zoocache::Prefetch {
    let prefetch = cache.prefetch(&[key]).expect("there is a server");
    assert!(prefetch.wait(LONG));
    prefetch
}

#[test]
fn what_was_fetched_is_read_without_a_trip() {
    for is_strong in [false, true] {
        let server = Server::start();
        let reader = if is_strong { server.strong() } else { server.bounded() };
        let writer = server.strong();
        let policy = on(&["t:1"]);
        assert_eq!(writer.get_or_compute("a", &policy, common::value(1)).expect("computes"), 1);
        assert_eq!(trips::without(|| found(reader.lookup(b"a"))), None, "not here yet");
        // What the connection tells at its beginning may arrive after what was asked for.
        until("it is found, and by what is near then", || {
            let prefetch = fetch(&reader, "a");
            let read = || reader.within(&prefetch, || found(reader.lookup(b"a")));
            (read(), read()) == (Some(1), Some(1))
        });
        writer.invalidate(&["t"]).expect("can be told");
        let prefetch = fetch(&reader, "a");
        let join = reader.within(&prefetch, || reader.join(b"a", None, false)).expect("no recursion");
        assert!(matches!(join, Join::Lead(_)), "{join:?}");
        assert_eq!(reader.stats().storage_errors, 0);
    }
}

#[test]
fn every_strong_read_asks_anew() {
    let server = Server::start();
    let (writer, reader) = (server.strong(), server.strong());
    assert!(writer.put("a", 1, &on(&["t:1"])));
    assert_eq!(found(reader.lookup(b"a")), Some(1));
    assert_eq!(trips::without(|| found(reader.lookup(b"a"))), None);
}

#[test]
fn what_was_deleted_after_it_was_asked_for_is_not_kept() {
    let server = Server::start();
    let (writer, reader) = (server.strong(), server.bounded());
    assert!(writer.put("a", 1, &Policy::default()));
    let prefetch = fetch(&reader, "a");
    assert!(!reader.is_outdated(&prefetch));
    assert!(reader.delete("a"));
    assert!(reader.is_outdated(&prefetch));
    assert!(!reader.is_outdated(&fetch(&reader, "a")));
    assert_eq!(reader.within(&prefetch, || found(reader.lookup(b"a"))), Some(1), "its read began before");
    assert_eq!(found(reader.lookup(b"a")), None);
}

#[test]
fn what_goes_on_around_a_trip_is_the_callers_choice() {
    thread_local!(static AROUND: Cell<u32> = const { Cell::new(0) });
    fn around(wait: &mut dyn FnMut()) {
        AROUND.set(AROUND.get() + 1);
        wait();
    }
    let server = Server::start();
    let (writer, reader) = (server.strong(), server.bounded());
    assert_eq!(writer.get_or_compute("a", &Policy::default(), common::value(1)).expect("computes"), 1);
    assert_eq!(trips::around(around, || found(reader.lookup(b"a"))), Some(1));
    assert_eq!(AROUND.get(), 1);
    assert_eq!(trips::around(around, || found(reader.lookup(b"a"))), Some(1));
    assert_eq!(AROUND.get(), 1, "near by now");
    assert!(trips::around(around, || trips::plainly(|| writer.put("b", 1, &Policy::default()))));
    assert_eq!(AROUND.get(), 1);
}

#[test]
fn what_was_not_asked_for_is_lacking() {
    let server = Server::start();
    let (writer, reader) = (server.strong(), server.bounded());
    assert!(writer.put("a", 1, &Policy::default()));
    // As above.
    until("there is nothing to be had", || {
        let prefetch = fetch(&reader, "b");
        assert_eq!(reader.within(&prefetch, || found(reader.lookup(b"b"))), None);
        let is_up_to_date = !reader.is_outdated(&prefetch);
        assert_eq!(reader.within(&prefetch, || found(reader.lookup(b"a"))), None);
        assert!(reader.is_outdated(&prefetch));
        is_up_to_date
    });
}

#[test]
fn a_server_that_is_away_is_a_miss_that_is_counted() {
    let mut server = Server::start();
    let reader = server.strong();
    server.kill();
    let prefetch = fetch(&reader, "a");
    assert_eq!(reader.within(&prefetch, || found(reader.lookup(b"a"))), None);
    assert_eq!(reader.within(&prefetch, || found(reader.lookup(b"a"))), None);
    assert_eq!(reader.stats().storage_errors, 1, "told once");
    assert!(!reader.is_outdated(&prefetch), "it is for nothing to ask at once");
}

#[test]
fn a_bus_that_is_away_is_counted() {
    let mut server = Server::start();
    let cache = Cache::<u64>::builder()
        .bus(server.url())
        .consistency(zoocache::Consistency::Strong)
        .build()
        .expect("a server that answers");
    assert!(cache.put("a", 1, &Policy::default()));
    assert_eq!(cache.get("a"), Some(1));
    let prefetch = cache.prefetch::<&str>(&[]).expect("there is a server");
    assert!(prefetch.wait(LONG));
    assert_eq!(cache.within(&prefetch, || found(cache.lookup(b"a"))), Some(1));
    server.kill();
    let computed = cache.get_or_compute("a", &Policy::default(), common::value(2));
    assert_eq!(computed.expect("computes"), 2);
    assert!(cache.stats().storage_errors > 0);
}

#[test]
fn what_has_changed_is_asked_for_where_it_must_be_known() {
    let server = Server::start();
    let (writer, reader) = (server.strong(), server.bounded());
    for _ in 0..20 {
        let at = writer.invalidate(&["t"]).expect("can be told");
        let prefetch = reader.prefetch_now(&["a"]).expect("there is a server");
        assert!(prefetch.wait(LONG));
        assert!(reader.within(&prefetch, || reader.has_reached(at)));
        let prefetch = reader.prefetch::<&str>(&[]).expect("there is a server");
        assert!(prefetch.wait(LONG));
        assert!(reader.within(&prefetch, || reader.has_reached(at)));
    }
    assert_eq!(reader.stats().storage_errors, 0);
}
