//! What the cache says of itself: statistics, explanations, events, the texts of errors; lifetimes.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{builder, cache, on, tag_of, value};
use zoocache::{Cache, EntryState, Error, Event, Lifetime, Observer, Policy};

#[test]
fn each_lookup_is_counted_once_and_as_what_it_was() {
    let (cache, clock) = cache();
    let policy = on(&["a"]).ttl(Duration::from_secs(1));
    cache.get_or_compute("k", &policy, value(1)).unwrap(); // miss
    cache.get_or_compute("k", &policy, value(1)).unwrap(); // hit
    assert_eq!(cache.get("k"), Some(1)); // hit
    assert_eq!(cache.get("none"), None); // miss
    cache.invalidate(&["a"]).unwrap();
    assert_eq!(cache.get("k"), None); // stale
    cache.get_or_compute("k", &policy, value(1)).unwrap(); // stale
    clock.advance_ms(1_000);
    assert_eq!(cache.get("k"), None); // expired
    cache.get_or_compute("bad", &policy, |_| Err::<u64, _>("no")).unwrap_err(); // miss
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stale, stats.expired), (2, 3, 2, 1));
    assert_eq!((stats.computations, stats.errors, stats.born_stale), (2, 1, 0));
    assert_eq!((stats.invalidations, stats.entries, stats.tags), (1, 1, 1));
    assert!(cache.delete("k") || !cache.delete("k"));
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn an_explanation_names_state_cause_and_position() {
    let (cache, clock) = cache();
    assert_eq!(cache.explain("k").state, EntryState::Absent);
    let policy = on(&["a:b:c", "list:*"]).ttl(Duration::from_secs(9));
    for (tag, cause) in [("a", "a"), ("a:b:c", "a:b:c"), ("list:7:x", "list:*"), ("list", "list")] {
        cache.get_or_compute("k", &policy, value(1)).unwrap();
        clock.advance_ms(10);
        let fresh = cache.explain("k");
        assert_eq!((fresh.state, fresh.age_ms, fresh.expires_in_ms), (EntryState::Fresh, 10, Some(8_990)));
        assert_eq!(fresh.cause, None);
        let mut tags: Vec<_> = fresh.dependencies.iter().map(|dependency| dependency.tag.as_str()).collect();
        tags.sort_unstable();
        assert_eq!(tags, ["a:b:c", "list:*"]);
        assert!(fresh.dependencies.iter().all(|dependency| !dependency.stale));
        let at = cache.invalidate(&[tag]).unwrap();
        let stale = cache.explain("k");
        assert_eq!(stale.state, EntryState::Stale);
        let found = stale.cause.unwrap();
        assert_eq!((found.tag.as_str(), found.at_us), (cause, at.as_micros()));
        assert!(found.node.starts_with("pid:"), "{}", found.node);
        let dead: Vec<_> = stale.dependencies.iter().filter(|dependency| dependency.stale).collect();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].latest, at.as_micros());
        assert!(stale.as_of_us < at.as_micros());
    }
    cache.get_or_compute("k", &policy, value(1)).unwrap();
    let mark = cache.change(&[tag_of("a")], Duration::from_secs(1)).unwrap();
    assert_eq!(cache.explain("k").state, EntryState::Changing);
    cache.settle(mark).unwrap();
    cache.get_or_compute("k", &policy, value(1)).unwrap();
    clock.advance_ms(9_000);
    assert_eq!(cache.explain("k").state, EntryState::Expired);
    assert_eq!(cache.explain("k").expires_in_ms, Some(0));
}

#[test]
fn visiting_tells_fresh_from_stale() {
    let (cache, _) = cache();
    cache.put("a", 1, &on(&["a"]));
    cache.put("b", 1, &on(&["b"]));
    cache.invalidate(&["a"]).unwrap();
    let mut seen = Vec::new();
    cache.visit(&mut |key, fresh| seen.push((key.to_vec(), fresh)));
    seen.sort_unstable();
    assert_eq!(seen, [(b"a".to_vec(), false), (b"b".to_vec(), true)]);
}

#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Observer for Diary {
    fn on_event(&self, event: &Event<'_>) {
        let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let line = match event {
            Event::Filled { key: filled, .. } => format!("filled {}", key(filled)),
            Event::BornStale { key: stale } => format!("born stale {}", key(stale)),
            Event::FillFailed { key: failed } => format!("failed {}", key(failed)),
            Event::Invalidated { tags, .. } => format!("invalidated {}", tags[0]),
            Event::Settled { .. } => "settled".to_owned(),
            Event::Swept { entries } => format!("swept {entries}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn observers_are_told_of_the_rare_things_in_order() {
    let diary = Arc::new(Diary::default());
    let cache = builder().0.observer(diary.clone()).build().unwrap();
    cache.get_or_compute("k", &on(&["a"]), value(1)).unwrap();
    cache.get_or_compute("k", &on(&["a"]), value(1)).unwrap();
    let stale = |_: &zoocache::Fill| {
        cache.invalidate(&["b:*"])?;
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("stale", &on(&["b:c"]), stale).unwrap();
    cache.get_or_compute("bad", &on(&["b"]), |_| Err::<u64, _>("no")).unwrap_err();
    let mark = cache.change(&[tag_of("c")], Duration::from_secs(1)).unwrap();
    cache.settle(mark).unwrap();
    cache.clear().unwrap();
    let told = diary.0.lock().unwrap().clone();
    assert_eq!(
        told[..6],
        ["filled k", "invalidated b:*", "born stale stale", "failed bad", "settled", "invalidated "]
    );
    assert_eq!(told[6..], ["swept 1"]);
}

#[test]
fn a_setting_that_makes_no_sense_is_named_with_its_remedy() {
    let zero = Duration::ZERO;
    let text = |builder: zoocache::Builder<u64>| builder.build().unwrap_err().to_string();
    let limit = "give at least 1, or leave it out for no limit";
    assert_eq!(text(Cache::builder().max_entries(0)), format!("max_entries = 0: {limit}"));
    assert_eq!(text(Cache::builder().max_bytes(0)), format!("max_bytes = 0: {limit}"));
    assert_eq!(text(Cache::builder().default_ttl(zero)), format!("default_ttl = 0: {limit}"));
    assert!(text(Cache::builder().flight_timeout(zero)).starts_with("flight_timeout = 0: give the time"));
    assert!(text(Cache::builder().sweep_interval(zero)).starts_with("sweep_interval = 0: give the pause"));
}

#[test]
fn an_invalid_tag_is_named_and_nothing_is_invalidated() {
    let (cache, _) = cache();
    cache.put("k", 1, &on(&["a"]));
    let error = cache.invalidate(&["a", "b c"]).unwrap_err();
    assert!(error.to_string().contains("\"b c\""), "{error}");
    assert_eq!(cache.get("k"), Some(1));
}

#[test]
fn a_time_to_live_is_not_extended_and_a_time_to_idle_is() {
    let (cache, clock) = cache();
    cache.put("ttl", 1, &Policy::default().ttl(Duration::from_secs(1)));
    cache.put("tti", 1, &Policy::default().tti(Duration::from_secs(1)));
    clock.advance_ms(999);
    assert_eq!((cache.get("ttl"), cache.get("tti")), (Some(1), Some(1)));
    clock.advance_ms(1);
    assert_eq!((cache.get("ttl"), cache.get("tti")), (None, Some(1)));
    clock.advance_ms(999);
    cache.explain("tti");
    cache.visit(&mut |_, _| ());
    clock.advance_ms(1);
    assert_eq!(cache.get("tti"), None, "looking inside is no use");
}

#[test]
fn a_huge_lifetime_is_for_ever() {
    for extend_on_hit in [false, true] {
        let huge = Lifetime { ttl_ms: Some(u64::MAX), extend_on_hit };
        let (cache, clock) = cache();
        cache.put("k", 1, &Policy::default().lifetime(huge));
        cache.put("max", 1, &Policy::default().ttl(Duration::MAX));
        cache.put("almost", 1, &Policy::default().lifetime(Lifetime { ttl_ms: Some(u64::MAX - 2), ..huge }));
        clock.advance_ms(1 << 50);
        assert_eq!((cache.get("k"), cache.get("max"), cache.get("almost")), (Some(1), Some(1), Some(1)));
    }
}

#[test]
fn a_policy_overrides_the_default_lifetime() {
    let (builder, clock) = builder();
    let cache = builder.default_ttl(Duration::from_secs(1)).build().unwrap();
    cache.put("default", 1, &Policy::default());
    cache.put("forever", 1, &Policy::default().lifetime(Lifetime::FOREVER));
    clock.advance_ms(1_000);
    assert_eq!((cache.get("default"), cache.get("forever")), (None, Some(1)));
}
