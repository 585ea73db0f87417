//! Looking at a cache from inside: entries page by page, the tree of tags, past invalidations.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeSet;

use common::redis::Server;
use common::{Number, Scratch, cache, on, tag_of};
use zoocache::sequencer::Wanted;
use zoocache::{Cache, EntryState, Filter, Probe, Tag, Timestamp};

/// The same in memory, in a folder and on a server.
fn everywhere(check: impl Fn(&Cache<u64>)) {
    check(&cache().0);
    let scratch = Scratch::new();
    check(&Cache::builder().lmdb(scratch.path(), Number).build().unwrap());
    let server = Server::start();
    check(&server.strong());
}

fn all(cache: &Cache<u64>, wanted: &Filter, most: usize) -> Vec<String> {
    let (mut keys, mut from) = (Vec::new(), Vec::new());
    loop {
        let page = cache.page(wanted, &from, most).unwrap();
        assert!(page.entries.len() <= most);
        keys.extend(page.entries.into_iter().map(|entry| String::from_utf8(entry.key).unwrap()));
        match page.next {
            Some(next) => from = next,
            None => return keys,
        }
    }
}

#[test]
fn each_entry_is_on_one_page() {
    everywhere(|cache| {
        let keys: BTreeSet<String> = (0..700).map(|number| format!("{number}")).collect();
        for key in &keys {
            cache.put(key, 1, &on(&["t"]));
        }
        for most in [1, 13, 256, 700, 5_000] {
            let found = all(cache, &Filter::default(), most);
            assert_eq!(found.len(), keys.len(), "in pages of {most}");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), keys);
        }
    });
}

#[test]
fn only_what_is_wanted_is_on_a_page() {
    everywhere(|cache| {
        for number in 0..20 {
            cache.put(
                format!("{}{number}", if number < 5 { "a" } else { "b" }),
                1,
                &on(&[&format!("t:{number}")]),
            );
        }
        cache.invalidate(&["t:3"]).unwrap();
        let prefixed = Filter { key_prefix: b"a".to_vec(), ..Filter::default() };
        assert_eq!(all(cache, &prefixed, 3).len(), 5);
        let tagged = Filter { tag: Some(tag_of("t:7")), ..Filter::default() };
        assert_eq!(all(cache, &tagged, 3), ["b7"]);
        let stale = Filter { state: Some(EntryState::Stale), ..Filter::default() };
        assert_eq!(all(cache, &stale, 3), ["a3"]);
    });
}

#[test]
fn the_tree_counts_each_entry_once_and_tells_when_tags_were_invalidated() {
    everywhere(|cache| {
        cache.put("1", 1, &on(&["shop:1:x", "shop:1:y"]));
        cache.put("2", 1, &on(&["shop:2"]));
        cache.put("3", 1, &on(&["shop:*"]));
        let at = cache.invalidate(&["shop:2"]).unwrap();
        let nodes = cache.tree(&Tag::root());
        let counts: Vec<_> = nodes.iter().map(|node| (node.tag.as_str(), node.entries, node.fresh)).collect();
        assert_eq!(counts, [("shop", 3, 1)]);
        assert_eq!((nodes[0].at, nodes[0].below), (Timestamp::ZERO, at));
        let nodes = cache.tree(&tag_of("shop"));
        let below: Vec<_> = nodes.iter().map(|node| (node.tag.as_str(), node.entries, node.at)).collect();
        assert_eq!(below, [("shop:1", 1, Timestamp::ZERO), ("shop:2", 1, at)]);
    });
}

#[test]
fn history_is_told_forwards_and_backwards_and_by_whom() {
    let scratch = Scratch::new();
    let folder = Cache::<u64>::builder().lmdb(scratch.path(), Number).build().unwrap();
    let server = Server::start();
    let node = |pid: u32| [format!("pid:{pid}"), format!(":{pid}")];
    for cache in [&folder, &server.bounded()] {
        let at: Vec<_> = (0..5).map(|number| cache.invalidate(&[&*format!("t:{number}")]).unwrap()).collect();
        let history = |from, most, newest_first| {
            let told = cache.history(&Wanted { from, to: Timestamp::MAX, most, newest_first }).unwrap();
            assert!(told.iter().all(|told| {
                node(std::process::id()).iter().any(|node| told.node.as_deref().unwrap().ends_with(node))
            }));
            told.into_iter().map(|told| told.at).collect::<Vec<_>>()
        };
        assert_eq!(history(at[2], 10, false), at[2..]);
        assert_eq!(history(at[1], 2, false), at[1..3]);
        assert_eq!(history(Timestamp::ZERO, 2, true), [at[4], at[3]]);
    }
}

#[test]
fn a_node_that_was_given_a_name_is_told_by_it() {
    let server = Server::start();
    let named = server.builder().node("web/7 ü").build().unwrap();
    named.put("k", 1, &on(&["t"]));
    named.invalidate(&["t"]).unwrap();
    assert_eq!(named.explain("k").cause.unwrap().node, "web/7 ü");
    let probe = Probe::open(&server.url(), "zoocache").unwrap();
    let listed = format!("{:?}", probe.ask(&[b"CLIENT".to_vec(), b"LIST".to_vec()]).unwrap());
    // As numbers, since it is a list of bytes: `/web_7__/`.
    let name = format!("{:?}", b"/web_7__/").replace(['[', ']'], "");
    assert!(listed.contains(&name), "{listed}");
}

#[test]
fn a_value_is_handed_out_as_its_bytes_fresh_or_not() {
    let scratch = Scratch::new();
    let cache = Cache::<u64>::builder().lmdb(scratch.path(), Number).build().unwrap();
    cache.put("k", 7, &on(&["t"]));
    let bytes = cache.value_bytes("k").unwrap().unwrap();
    cache.invalidate(&["t"]).unwrap();
    assert_eq!(cache.value_bytes("k").unwrap(), Some(bytes));
    assert_eq!(cache.value_bytes("none").unwrap(), None);
    let facts = cache.folder().unwrap().unwrap();
    assert!(facts.used_bytes > 0 && facts.used_bytes < facts.map_bytes);
    assert!(facts.readers <= facts.max_readers);
}
