//! Every target, over its corpus and over generated inputs. `./dev fuzz` looks further.

use std::path::Path;

use zoocache_core_fuzz::corpus;
use zoocache_fuzz::{entry, envelope, range, row, told};

const GENERATED: usize = 4_000;

fn run(target: &str, check: fn(&[u8])) {
    corpus::run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target), GENERATED, check);
}

#[test]
fn envelopes() {
    run("envelope", envelope::check);
}

#[test]
fn stored_entries() {
    run("entry", entry::check);
}

#[test]
fn rows_of_the_table() {
    run("row", row::check);
}

#[test]
fn what_is_told() {
    run("told", told::check);
}

#[test]
fn looks_at_the_table() {
    run("range", range::check);
}
