//! A shop that caches: an ordinary program, but for the interface `cache` that it imports.
//!
//! Without arguments it goes round, and prints what it sees. `hits N` reads one value N times, to be timed.

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    dead_code,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings;
mod shop;
mod tour;

use bindings::zoocache::engine::cache;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next().and_then(|count| count.parse().ok())) {
        (None, _) => tour::go_round(),
        (Some("hits"), Some(count)) => println!("{} hits", hits(count)),
        _ => {
            eprintln!("usage: shop [hits N]");
            std::process::exit(2);
        }
    }
}

/// Reads a value of 1 KiB so many times; says how often it was there.
fn hits(count: u32) -> usize {
    let dependencies = ["store:2:product:7", "store:2:price:7", "store:2:currency"].map(String::from);
    let fill = cache::begin_fill("value", None);
    let stored = cache::finish_fill(fill, &[7; 1024], &dependencies, None);
    assert!(stored.is_ok(), "{stored:?}");
    (0..count).filter(|_| cache::get("value", None).is_some()).count()
}
