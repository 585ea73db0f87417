//! A round through the shop: what a user of the cache sees, a line for each step.

use super::bindings::zoocache::engine::cache::{self, NotStored};
use super::bindings::zoocache::engine::types::Verdict;
use super::shop::{Read, Shop, tag};

pub(crate) fn go_round() {
    reads();
    a_change_while_computing();
    two_computations_at_once();
    a_lifetime();
    limits();
    everything();
}

fn show(read: &Read) {
    println!("{} ({})", read.text, if read.is_hit { "from the cache" } else { "computed" });
}

fn reads() {
    let mut shop = Shop::new();
    show(&shop.product(7, None));
    show(&shop.product(7, None));
    show(&shop.page());
    show(&shop.page());
    shop.set_price(8, 31);
    println!("product 8 now costs 31");
    show(&shop.page());
    shop.set_price(7, 15);
    println!("product 7 now costs 15");
    why("product:7");
    show(&shop.page());
    show(&shop.product(7, None));
    shop.add_product(9, 1);
    println!("product 9 is new");
    show(&shop.page());
}

/// The value that was read before the change goes to whoever computed it, and no further.
fn a_change_while_computing() {
    let fill = cache::begin_fill("product:7", None);
    Shop::new().set_price(7, 16);
    tell("computed across a change", &cache::finish_fill(fill, b"costs 15", &[tag(7)], None));
    println!("it is {}", if cache::get("product:7", None).is_some() { "there" } else { "not there" });
}

fn two_computations_at_once() {
    let [first, second] = [(), ()].map(|()| cache::begin_fill("product:8", None));
    tell("the second to begin", &cache::finish_fill(second, b"costs 33", &[tag(8)], None));
    tell("the first to begin", &cache::finish_fill(first, b"costs 32", &[tag(8)], None));
    let value = cache::get("product:8", None).unwrap_or_default();
    println!("product 8 {}", String::from_utf8_lossy(&value));
    let third = cache::begin_fill("product:8", None);
    cache::abandon_fill(third);
}

fn a_lifetime() {
    let store = |ttl| cache::finish_fill(cache::begin_fill("greeting", None), b"good day", &[], Some(ttl));
    tell("for no time", &store(0));
    tell("for a second", &store(1_000_000));
    let hits = (0..5_000_000_u32).find(|_| cache::get("greeting", None).is_none());
    println!("the greeting was there {}", if hits > Some(0) { "for a while" } else { "never, or for ever" });
    why("greeting");
}

fn limits() {
    let store = |key: &str, size, tag: &str| {
        cache::finish_fill(cache::begin_fill(key, None), &vec![0; size], &[tag.to_owned()], None)
    };
    tell("a key of 512 bytes", &store(&"k".repeat(512), 0, "a"));
    tell("a key of 513 bytes", &store(&"k".repeat(513), 0, "a"));
    tell("no key", &store("", 0, "a"));
    tell("8 MiB", &store("large", 8 << 20, "a"));
    tell("a byte more", &store("large", (8 << 20) + 1, "a"));
    tell("no tag", &store("key", 0, "a::b"));
    println!("8 MiB are there: {}", cache::get("large", None).is_some_and(|value| value.len() == 8 << 20));
}

fn everything() {
    let cleared = cache::clear();
    println!("cleared: {}", cleared.is_ok());
    why("large");
}

fn tell(what: &str, stored: &Result<(), NotStored>) {
    let result = match stored {
        Ok(()) => "stored".to_owned(),
        Err(NotStored::Verdict(verdict)) => format!("not stored, {}", name(verdict)),
        Err(NotStored::Overtaken) => "not stored, overtaken".to_owned(),
        Err(NotStored::BadKey) => "not stored, not a key".to_owned(),
        Err(NotStored::TooLarge) => "not stored, too large".to_owned(),
        Err(NotStored::BadTag(_)) => "not stored, not a tag".to_owned(),
        Err(other) => format!("not stored, {other:?}"),
    };
    println!("{what}: {result}");
}

fn why(key: &str) {
    let verdict = cache::explain(key).map(|explanation| name(&explanation.verdict));
    println!("{key} is {}", verdict.unwrap_or_else(|| "not there".to_owned()));
}

fn name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fresh => "fresh".to_owned(),
        Verdict::Stale(cause) => format!("stale as {} was invalidated", cause.tag),
        Verdict::Expired => "expired".to_owned(),
        other => format!("{other:?}"),
    }
}
