//! Does memory stay flat under a million distinct tags and a million entries?
//!
//! `cargo run --release --example plateau`: prints resident memory, tags and entries on the way.

use zoocache::{Cache, Error, Policy};

const NUMBER: u64 = 1_000_000;

/// Resident memory in megabytes, where the system tells it.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn report(what: &str, cache: &Cache<u64>) {
    let stats = cache.stats();
    println!("{what:42} {:5} MB {:9} tags {:9} entries", resident_mb(), stats.tags, stats.entries);
}

fn main() -> Result<(), Error> {
    let cache = Cache::<u64>::builder().max_entries(50_000).build()?;
    report("empty", &cache);
    for round in 1..=3 {
        for number in 0..NUMBER {
            cache.invalidate(&[format!("user:{round}-{number}:profile")])?;
        }
        report(&format!("{round} x 1M distinct tags invalidated"), &cache);
    }
    for round in 1..=3 {
        for number in 0..NUMBER {
            let policy = Policy::default().tag(format!("org:{}:item:{round}-{number}", number % 100))?;
            cache.get_or_compute(format!("{round}-{number}"), &policy, |_| Ok::<_, Error>(number))?;
        }
        report(&format!("{round} x 1M entries stored, 50 000 kept"), &cache);
    }
    cache.clear()?;
    report("cleared", &cache);
    Ok(())
}
