//! How long does opening a big folder take, and how much of the disk does an entry?

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::caches::{Raw, Scratch, shared};
use crate::load::filled;
use crate::report::Row;
use crate::timing::{Contender, Effort, Series, now_ns};

pub(crate) fn rows(effort: &Effort) -> Vec<Row> {
    let scratch = Scratch::new("sizes");
    let (entries, path) = (effort.entries, scratch.path());
    drop(filled(shared(path), entries));
    drop(Raw::filled(path, entries));
    let each = |file: &str| bytes_of(&path.join(file)) as f64 / entries as f64;
    let (ours, raw) = (each("ours/entries/data.mdb"), each("raw/data.mdb"));
    let mut openers: [Contender<'_>; 2] = [
        Box::new(|_| {
            let begin = now_ns();
            let cache = shared(path).build().unwrap();
            let taken = now_ns() - begin;
            assert_eq!(cache.stats().entries, entries);
            taken
        }),
        Box::new(|_| {
            let begin = now_ns();
            let raw = Raw::open(path);
            let taken = now_ns() - begin;
            assert!(raw.get(entries - 1).is_some());
            taken
        }),
    ];
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..effort.openings {
        for (open, times) in openers.iter_mut().zip(&mut times) {
            times.push(open(1) as f64);
        }
    }
    let [open, raw_open] = times.map(Series);
    vec![
        Row::of(&format!("first to open a folder of {entries} entries"), &open, ("raw heed", &raw_open)),
        Row {
            work: format!("disk for an entry of 100 bytes, of {entries}"),
            ours: format!("{ours:.0} bytes"),
            baseline: format!("raw heed: {raw:.0} bytes"),
            ratio: Some(ours / raw),
            ..Row::default()
        },
    ]
}

/// What a file occupies.
fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}
