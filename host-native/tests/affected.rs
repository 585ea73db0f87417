//! How far an invalidation would reach is how far it reaches.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{cache, on, tag_of};
use proptest::prelude::*;
use zoocache::{Cache, Policy, Tag};

fn fresh(cache: &Cache<u64>) -> HashSet<Vec<u8>> {
    let mut keys = HashSet::new();
    cache.visit(&mut |key, fresh| {
        if fresh {
            keys.insert(key.to_vec());
        }
    });
    keys
}

#[test]
fn it_counts_below_above_through_subtrees_and_everything_for_the_root() {
    let (cache, clock) = cache();
    cache.put("product", 1, &on(&["store:2:product:7", "store:2:product:8"]));
    cache.put("list", 1, &on(&["store:2:*"]));
    cache.put("store", 1, &on(&["store:2"]));
    cache.put("longer name", 1, &on(&["store:22"]));
    cache.put("nothing", 1, &Policy::default());
    cache.put("all", 1, &on(&["*"]));
    let affected = |tag| cache.affected(&tag_of(tag));
    assert_eq!(affected("store:2:product:7"), 3, "the product, the list and all");
    assert_eq!(affected("store:2:product"), 3);
    assert_eq!(affected("store:2"), 4);
    assert_eq!(affected("store:2:*"), 4);
    assert_eq!(affected("store"), 5);
    assert_eq!(affected("elsewhere"), 1);
    assert_eq!(cache.affected(&Tag::root()), 6);
    assert_eq!(affected("*"), 6);
    cache.invalidate(&["store:2:product:7"]).unwrap();
    assert_eq!(affected("store:2"), 1, "what is stale already cannot go stale");
    cache.put("short", 1, &on(&["short"]).ttl(Duration::from_secs(1)));
    assert_eq!(affected("short"), 1);
    clock.advance_ms(1_000);
    assert_eq!(affected("short"), 0);
    assert_eq!(cache.stats().hits, 0);
}

/// Few names, so that tags meet.
fn tags() -> impl Strategy<Value = Tag> {
    (proptest::collection::vec(0..3_u8, 0..4), any::<bool>()).prop_map(|(segments, subtree)| {
        let mut parts: Vec<_> = segments.iter().map(|segment| format!("s{segment}")).collect();
        if subtree || parts.is_empty() {
            parts.push("*".to_owned());
        }
        Tag::parse(&parts.join(":")).unwrap()
    })
}

proptest! {
    #[test]
    fn as_many_go_stale_as_was_said(
        entries in proptest::collection::vec(proptest::collection::vec(tags(), 0..4), 1..30),
        before in proptest::collection::vec(tags(), 0..2),
        tag in tags(),
    ) {
        let (cache, _) = cache();
        let half = entries.len() / 2;
        for (number, dependencies) in entries.iter().enumerate() {
            if number == half {
                cache.invalidate_tags(&before).unwrap();
            }
            let policy = Policy::default().with_tags(dependencies.iter().cloned());
            prop_assert!(cache.put(number.to_le_bytes(), 1, &policy));
        }
        let had = fresh(&cache);
        let said = cache.affected(&tag);
        prop_assert_eq!(&fresh(&cache), &had, "asking changes nothing");
        cache.invalidate_tags(&[tag]).unwrap();
        let lost = had.difference(&fresh(&cache)).count();
        prop_assert_eq!(said, lost as u64);
    }
}
