//! Every interleaving (and every reordering that the memory model allows) of readers and the engine.
//!
//! `./dev test-loom`
#![cfg(loom)]

#[cfg(feature = "mutants")]
mod mutants;
mod programs;

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;
use zoocache_core::{
    DependencySet, DomainId, Engine, EngineConfig, LogRow, Order, Sealed, Tag, Timestamp, Verdict,
};

/// Later than every epoch, as times are.
const NOW: u64 = 1_000_000;

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("valid")
}

fn engine() -> Engine {
    Engine::new(EngineConfig::new(DomainId(1)))
}

/// One that has read a log up to now.
fn engine_with_log() -> Engine {
    let mut engine = Engine::new(EngineConfig { order: Order::Log, ..EngineConfig::new(DomainId(1)) });
    engine.apply_log(&[], Timestamp::from_micros(NOW));
    engine
}

fn seal(engine: &mut Engine, dependency: &str) -> Sealed {
    let fill = engine.begin(NOW);
    let dependencies = DependencySet::from_iter([engine.intern(&tag(dependency))]);
    engine.seal(fill, &dependencies, Timestamp::MAX, NOW).expect("fresh")
}

/// A reader that judges twice while `change` runs: fresh only while `change` has not returned, and
/// nothing that it remembers keeps the entry fresh for ever.
fn judged_during(dependency: &'static str, before: &'static str, change: fn(&mut Engine)) {
    judged_by(engine, dependency, before, change);
}

fn judged_by(begin: fn() -> Engine, dependency: &'static str, before: &'static str, change: fn(&mut Engine)) {
    loom::model(move || {
        let mut engine = begin();
        let entry = Arc::new(seal(&mut engine, dependency));
        if !before.is_empty() {
            // Close by, but not covering: the proof is out of date, so the reader has to walk.
            engine.invalidate(&[tag(before)], NOW).expect("positions are left");
        }
        let returned = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (entry, returned, signals) = (entry.clone(), returned.clone(), engine.signals().clone());
            move || {
                for _ in 0..2 {
                    let after = returned.load(Ordering::Acquire);
                    let proved = entry.is_proved(&signals);
                    let verdict = entry.judge(&signals);
                    assert!(!after || (!proved && !verdict.is_fresh()), "served after the change returned");
                }
            }
        });
        change(&mut engine);
        returned.store(true, Ordering::Release);
        reader.join().expect("no panic");
        assert!(!entry.is_proved(engine.signals()), "proved for ever");
        assert!(!entry.judge(engine.signals()).is_fresh(), "fresh for ever");
    });
}

#[test]
fn invalidate_while_a_proved_entry_is_judged() {
    judged_during("a:b:c", "", |engine| {
        engine.invalidate(&[tag("a:b:c")], NOW).expect("positions are left");
    });
}

#[test]
fn invalidate_while_an_entry_is_walked() {
    judged_during("a:b:c", "a:b:z", |engine| {
        engine.invalidate(&[tag("a:b")], NOW).expect("positions are left");
    });
}

#[test]
fn invalidate_below_a_subtree_while_it_is_walked() {
    judged_during("a:b:*", "a:q", |engine| {
        engine.invalidate(&[tag("a:b:c")], NOW).expect("positions are left");
    });
}

#[test]
fn clear_while_an_entry_is_judged() {
    judged_during("a", "x:y", |engine| {
        engine.clear(NOW).expect("positions are left");
    });
}

#[test]
fn announce_while_an_entry_is_walked() {
    judged_during("a:b:c", "a:b:z", |engine| {
        engine.change(&[tag("a:b")], NOW + 9, NOW);
    });
}

#[test]
fn raise_the_floor_while_an_entry_is_judged() {
    judged_during("a", "", |engine| engine.raise_floor(Timestamp::from_micros(NOW + 9)));
}

#[test]
fn doubt_while_an_entry_is_judged() {
    judged_during("a", "", Engine::doubt);
}

/// What this process has invalidated itself, before it knows what others did until then: `applied` stays.
#[test]
fn apply_a_row_over_a_gap_while_an_entry_is_judged() {
    judged_by(engine_with_log, "a:b:c", "", |engine| {
        let at = Timestamp::from_micros(NOW + 5);
        engine.apply_rows(&[LogRow { tag: tag("a:b"), below_only: false, at }]);
    });
}

/// An announced change that is settled: never served in between.
#[test]
fn settle_while_an_entry_is_walked() {
    for dependency in ["a:b", "a:*"] {
        loom::model(move || {
            let mut engine = engine();
            let entry = Arc::new(seal(&mut engine, dependency));
            let mark = engine.change(&[tag("a:b")], NOW + 9, NOW);
            let reader = thread::spawn({
                let (entry, signals) = (entry.clone(), engine.signals().clone());
                move || {
                    for _ in 0..2 {
                        assert!(!entry.judge(&signals).is_fresh(), "served while pending");
                    }
                }
            });
            engine.settle(mark, NOW).expect("known");
            reader.join().expect("no panic");
            assert_eq!(entry.judge(engine.signals()), Verdict::Stale);
        });
    }
}

/// Positions of the new domain are lower; a stale entry of the old one must not pass by them.
#[test]
fn enter_a_domain_while_an_entry_is_walked() {
    loom::model(|| {
        let mut engine = engine();
        let entry = Arc::new(seal(&mut engine, "a:b"));
        engine.invalidate(&[tag("a")], NOW).expect("positions are left");
        let reader = thread::spawn({
            let (entry, signals) = (entry.clone(), engine.signals().clone());
            move || {
                for _ in 0..2 {
                    assert!(!entry.judge(&signals).is_fresh(), "served by a reset stamp");
                }
            }
        });
        engine.reset_domain(DomainId(2), Timestamp::ZERO);
        reader.join().expect("no panic");
        assert_eq!(entry.judge(engine.signals()), Verdict::Foreign);
    });
}

/// A fill that read its source before the write is never served after the invalidation.
#[test]
fn seal_while_invalidating() {
    loom::model(|| {
        let engine = Arc::new(Mutex::new(engine()));
        let source = Arc::new(AtomicU64::new(0));
        let filler = thread::spawn({
            let (engine, source) = (engine.clone(), source.clone());
            move || {
                let fill = engine.lock().expect("no panic").begin(NOW);
                let value = source.load(Ordering::Acquire);
                let dependencies =
                    DependencySet::from_iter([engine.lock().expect("no panic").intern(&tag("a:b"))]);
                let sealed = engine.lock().expect("no panic").seal(fill, &dependencies, Timestamp::MAX, NOW);
                sealed.ok().map(|sealed| (sealed, value))
            }
        });
        source.store(1, Ordering::Release);
        engine.lock().expect("no panic").invalidate(&[tag("a")], NOW).expect("positions are left");
        let signals = engine.lock().expect("no panic").signals().clone();
        if let Some((sealed, value)) = filler.join().expect("no panic") {
            assert!(value == 1 || !sealed.judge(&signals).is_fresh(), "an old value is served");
        }
    });
}

/// Pruning beside a reader and a newcomer: nothing dies falsely, nothing is under-reported.
#[test]
fn prune_while_judging_and_interning() {
    loom::model(|| {
        let mut engine = engine();
        let at = engine.invalidate(&[tag("a:b")], NOW).expect("positions are left");
        let entry = seal(&mut engine, "a:c");
        let signals = engine.signals().clone();
        let engine = Arc::new(Mutex::new(engine));
        let newcomer = thread::spawn({
            let engine = engine.clone();
            move || {
                let handle = engine.lock().expect("no panic").intern(&tag("a:b"));
                assert!(handle.latest() >= at, "a version was under-reported");
                let at = engine.lock().expect("no panic").invalidate(&[tag("a:b")], NOW).expect("left");
                assert_eq!(handle.latest(), at, "a handle to an orphan");
            }
        });
        let reader = thread::spawn(move || assert!(entry.judge(&signals).is_fresh(), "a false death"));
        engine.lock().expect("no panic").prune(Timestamp::MAX, usize::MAX);
        newcomer.join().expect("no panic");
        reader.join().expect("no panic");
    });
}
