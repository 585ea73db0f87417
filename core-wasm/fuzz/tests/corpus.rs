//! Every target, over its corpus and over generated inputs. `./dev fuzz` looks further.

use std::path::Path;

use zoocache_core_fuzz::{corpus, engine, gossip, header, log, snapshot, tag};

const GENERATED: usize = 4_000;

fn run(target: &str, check: fn(&[u8])) {
    corpus::run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target), GENERATED, check);
}

#[test]
fn tags() {
    run("tag", tag::check);
}

#[test]
fn headers() {
    run("header", header::check);
}

#[test]
fn snapshots() {
    run("snapshot", snapshot::check);
}

#[test]
fn an_engine_of_its_own() {
    run("engine", engine::check);
}

#[test]
fn engines_with_a_log() {
    run("log", log::check);
}

#[test]
fn engines_that_tell_each_other() {
    run("gossip", gossip::check);
}
