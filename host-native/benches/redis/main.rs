//! What does a Redis server that machines share cost, beside memory alone and beside Redis alone?
//!
//! `cargo bench -p zoocache --features redis --bench redis -- [--quick] [--json PATH]` starts a server of its own,
//! prints a table, and writes its rows for `python/benchmarks/redis_server.py`, which puts them on a page.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a benchmark fails by panicking, its figures are not that long, and what it shares is used in parts"
)]

mod bell;
mod hits;
#[path = "../lmdb/load.rs"]
mod load;
#[path = "../lmdb/report.rs"]
mod report;
mod server;
#[path = "../lmdb/timing.rs"]
mod timing;
mod writes;

use std::path::PathBuf;

use timing::Effort;

fn main() {
    let (mut effort, mut json) = (Effort { turns: 10_000, ..Effort::FULL }, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--json" => json = Some(PathBuf::from(arguments.next().expect("--json needs a path"))),
            // From cargo.
            "--bench" => {}
            other => panic!("unknown argument {other}: known are --quick and --json PATH"),
        }
    }
    let load = report::load();
    let server = server::Server::start();
    let mut rows = hits::rows(&server, &effort);
    rows.extend(writes::rows(&server, &effort));
    rows.extend(bell::rows(&server, &effort));
    println!("load average {load} at the start; {} rounds; median (minimum)\n", effort.rounds);
    print!("{}", report::table(&rows));
    if let Some(path) = json {
        std::fs::write(path, report::json(&rows, &load, &effort)).unwrap();
    }
}
