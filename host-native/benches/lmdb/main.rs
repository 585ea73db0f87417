//! What does an LMDB folder cost, beside memory alone and beside LMDB alone?
//!
//! `cargo bench -p zoocache --features lmdb --bench lmdb -- [--quick] [--json PATH]` prints a table, and writes its
//! rows for `python/benchmarks/lmdb_folder.py`, which puts them on a page. Each question has a file.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, and its figures are not that long"
)]

mod caches;
mod hits;
mod load;
mod reader;
mod report;
mod sizes;
mod timing;
mod visible;
mod words;
mod writes;

use std::path::PathBuf;

use timing::Effort;

fn main() {
    let (mut effort, mut json) = (Effort::FULL, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--json" => json = Some(PathBuf::from(arguments.next().expect("--json needs a path"))),
            "--reader" => {
                return reader::run(&PathBuf::from(arguments.next().expect("--reader needs a path")));
            }
            // From cargo.
            "--bench" => {}
            other => panic!("unknown argument {other}: known are --quick and --json PATH"),
        }
    }
    let load = report::load();
    let mut rows = hits::rows(&effort);
    rows.extend(writes::rows(&effort));
    rows.extend(visible::rows(&effort));
    rows.extend(sizes::rows(&effort));
    println!("load average {load} at the start; {} rounds; median (minimum)\n", effort.rounds);
    print!("{}", report::table(&rows));
    if let Some(path) = json {
        std::fs::write(path, report::json(&rows, &load, &effort)).unwrap();
    }
}
